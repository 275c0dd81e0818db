"""How the answer of each kind of judge begins: what is put behind a critique that was cut before it."""

from __future__ import annotations

from collections.abc import Callable

from grm_plugin.config.judge import JudgeConfig
from grm_plugin.config.presets import PRESETS
from grm_plugin.types import AnswerLine

PER_SCORE = 6
"""Tokens of one score of a row, at most: `10.5`, a comma and a space, by a tokenizer that splits numbers."""

PER_LINE = 16
"""Tokens of one line `Response 2: 8/10`, at most."""

A_WORD = 8
"""Tokens of a short verdict and what closes it."""


def answer_line(judge: JudgeConfig, n: int, criteria: int = 0) -> AnswerLine | None:
    """How the answer on n responses begins, by so many criteria; None where nobody knows (answer regex of a user's
    own).

    No opening ends in a space: to most tokenizers it belongs to what follows.
    """
    if criteria:
        return AnswerLine("\nScores:\n1: \\boxed{", "", criteria * (PER_SCORE * n + PER_LINE))
    preset = PRESETS.get(str(judge.preset))
    own = preset is not None and judge.template == preset.keys["template"]
    if own and judge.preset in _OF_PRESET:
        return _OF_PRESET[judge.preset](n)
    form = _OF_ANSWER.get(judge.answer)
    return form(n) if form else None


def _row(opening: str, end: str, further: int = 0) -> Callable[[int], AnswerLine]:
    return lambda n: AnswerLine(opening, end, PER_SCORE * n + A_WORD + further)


def _word(opening: str, end: str = "") -> Callable[[int], AnswerLine]:
    return lambda n: AnswerLine(opening, end, A_WORD + len(end))


def _score_lines(n: int) -> AnswerLine:
    if n == 1:
        return AnswerLine("\nScore:", "\n", A_WORD)
    # Lines of some responses may stand there already: those below such a heading count.
    return AnswerLine("\nFinal scores:\nResponse 1:", "", PER_LINE * n)


_OF_ANSWER: dict[str, Callable[[int], AnswerLine]] = {
    "boxed": _row("\nScores: \\boxed{", "}"),
    "brackets": _row("\nScores: [", "]"),
    "json": _row('\n{"scores": [', "}"),
    "score": _score_lines,
    "verdict": _word("\nVerdict: [[", "]]"),
}
"""As the general template asks for it."""

_NEMOTRON_END = "[The End of Individual Scores]"

_OF_PRESET: dict[str, Callable[[int], AnswerLine]] = {
    "rm_r1": _word("\n<answer>[[", "</answer>"),
    "skywork_critic": _word("\n[[", "]]"),
    "compass_judger": _word("\n[[", "]]"),
    "prometheus_2": _word("\n[RESULT]"),
    "prometheus_2_pairs": _word("\n[RESULT]"),
    "selene": _word("\n\n**Result:**"),
    "j1": _row("\n<scores>\n\\boxed{", "}"),
    "nemotron_genrm": _row("\n[The Begin of Individual Scores]\n\\boxed{", _NEMOTRON_END, len(_NEMOTRON_END)),
}
"""Of those whose template asks for another one."""
