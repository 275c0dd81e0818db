"""The carriers of the pipeline, one per arrow.

    Sample -> Group -> Prompt -> Completion -> Critique | Unparsed -> Vote -> Reward

Everything is frozen and holds plain Python values, so it pickles across Ray and prints readably.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from grm_plugin.errors import GroupError

MIN_SCORE = 1
"""The lowest vote for a response (paper, appendix G)."""

MAX_SCORE = 10
"""The highest vote for a response."""


@dataclass(frozen=True, slots=True)
class Message:
    """One chat turn. `role` is `system`, `user`, `assistant` or `tool`."""

    role: str
    content: str


Conversation = tuple[Message, ...]


def message_dicts(conversation: Iterable[Message]) -> list[dict[str, str]]:
    """The turns as chat templates and chat APIs take them."""
    return [{"role": message.role, "content": message.content} for message in conversation]


CriterionKind = Literal["scale", "yes_no", "must", "penalty", "rule"]
"""scale: how far a response fulfils it, 1..10. yes_no: whether it does. must: a response that does not gets the lowest
score, whatever else it does. penalty: whether it has a fault, which is taken off. rule: a function of the user's says
it, not the GRM."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One of the criteria that a response is judged by (rubrics as rewards, arXiv 2507.17746).

    `text` says what is asked; of a `rule` it may be empty. `weight` >= 0 is its share of the reward beside those of the
    others; a penalty's is taken off. A must's is not looked at: it is a gate, and no part of the mean.
    """

    name: str
    text: str = ""
    weight: float = 1.0
    kind: CriterionKind = "scale"


@dataclass(frozen=True, slots=True)
class Sample:
    """One response to a conversation, as a framework hands it over.

    `reference` is a ground-truth answer shown to the GRM; `rubric` is a per-sample grading note; `criteria` are what it
    is scored by, one by one; `source` names the task that the prompt comes from. All of them may be absent.
    `identity` names the prompt as the framework sent it: only samples with equal ones are siblings, also where prompts
    differ in what the GRM is not shown.
    """

    conversation: Conversation
    response: str
    reference: str | None = None
    rubric: str | None = None
    criteria: tuple[Criterion, ...] = ()
    source: str | None = None
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """The n >= 1 responses to one conversation, to be scored on the same scale.

    The other fields are those of a `Sample`; `principles` is what the user wants it judged by (`judge.principles`).

    Raises:
        GroupError: a text stands where a tuple belongs: it would be taken letter by letter.
    """

    conversation: Conversation
    responses: tuple[str, ...]
    reference: str | None = None
    rubric: str | None = None
    # Not in the text that seeds the orders of a list: those of earlier versions stay what they were.
    criteria: tuple[Criterion, ...] = field(default=(), repr=False)
    source: str | None = field(default=None, repr=False)
    principles: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.responses, str):
            raise GroupError("responses is one text: give a tuple of texts")
        for turn in self.conversation:
            if not isinstance(turn, Message):
                raise GroupError(f"conversation must be a tuple of Message, not {type(turn).__name__}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """The chat messages for one order of a group's responses.

    `order[position]` is the index of the response shown at `position`.
    """

    messages: Conversation
    order: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample one prompt: `n` completions, `temperature` >= 0, `max_tokens` per completion.

    `spare` tokens of the model's context stay free behind a completion: it may be continued. Reasoning has at least
    `thinking_min` and at most `thinking_max` tokens; a completion ends where it repeats a pattern of up to so many
    tokens so many times, `repetition`. None sets no such limit.
    """

    n: int
    temperature: float
    top_p: float
    max_tokens: int
    seed: int | None = None
    spare: int = 0
    thinking_min: int = 0
    thinking_max: int | None = None
    repetition: tuple[int, int] | None = None

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken each time, so that all completions of a prompt are the same."""
        return self.temperature == 0


UNKNOWN_FINISH = "unknown"
"""The finish reason of a completion of which the engine does not say how it ended: nothing shows that it is whole."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One generated text of `tokens` tokens. `finish_reason` is the engine's own word: `stop`, `length` for a cut,
    `content_filter` ...; `UNKNOWN_FINISH` where it has none. `token_ids` are its tokens, from engines that see them:
    those can continue the text, and know how it ended."""

    text: str
    finish_reason: str = "stop"
    tokens: int = 0
    token_ids: tuple[int, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class AnswerLine:
    """How the answer of a GRM is begun for it: `opening` is put behind its text, and it writes on.

    It has `tokens` tokens for that, and ends at the text `end`, which belongs to the answer, or where it ends by
    itself.
    """

    opening: str
    end: str
    tokens: int

    @property
    def spare(self) -> int:
        """Tokens of context that are enough for the opening, a mark that ends reasoning before it, and the answer."""
        return len(self.opening) + LONGEST_MARK + self.tokens


LONGEST_MARK = 48
"""Characters, and so at most tokens, of a mark that ends reasoning, with the lines around it."""


class UnparsedReason(StrEnum):
    """Why a completion gave no vote."""

    EMPTY = "empty"
    TRUNCATED = "truncated"
    NO_SCORES = "no_scores"
    WRONG_COUNT = "wrong_count"
    NOT_INTEGER = "not_integer"
    OUT_OF_RANGE = "out_of_range"
    AMBIGUOUS = "ambiguous"
    ENGINE = "engine"
    TIMEOUT = "timeout"
    TOO_LONG = "too_long"
    NO_PAIR = "no_pair"

    @property
    def engine_failed(self) -> bool:
        """Whether the engine gave no answer, and may give one to another try."""
        return self in (UnparsedReason.ENGINE, UnparsedReason.TIMEOUT)


DETAIL_CHARS = 200
"""Longest `Unparsed.detail` and `ListJudgement.meta_error` in characters."""


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A vote that is missing. Never a score. `order` is the one that was shown; empty where no judge has named it."""

    reason: UnparsedReason
    text: str = ""
    detail: str = ""
    tokens: int = 0
    order: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Scores:
    """What the parser read off one completion: `values` in the order shown, plus the two texts before them.

    `by_criterion[c]` are those of criterion c of the list, None where they could not be read; empty without criteria.
    """

    values: tuple[float, ...]
    principles: str
    analysis: str
    by_criterion: tuple[tuple[float, ...] | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Critique:
    """One parsed vote on every response of a list.

    `scores[i]` (1..10) belongs to response i *of the request*: positions are already mapped back through `order`.
    `sample` numbers the k completions of a list from 0. `meta` is the meta RM's logit; `kept` says whether it votes.
    Where the list was judged by criteria, `scores` are what `by_criterion` comes to (`judging.criteria`):
    `by_criterion[c][i]` (1..10, higher is better) is what it says of criterion c and response i, and None in the place
    of a criterion that could not be read. `text` is what the GRM wrote by itself. Where it was cut before its scores
    they were asked for: `forced` says so, and `forced_line` is what stands behind `text` then
    (`sampling.force_answer`).
    """

    scores: tuple[float, ...]
    text: str
    principles: str
    analysis: str
    order: tuple[int, ...]
    sample: int
    tokens: int = 0
    meta: float | None = None
    kept: bool = True
    forced: bool = False
    forced_line: str = ""
    by_criterion: tuple[tuple[float, ...] | None, ...] = ()

    @property
    def whole(self) -> str:
        """The text with its scores."""
        return self.text + self.forced_line


@dataclass(frozen=True, slots=True)
class Vote:
    """All kept scores of one response. `total` is the paper's sum (Eq. 14), `mean` stays in 1..10, `spread` is the
    population standard deviation over votes."""

    scores: tuple[float, ...]
    total: float
    mean: float
    spread: float


class Stopped(StrEnum):
    """Why no further votes on a list were asked for."""

    ALL = "all"
    """All k were."""
    WINNER = "winner"
    """All k would hardly name another winner."""
    PRECISE = "precise"
    """The advantages are as precise as was asked for."""
    FUTILE = "futile"
    """The responses are tied as far as votes can tell."""


@dataclass(frozen=True, slots=True)
class RuleScore:
    """What a rule says of a response: a number in [0, 1], or None where it does not apply; or `problem` says why
    not."""

    value: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CriterionReward:
    """What one response got for one criterion.

    `mean` (1..10, higher is better, so 10 is a penalty's fault that is not there) and `spread` describe the `votes`
    that could be read, or the one number of a rule, and are None without any. `value` is the mean, normalised as the
    reward is. `settled` is the mean, or without one that of the group's others, or the middle of the scale.
    `reliability` (0 to 1) is that of `Reward`, of this criterion. `own`: the sample brought it, and the configuration
    does not name it, so that it is no column of a log. `problem` says why a rule has no number.
    """

    name: str
    mean: float | None = None
    spread: float | None = None
    votes: int = 0
    value: float | None = None
    settled: float = (MIN_SCORE + MAX_SCORE) / 2
    reliability: float | None = None
    own: bool = False
    problem: str = ""


Purpose = Literal["votes", "pair", "tiebreak"]
"""What a list is judged for. votes: its scores are the votes on its responses. pair: one of the pairs of mode pairwise.
tiebreak: two responses whose votes did not separate, compared once more."""

Status = Literal["ok", "blank", "no_votes", "rule"]
"""ok: voted on. blank: scored by the blank rule, not by the GRM. rule: scored by rules of the user's alone, not by the
GRM. no_votes: there is no reward."""


@dataclass(frozen=True, slots=True)
class Reward:
    """The reward of one response and what it rests on.

    `value` is the normalised, finite reward, or None when no vote could be had (`status` = `no_votes`). `mean` (1..10),
    `total` and `spread` describe the kept votes and are None without them, but that `mean` is of votes and of the
    user's rules together where there are some; `unit_mean` is the mean mapped to [0, 1]. `votes_asked` >=
    `votes_parsed` >= `votes_kept` >= `votes_forced`; asked is k (fewer with `sampling.adaptive`). It is k and k / n
    more, rounded up, where no critique of a list of n could be read and its responses were judged once more, each
    alone; and twice k where it was lent to a sibling that had nobody to be compared with. `votes_forced` of the kept
    votes were cut, and their scores asked for (`Critique.forced`). `meta` is the mean logit of the kept critiques, if a
    meta RM rated them; `meta_failed` says that it was asked and failed, so that all that could be read voted. `tokens`
    is this response's share of the generated tokens. `cut` counts characters left out of an over-long response.
    `rounds` are those in which the votes were asked for, and `stopped` says why there were no more; `reliability` (0 to
    1) is how much of what separates the mean votes of a list is signal, over the last lists, None where nothing tells;
    `length_corr` (-1 to 1) is the correlation of rewards with the length of responses inside groups, over the last
    ones, None where nothing tells. `votes_tiebreak` of those asked compared it with a sibling because their votes did
    not separate (mode tiebreak): the mean rests on both then, spread and total on the other votes alone. In mode
    pairwise there are k votes on each pair that the response is part of, and one counts 10 where it is ahead, 1 where
    the other is, and 5.5 where they are level: of those are total and spread, and the mean is that of
    `judge.pair_rewards`. `same_as` is the index of an earlier response of the group that reads the same to the GRM: the
    GRM was shown that one, and its votes count for this one too. `criteria` are those of the configuration, in its
    order, and then those that the sample brought.
    """

    value: float | None
    status: Status
    mean: float | None = None
    total: float | None = None
    spread: float | None = None
    unit_mean: float | None = None
    votes_asked: int = 0
    votes_parsed: int = 0
    votes_kept: int = 0
    votes_forced: int = 0
    meta: float | None = None
    meta_failed: bool = False
    tokens: float = 0.0
    cut: int = 0
    same_as: int | None = None
    rounds: int = 0
    stopped: Stopped = Stopped.ALL
    reliability: float | None = None
    length_corr: float | None = None
    criteria: tuple[CriterionReward, ...] = ()
    votes_tiebreak: int = 0


@dataclass(frozen=True, slots=True)
class ListJudgement:
    """The votes on one list of at most `judge.list_size` responses.

    `members[i]` is the group's index of the list's response i; `votes`, `cut` and every `Critique.scores` follow that
    order. Responses that read the same as a member (`Reward.same_as`) are not among them. `meta_error` says why
    critiques went unrated, if the meta RM failed (all of them are kept then), and `meta_too_long` whether because they
    do not fit into its context. `grm_s` and `meta_rm_s` are the seconds that the GRM took to write the critiques,
    and the meta RM to rate them; 0 where it was not asked. `judged_by` names the replica that judged it, if one did.
    The votes were asked for in so many `rounds`, and `stopped` says why there were no more.

    A response whose list could not be read stands in a second list, alone. Where the GRM compares pairs, one stands in
    a second list as the partner of a response left over. The first list with votes counts. What it is judged for is
    its `purpose`.
    """

    members: tuple[int, ...]
    votes: tuple[Vote | None, ...]
    critiques: tuple[Critique, ...]
    unparsed: tuple[Unparsed, ...]
    cut: tuple[int, ...]
    meta_error: str = ""
    meta_too_long: bool = False
    grm_s: float = field(default=0.0, compare=False)
    meta_rm_s: float = field(default=0.0, compare=False)
    judged_by: str = field(default="", compare=False)
    rounds: int = 1
    stopped: Stopped = Stopped.ALL
    purpose: Purpose = "votes"

    @property
    def asked(self) -> int:
        """Votes asked for."""
        return len(self.critiques) + len(self.unparsed)

    @property
    def tokens(self) -> int:
        """Tokens generated for this list."""
        return sum(critique.tokens for critique in self.critiques) + sum(vote.tokens for vote in self.unparsed)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Everything the judge knows about one group: `rewards[i]` belongs to `group.responses[i]`."""

    group: Group
    rewards: tuple[Reward, ...]
    lists: tuple[ListJudgement, ...] = ()
    latency_s: float = 0.0
