"""The seams of the judge: protocols of what runs a model or judges a list elsewhere, and the checks of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from grm_plugin._util.deadline import NEVER, Deadline
from grm_plugin.errors import EngineError
from grm_plugin.types import (
    MAX_SCORE,
    MIN_SCORE,
    AnswerLine,
    Completion,
    Conversation,
    Group,
    ListJudgement,
    Prompt,
    RuleScore,
    Sampling,
)


class Generator(Protocol):
    """Runs the GRM."""

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        """Sample `sampling.n` completions of one prompt.

        May return fewer (the missing ones count as lost votes). Raises `EngineError` when there is none to be had.
        """
        ...


@runtime_checkable
class Continues(Protocol):
    """What a `Generator` can do besides, for `sampling.force_answer`."""

    async def continue_text(
        self, prompt: Prompt, begun: Completion, line: AnswerLine, sampling: Sampling
    ) -> Completion:
        """Have the GRM write its answer behind a text of its own that was cut.

        Where that breaks off in the middle of reasoning, the mark that ends it is put in first.

        Args:
            prompt: what it was asked.
            begun: its completion, with `token_ids`.
            line: how the answer begins, and where it ends.
            sampling: of one completion; `max_tokens` is not looked at.

        Returns:
            What stands behind `begun`, what was put in included; `tokens` are those that were generated.

        Raises:
            EngineError: there is none to be had.
        """
        ...


@runtime_checkable
class CountsTokens(Protocol):
    """What a `Generator` can do besides, for the cost of a prompt."""

    async def count_tokens(self, conversation: Conversation) -> int:
        """How many tokens the model reads where it is asked this. Raises `EngineError` where it cannot be rendered."""
        ...


class MetaRM(Protocol):
    """Rates critiques with a scalar model (paper, section 3.3)."""

    async def rate(self, conversations: Sequence[Conversation]) -> list[float]:
        """One logit per conversation `(user: request, assistant: critique)`, higher is better; finite.

        Raises `EngineError` when they cannot be rated.
        """
        ...


class Rules(Protocol):
    """Runs the user's rules (`judge.criteria` of kind rule)."""

    async def score(
        self,
        name: str,
        conversation: Conversation,
        response: str,
        reference: str | None = None,
        source: str | None = None,
        deadline: Deadline = NEVER,
    ) -> RuleScore:
        """What the rule of this name says of a response, by the deadline. Raises nothing: a rule that fails, hangs or
        says something else than a number in [0, 1] is a `RuleScore.problem`."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which votes on a list are wanted, and how much of them.

    Attributes:
        k: votes; None takes `sampling.k`.
        texts: whether the texts of the completions are wanted, and not only what was read off them.
        seed: draws marker and orders where `sampling.seed` does not; None draws fresh ones.
        part, parts: where the orders of a list are spread over several that judge it, this one asks in every order
            whose number is `part` (from 0) modulo `parts`. All parts of a list need the same seed.
        drawn: how many of the k votes there are from before: only the others are sampled, with other seeds, and over
            the orders so that all k votes together are balanced. Needs `sampling.seed`.
        not_by: a replica (`ListJudgement.judged_by`) that is not to judge it, if there is another one.
    """

    k: int | None = None
    texts: bool = True
    seed: int | None = None
    part: int = 0
    parts: int = 1
    drawn: int = 0
    not_by: str = ""


ALL_VOTES = Wanted()


@runtime_checkable
class ListVoter(Protocol):
    """Puts lists before the GRM and counts its votes: `lists.ListJudge`, or what calls one in another process."""

    async def judge(
        self, group: Group, members: tuple[int, ...], deadline: Deadline = NEVER, wanted: Wanted = ALL_VOTES
    ) -> ListJudgement:
        """Votes on the group's responses `members`, put before the GRM together.

        Votes that are not in by `deadline`, or that the engine does not give, are lost votes and no error.

        Raises:
            GroupError: one of the texts is no text.
            PromptError: the template cannot be rendered.
        """
        ...


def as_asked(sampling: Sampling) -> Sampling:
    """How an engine is asked: for one greedy completion instead of n equal ones, without a nucleus to draw from.

    vLLM and hosted APIs refuse greedy requests with n > 1 or top_p < 1, which say nothing.
    """
    return replace(sampling, n=1, top_p=1.0) if sampling.greedy else sampling


def as_often_as_wanted(completions: list[Completion], sampling: Sampling) -> list[Completion]:
    """The answer to `as_asked(sampling)` as one to `sampling`: the one greedy completion, n times.

    The copies have no tokens, for none were generated for them.
    """
    if not sampling.greedy or not completions:
        return completions
    first = completions[0]
    # Some servers say stop for a cut, which shows in the number of tokens only: in the copies it would not.
    used_up = first.tokens >= sampling.max_tokens and not first.token_ids
    reason = "length" if used_up else first.finish_reason
    return [first, *[replace(first, finish_reason=reason, tokens=0)] * (sampling.n - 1)]


LARGEST_LOGIT = 3.4e38
"""Of a float32, so that a mean of logits stays finite. NaN is no larger and no smaller, and so refused too."""


def check_completions(answer: Any, n: int) -> None:
    """Raises `EngineError` unless this is a list of `n` completions."""
    if not isinstance(answer, list) or not all(isinstance(item, Completion) for item in answer):
        raise EngineError(f"the GRM must answer with a list of completions, got {_shown(answer)}")
    if len(answer) != n:
        raise EngineError(f"the GRM answered with {len(answer)} completions; {n} were asked for")
    for item in answer:
        if (
            not isinstance(item.text, str)
            or not isinstance(item.finish_reason, str)
            or not isinstance(item.tokens, int)
        ):
            raise EngineError("the GRM answered with a completion whose fields have wrong types")


def check_logits(
    answer: Any, n: int, model: str = "the meta RM", rated: str = "critiques", dtype: str = "meta_rm.dtype"
) -> None:
    """Raises `EngineError` unless this is a list of `n` finite numbers; the others say whose and of what, for it."""
    if not isinstance(answer, list) or not all(isinstance(item, float | int) for item in answer):
        raise EngineError(f"{model} must answer with a list of logits, got {_shown(answer)}")
    if len(answer) != n:
        raise EngineError(f"{model} answered with {len(answer)} logits for {n} {rated}")
    if not all(abs(item) <= LARGEST_LOGIT for item in answer):
        raise EngineError(f"{model} answered with a logit that is NaN or infinite: its weights or {dtype} are wrong")


def check_list(answer: Any, members: tuple[int, ...]) -> None:
    """Raises `EngineError` unless this is a judgement of the list `members`, with scores in range."""
    if not isinstance(answer, ListJudgement) or answer.members != members or len(answer.votes) != len(members):
        raise EngineError(f"a list of {len(members)} responses was answered with {_shown(answer)}")
    for critique in answer.critiques:
        rows = (critique.scores, *(row for row in critique.by_criterion if row is not None))
        if not all(len(row) == len(members) and all(MIN_SCORE <= it <= MAX_SCORE for it in row) for row in rows):
            raise EngineError(f"a list was answered with a vote that is not {len(members)} scores in range")


def _shown(answer: Any) -> str:
    """What it is, without what is in it: critiques do not belong into logs."""
    inside = sorted({type(item).__name__ for item in answer}) if isinstance(answer, list) else []
    return type(answer).__name__ + (f" of {', '.join(inside)}" if inside else "")
