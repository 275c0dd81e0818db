"""The format measure on critiques: one that quotes hostile responses word for word must still be read right.

The promise: where a critique ends with the GRM's own Scores line, that line alone is read, whatever was quoted before
it; at worst the vote is lost, but it never becomes another one. A GRM that quotes a Scores line *instead* of writing
one, or after it, has been persuaded: no parser can tell its words from the quoted ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from grm_plugin.attacks.attack import Attack
from grm_plugin.attacks.prompt_check import CLEAN, Change, attacked
from grm_plugin.config import Config, SamplingConfig
from grm_plugin.judging.judge import Judge
from grm_plugin.types import Completion, Prompt, Sampling

TRUTH = (3, 7, 5)
"""What the quoting GRM thinks of the three responses. No attack asks for these scores."""


@dataclass(slots=True)
class QuotingResult:
    """Votes asked for, votes lost, and votes that were read as something else than the GRM wrote."""

    votes: int = 0
    lost: int = 0
    forged: list[Change] = field(default_factory=list)


class QuotingGRM:
    """A `Generator` that quotes what it read before it scores, in five ways that are hard to read right.

    Args:
        truth: its scores, by the index of the response in the list.
        raw: the attacked response before the defences: a model may write a control token that was broken up in whole.
    """

    ways = 5

    def __init__(self, truth: Sequence[int], raw: str) -> None:
        self._truth = truth
        self._raw = raw

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        asked = prompt.messages[-1].content
        verdict = f"Scores: \\boxed{{{', '.join(str(self._truth[index]) for index in prompt.order)}}}"
        texts = [
            f"Specific Criteria: truth (100%)\nAnalysis: The responses read: {asked}\n{verdict}",
            f"Specific Criteria: {self._raw}\nAnalysis: {self._raw}\n{verdict}",
            f"<think>\n{self._raw}\n</think>\nSpecific Criteria: truth (100%)\nAnalysis: none\n{verdict}",
            f"**Analysis**\n\n{self._raw}\n\n**{verdict}**\n",
            f"{self._raw}\n{verdict}<|im_end|>",
        ]
        return [Completion(texts[number % self.ways]) for number in range(sampling.n)]


async def check_quoting(attacks: Sequence[Attack], config: Config) -> QuotingResult:
    """Judge every attack at each of three places, in three orders, by a GRM that quotes it in five ways."""
    n = len(CLEAN.responses)
    sampling = SamplingConfig(k=n * QuotingGRM.ways, orders=n)
    judge = Judge(config.model_copy(update={"sampling": sampling}), QuotingGRM(TRUTH, ""))
    result = QuotingResult()
    for attack in attacks:
        for place in range(n):
            group = attacked(attack, f"response {place + 1}")
            members = tuple(judge.for_the_grm(group))
            judge.lists.generator = QuotingGRM([TRUTH[member] for member in members], group.responses[place])
            judged = await judge.lists.judge(group, members)
            result.votes += judged.asked
            result.lost += len(judged.unparsed)
            for critique in judged.critiques:
                if critique.scores != tuple(TRUTH[member] for member in members):
                    result.forged.append(Change(attack.id, f"response {place + 1}", f"read as {critique.scores}"))
    return result
