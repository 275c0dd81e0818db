"""A fake GRM whose critiques are cut before their scores, and which writes them where it is asked for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable

from grm_plugin.types import AnswerLine, Completion, Prompt, Sampling
from support.factories import Scripted

BEGUN = "Specific Criteria: correct.\nAnalysis: Response 1 is cl"
Behind = Callable[[Prompt, Completion], Completion | Awaitable[Completion]]


def boxed(prompt: Prompt, begun: Completion) -> Completion:
    """Scores by the number of the response: 3, 4, 5 ..."""
    scores = [3 + index for index in prompt.order]
    return Completion(f"\nScores: \\boxed{{{', '.join(map(str, scores))}}}", tokens=5)


class Cut(Scripted):
    """A GRM all of whose critiques are cut, unless `reply` says otherwise; `behind` answers what is put behind them."""

    def __init__(self, behind: Behind = boxed, reply: Callable[[Sampling], list[Completion]] | None = None) -> None:
        super().__init__(lambda prompt, sampling: reply(sampling) if reply else [cut(n) for n in range(sampling.n)])
        self.behind = behind
        self.continued: list[tuple[Prompt, Completion, AnswerLine, Sampling]] = []

    async def continue_text(
        self, prompt: Prompt, begun: Completion, line: AnswerLine, sampling: Sampling
    ) -> Completion:
        self.continued.append((prompt, begun, line, sampling))
        said = self.behind(prompt, begun)
        return await said if isawaitable(said) else said


def cut(number: int = 0, text: str = BEGUN) -> Completion:
    return Completion(text, "length", 100, (7, number))
