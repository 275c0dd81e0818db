"""What every reader of verdicts begins with: the answer in a completion that ended, less its reasoning.

A reader raises `NoVote` where there is none; whoever calls it turns that into `Unparsed`.
"""

from __future__ import annotations

from grm_plugin._util.reasoning import after_reasoning
from grm_plugin.types import DETAIL_CHARS, Completion, Unparsed, UnparsedReason

ENDED = frozenset(
    {
        *("stop", "eos", "eos_token", "end_of_turn", "end_turn", "stop_token", "stop_sequence", "stop_str"),
        *("complete", "completed", "finish", "finished"),
    }
)
"""What servers call the end of a completion that its model chose, or a stop text of the request. Whatever else they say
(`length`, `model_length`, `abort`, `content_filter`, `error` ...) the completion may be a part of one."""

EXCERPT_CHARS = 120
"""Of the end of a text that has no verdict."""


class NoVote(Exception):
    """Why a completion is no vote, with an excerpt of what was found instead."""

    def __init__(self, reason: UnparsedReason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def of(self, completion: Completion) -> Unparsed:
        """The missing vote."""
        return Unparsed(self.reason, completion.text, " ".join(self.detail.split())[:DETAIL_CHARS], completion.tokens)


def answer_of(completion: Completion, max_tokens: int | None = None) -> str:
    """The text in which the verdict must stand.

    Args:
        completion: what the GRM generated, without its prompt.
        max_tokens: how many tokens it was given, if known. A completion that used them all counts as cut, whatever the
            server says: some say `stop` for every completion. One that ended exactly there by itself is lost with them.

    Raises:
        NoVote: it was cut, it is empty, or it never comes to an answer.
    """
    text = completion.text
    reason = completion.finish_reason.strip().lower().replace("-", "_")
    reason = reason.removeprefix("finishreason.").removeprefix("finish_reason_")  # an enumeration's name, as a text
    if reason not in ENDED:
        said = completion.finish_reason[:20]
        raise NoVote(UnparsedReason.TRUNCATED, f"not at its end (finish reason {said!r}): {end_of(text)}")
    if max_tokens is not None and completion.tokens >= max_tokens:
        raise NoVote(UnparsedReason.TRUNCATED, f"cut: all of sampling.max_tokens {max_tokens} used: {end_of(text)}")
    answer = after_reasoning(text)
    if answer is None:
        raise NoVote(UnparsedReason.NO_SCORES, f"reasoning that never ends: {end_of(text)}")
    if not answer.strip():
        raise NoVote(UnparsedReason.EMPTY, "nothing after the reasoning" if text.strip() else "")
    return answer


def end_of(text: str) -> str:
    """An excerpt for `Unparsed.detail`: the end, where the verdict should stand."""
    return f"...{text[-EXCERPT_CHARS:]}"
