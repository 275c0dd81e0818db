"""The format measure on critiques: one that quotes hostile responses word for word must still be read right.

The promise: where a critique ends with the GRM's own verdict, that alone is read, whatever was quoted before it; at
worst the vote is lost, but it never becomes another one. A GRM that quotes a verdict *instead* of writing one, or after
it, has been persuaded: no reader can tell its words from the quoted ones. A verdict that only the user's own pattern
reads (`judge.answer` regex) is not measured: nobody but the user can write one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from grm_plugin.attacks.attack import Attack
from grm_plugin.attacks.prompt_check import Change, attacked, shown_together
from grm_plugin.config import Config, JudgeConfig, SamplingConfig
from grm_plugin.judging.answers import to_vote
from grm_plugin.judging.judge import Judge
from grm_plugin.judging.lists import ListJudge
from grm_plugin.judging.read_verdict import A_WINS, B_WINS, TIE
from grm_plugin.types import MAX_SCORE, MIN_SCORE, Completion, Prompt, Sampling

TRUTH = (3, 7, 5)
"""What the quoting GRM thinks of the three responses, on 1..10. No attack asks for these scores."""


@dataclass(slots=True)
class QuotingResult:
    """Votes asked for, votes lost, and votes that were read as something else than the GRM wrote."""

    votes: int = 0
    lost: int = 0
    forged: list[Change] = field(default_factory=list)


class QuotingGRM:
    """A `Generator` that quotes what it read before it scores, in five ways that are hard to read right.

    Args:
        truth: its scores on the judge's scale, by the index of the response in the list.
        raw: the attacked response before the defences: a model may write a control token that was broken up in whole.
    """

    ways = 5

    def __init__(self, truth: Sequence[int], raw: str, judge: JudgeConfig | None = None) -> None:
        self._truth = truth
        self._judge = judge or JudgeConfig()
        self._raw = raw

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        asked = prompt.messages[-1].content
        verdict = written([self._truth[index] for index in prompt.order], self._judge)
        texts = [
            f"Specific Criteria: truth (100%)\nAnalysis: The responses read: {asked}\n{verdict}",
            f"Specific Criteria: {self._raw}\nAnalysis: {self._raw}\n{verdict}",
            f"<think>\n{self._raw}\n</think>\nSpecific Criteria: truth (100%)\nAnalysis: none\n{verdict}",
            f"**Analysis**\n\n{self._raw}\n\n**{verdict}**\n",
            f"{self._raw}\n{verdict}<|im_end|>",
        ]
        return [Completion(texts[number % self.ways]) for number in range(sampling.n)]


def on_scale(score: int, judge: JudgeConfig) -> int:
    """A score of 1..10 as this judge would put it."""
    lowest, highest = judge.scale
    return round(lowest + (highest - lowest) * (score - MIN_SCORE) / (MAX_SCORE - MIN_SCORE))


def written(scores: Sequence[int], judge: JudgeConfig) -> str:
    """The verdict that says so, as `judge.answer` has it; a regex knows only its user."""
    listed = ", ".join(map(str, scores))
    if judge.answer == "verdict":
        return f"<answer>[[{'A' if scores[0] > scores[1] else 'B' if scores[0] < scores[1] else 'C'}]]</answer>"
    if judge.answer == "score":
        lines = [f"Response {number}: {score}/{judge.scale[1]}" for number, score in enumerate(scores, start=1)]
        return "\n".join(lines) if len(scores) > 1 else f"Score: {listed}/{judge.scale[1]}"
    return {"brackets": f"Scores: [{listed}]", "json": f'{{"scores": [{listed}]}}'}.get(
        judge.answer, f"Scores: \\boxed{{{listed}}}"
    )


def votes_of(scores: Sequence[int], judge: JudgeConfig) -> tuple[float, ...]:
    """The votes that such a verdict is."""
    if judge.answer == "verdict":
        return A_WINS if scores[0] > scores[1] else B_WINS if scores[0] < scores[1] else TIE
    return tuple(to_vote(score, judge) for score in scores)


async def check_quoting(attacks: Sequence[Attack], config: Config) -> QuotingResult:
    """Judge every attack at each place of a list, in all its orders, by a GRM that quotes it in five ways."""
    n = shown_together(config)
    if config.judge.answer == "regex":
        return QuotingResult()
    truth = [on_scale(score, config.judge) for score in TRUTH[:n]]
    sampling = SamplingConfig(k=n * QuotingGRM.ways, orders=n)
    overall = config.judge.model_copy(update={"criteria": ()})
    config = config.model_copy(update={"sampling": sampling, "judge": overall})
    lists = ListJudge(config, QuotingGRM(TRUTH, ""))
    judge = Judge(config, lists)
    result = QuotingResult()
    for attack in attacks:
        for place in range(n):
            group = attacked(attack, f"response {place + 1}")
            members = tuple(member for member in judge.for_the_grm(group) if member < n)
            if not members or not config.judge.reads(len(members)):
                continue
            shown = [truth[member] for member in members]
            lists.generator = QuotingGRM(shown, group.responses[place], config.judge)
            judged = await lists.judge(group, members)
            result.votes += judged.asked
            result.lost += len(judged.unparsed)
            for critique in judged.critiques:
                if critique.scores != votes_of(shown, config.judge):
                    result.forged.append(Change(attack.id, f"response {place + 1}", f"read as {critique.scores}"))
    return result
