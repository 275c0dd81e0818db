"""Engines without a model: they answer what a test's script says, or (type `fake`) by a plain rule."""

from __future__ import annotations

import asyncio
import inspect
import math
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

from grm_plugin.errors import EngineError
from grm_plugin.judging.forcing import put_in
from grm_plugin.types import MAX_SCORE, AnswerLine, Completion, Conversation, Message, Prompt, Sampling

Texts = Iterable[Completion | str]
Script = Callable[[Prompt, Sampling], Texts | Awaitable[Texts]]
"""Gives a fake engine's answer: a completion, or its text, for each that was asked for. It may be a coroutine function,
and may raise."""

WORDS_PER_POINT = 5
"""So many different words raise a response's score by one."""

_SHOWN_RESPONSE = re.compile(r"^\[begin of response \d+ ([A-Z]+)\]\n(.*?)\n\[end of response \d+ \1\]$", re.M | re.S)

_SHOWN_CRITERION = re.compile(
    r"^\[end of criterion \d+ ([A-Z]+)\]\n(Score|Answer: yes if the response (?:has|fulfils))", re.M
)


class FakeEngine:
    """A `Generator` that answers what a script says.

    Args:
        script: called with every prompt and sampling; or texts, handed out one per completion while there are any.
        delay_s: seconds before each answer.

    Raises (in `generate`):
        EngineError: the texts have run out. Whatever the script raises comes out unchanged.
    """

    def __init__(self, script: Script | Texts, delay_s: float = 0.0) -> None:
        self._script: Script = script if callable(script) else _hand_out(script)
        self._delay_s = delay_s

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        await asyncio.sleep(self._delay_s)
        texts = self._script(prompt, sampling)
        if inspect.isawaitable(texts):
            texts = await texts
        return [_completion(text) for text in texts]

    async def continue_text(
        self, prompt: Prompt, begun: Completion, line: AnswerLine, sampling: Sampling
    ) -> Completion:
        """See `Continues.continue_text`. The script is shown a last turn of the assistant's that it continues."""
        added = put_in(begun.text, line.opening)
        asked = replace(prompt, messages=(*prompt.messages, Message("assistant", begun.text + added)))
        (behind,) = await self.generate(asked, sampling)
        return replace(behind, text=added + behind.text)

    async def check_health(self) -> None:
        """Always healthy."""


class FakeMetaRM:
    """A `MetaRM` that rates each conversation by a rule; its answers take `delay_s` seconds."""

    def __init__(self, rule: Callable[[Conversation], float], delay_s: float = 0.0) -> None:
        self._rule = rule
        self._delay_s = delay_s

    async def rate(self, conversations: Sequence[Conversation]) -> list[float]:
        await asyncio.sleep(self._delay_s)
        return [self._rule(conversation) for conversation in conversations]

    async def check_health(self) -> None:
        """Always healthy."""


def score_by_vocabulary(prompt: Prompt, sampling: Sampling) -> list[str]:
    """The rule of type `fake`: a response's score is 1, plus 1 for every five different words in it, at most 10.

    The responses are found in prompts of the built-in templates only; with another template every response gets a 5.
    Every criterion gets that score too, or a yes from two points on; no response has a fault. A critique that was begun
    (`FakeEngine.continue_text`) gets its scores.
    """
    asked = prompt.messages[0].content
    responses = _SHOWN_RESPONSE.findall(asked)
    if len(responses) == len(prompt.order):
        scores = [min(MAX_SCORE, 1 + len(set(text.split())) // WORDS_PER_POINT) for _, text in responses]
    else:
        scores = [5] * len(prompt.order)
    analysis = " ".join(f"Response {shown + 1} earns {score}." for shown, score in enumerate(scores))
    opening, answer = "Scores: \\boxed{", f"{', '.join(map(str, scores))}}}"
    fences = {fence for fence, _ in responses}
    if kinds := [kind for fence, kind in _SHOWN_CRITERION.findall(asked) if fence in fences]:
        opening = "Scores:\n1: \\boxed{"
        rows = [f"{', '.join(_answers(kind, scores))}}}" for kind in kinds]
        answer = "\n".join([rows[0], *(f"{number}: \\boxed{{{row}" for number, row in enumerate(rows[1:], 2))])
    if prompt.messages[-1].role == "assistant":
        return [answer] * sampling.n
    words = "Specific Criteria: Wealth of words (100%): different words count."
    return [f"{words}\nAnalysis: {analysis}\n{opening}{answer}"] * sampling.n


def _answers(kind: str, scores: Sequence[int]) -> list[str]:
    """What is said of the responses by a criterion that is asked about in these words."""
    if kind == "Score":
        return [str(score) for score in scores]
    return ["no" if kind.endswith("has") or score < 2 else "yes" for score in scores]


def rate_by_length(conversation: Conversation) -> float:
    """The rule of type `fake` for critiques: the longer, the higher the logit."""
    return math.log1p(len(conversation[-1].content))


def _hand_out(texts: Texts) -> Script:
    left = iter(texts)

    def script(prompt: Prompt, sampling: Sampling) -> list[Completion | str]:
        drawn = [text for _, text in zip(range(sampling.n), left, strict=False)]
        if not drawn:
            raise EngineError("the script of the fake engine has run out of texts: give it more, or a callable")
        return drawn

    return script


def _completion(text: Completion | str) -> Completion:
    return text if isinstance(text, Completion) else Completion(text, tokens=len(text.split()))
