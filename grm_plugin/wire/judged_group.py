"""What judging a group gives a program: rewards, votes and critiques, beside the responses that they belong to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from grm_plugin._util.text import one_line
from grm_plugin.conversation.messages import text_of, to_response
from grm_plugin.wire.schemas import WireCritique, WireGroup, WireJudgement, WireReward

SHOWN_CHARS = 60
"""Characters of a prompt or a response in a printed table."""


@dataclass(frozen=True, slots=True)
class JudgedResponse:
    """One response and its reward.

    `index` counts the group's responses from 0. `reward` is None where there was no vote: a failure is no score. `mean`
    (1..10) and `spread` are of the votes that count, and None without any. `votes` are those, one per critique that was
    kept; none without critiques (`detail`). `details` is all that is known of the reward.
    """

    index: int
    text: str
    reward: float | None
    mean: float | None
    spread: float | None
    votes: tuple[float, ...]
    details: WireReward = field(repr=False)


class JudgedGroup(WireJudgement):
    """A judgement with the group that was judged: prints as a table, best first, and becomes a dict."""

    group: WireGroup = Field(exclude=True)
    """What was judged."""

    @classmethod
    def of(cls, group: WireGroup, judgement: WireJudgement) -> JudgedGroup:
        """The judgement of a group, which is checked already."""
        return cls.model_construct(group=group, **dict(judgement))

    @property
    def responses(self) -> list[JudgedResponse]:
        """In the order in which they were given."""
        return [self._response(index) for index in range(len(self.rewards))]

    @property
    def best_first(self) -> list[JudgedResponse]:
        """By reward; equal ones in their order, and those without one at the end."""
        return sorted(self.responses, key=lambda it: -math.inf if it.reward is None else it.reward, reverse=True)

    @property
    def best(self) -> JudgedResponse | None:
        """The response with the highest reward; None where none has one."""
        first = self.best_first[0]
        return None if first.reward is None else first

    @property
    def prompt(self) -> str:
        """The text of the prompt; of messages, that of the last one."""
        group = self.group
        return text_of(group.messages[-1].get("content")) if group.messages else group.prompt or ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: what `POST /v1/score` answers, with the prompt, and in `rewards` each response's text and
        votes."""
        found = self.model_dump(mode="json")
        for response, reward in zip(self.responses, found["rewards"], strict=True):
            reward.update(response=response.text, votes=list(response.votes))
        return {**self.group.model_dump(mode="json", include={"messages", "prompt"}, exclude_none=True), **found}

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def __repr__(self) -> str:
        rewards = ", ".join(_number(reward.value) for reward in self.rewards)
        return f"<JudgedGroup {_short(self.prompt)!r}: rewards {rewards}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What a notebook shows."""
        printer.text(str(self))

    def _lines(self) -> Iterator[str]:
        rows = [("", "reward", "mean", "votes", "response")]
        for place, it in enumerate(self.best_first, 1):
            details = it.details
            votes = " ".join(f"{vote:g}" for vote in it.votes) or f"{details.votes_kept} of {details.votes_asked}"
            shown = _short(it.text) or "(nothing to be seen)"
            rows.append((f"{place}.", _number(it.reward), _number(it.mean), votes, f"[{it.index}] {shown}"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        yield _short(self.prompt)
        for row in rows:
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        if lost := next((vote for vote in self.unparsed if all(reward.value is None for reward in self.rewards)), None):
            yield f"no reward: {lost.reason}: {one_line(lost.detail)}"

    def _response(self, index: int) -> JudgedResponse:
        reward = self.rewards[index]
        text = to_response(self.group.responses[index], self.group.prompt or "")
        judged = judged_as(self, index)
        votes = tuple(vote.scores[vote.members.index(judged)] for vote in kept_critiques(self, judged))
        return JudgedResponse(index, text, reward.value, reward.mean, reward.spread, votes, reward)


def judged_as(judgement: WireJudgement, index: int) -> int:
    """The response whose critiques count for this one: itself, or one that reads the same."""
    same_as = judgement.rewards[index].same_as
    return index if same_as is None else same_as


def kept_critiques(judgement: WireJudgement, index: int) -> list[WireCritique]:
    """The critiques of a response that vote; none where they did not come along (`detail`)."""
    return [critique for critique in judgement.critiques if critique.kept and index in critique.members]


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _short(text: str) -> str:
    line = one_line(text[: 10 * SHOWN_CHARS])
    return line if len(line) <= SHOWN_CHARS else f"{line[: SHOWN_CHARS - 3]}..."
