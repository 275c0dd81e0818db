"""What to do about lost votes: by the reason why most of them were lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from grm_plugin.config import Config, FakeConfig
from grm_plugin.types import MAX_SCORE, MIN_SCORE, UnparsedReason

_ADVICE: dict[str, str] = {
    UnparsedReason.ENGINE: "the engine gave no answer. With engine.type openai: does the server run, and are "
    "engine.base_url, engine.model and the key right? With vllm: see its log",
    UnparsedReason.TIMEOUT: "raise failure.deadline_s, give the GRM more replicas, or lower sampling.k or "
    "sampling.max_tokens",
    UnparsedReason.TOO_LONG: "lower judge.max_response_chars or judge.list_size, or raise engine.max_model_len",
    UnparsedReason.NO_PAIR: "the GRM compares pairs: give two responses to a prompt or more (group.n, ?n=)",
    UnparsedReason.TRUNCATED: "raise sampling.max_tokens: critiques are cut before they end",
}
_UNREAD = (
    "is engine.model a GRM, and judge.template (or judge.preset) the one that it was trained with? A critique must end "
    "with Scores: \\boxed{...}, or as judge.answer says"
)


def advice(reasons: Iterable[str]) -> str:
    """A fix for the commonest of these reasons (`UnparsedReason`)."""
    commonest = Counter(reasons).most_common(1)
    return _ADVICE.get(commonest[0][0], _UNREAD) if commonest else _UNREAD


def unread_rule(config: Config) -> str:
    """What to say where the rule of `engine.type` fake is not read as it writes; empty where it is."""
    judge = config.judge
    if not isinstance(config.engine, FakeConfig):
        return ""
    if (judge.answer, judge.scale) == ("boxed", (MIN_SCORE, MAX_SCORE)):
        return ""
    return (
        "the rule of engine.type fake writes \\boxed scores from 1 to 10, which judge.answer, judge.scale or "
        "judge.preset reads as something else: leave them out to try the wiring"
    )
