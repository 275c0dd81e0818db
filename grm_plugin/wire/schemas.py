"""Requests and replies between clients (`grm_plugin.client`) and the service."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from grm_plugin.conversation.messages import to_response
from grm_plugin.types import Conversation, Group
from grm_plugin.wire.fields import Criteria, LabelTexts, Messages, Reference, Response


class WireModel(BaseModel):
    """Base of all of them. Unknown keys are errors; errors, which are logged, hold no prompts and responses."""

    model_config = ConfigDict(
        extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True, allow_inf_nan=False
    )


FLOAT32_MAX = 3.4e38
Number = Annotated[float, Field(ge=-FLOAT32_MAX, le=FLOAT32_MAX)]
"""A number that is finite as a 32-bit float, too: trainers make tensors of it."""

Count = Annotated[int, Field(ge=0, le=2**53)]
"""A whole number that a float holds exactly: trainers log it as one."""


class GetRewardRequest(WireModel):
    """OpenRLHF's payload (openrlhf/utils/agent.py, `_fetch_rewards_via_http`). All lists have the same length."""

    query: list[str]
    """Prompt and response, decoded with special tokens."""
    prompts: list[str]
    """The prompt of each query, as the policy saw it."""
    labels: list[LabelTexts] = Field(default_factory=list)
    """The dataset's label of each query: a reference answer, an object with `reference`, `rubric` and `criteria` or
    some of them, and with `source` (as JSON it may be a text), or empty. What else is not a string is shown as JSON."""
    n: int | None = Field(default=None, ge=1, le=4096)
    """Samples per prompt; `?n=` in the URL counts before it, `group.n` of the configuration where both are absent."""

    @model_validator(mode="after")
    def _same_length(self) -> GetRewardRequest:
        if len(self.prompts) != len(self.query):
            raise ValueError(f"prompts has {len(self.prompts)} entries but query has {len(self.query)}")
        if self.labels and len(self.labels) != len(self.query):
            raise ValueError(f"labels has {len(self.labels)} entries but query has {len(self.query)}")
        return self


class GetRewardReply(WireModel):
    """OpenRLHF's reply. One entry per query in every list; always finite."""

    rewards: list[Number]
    """What the policy is trained on."""
    scores: list[Number]
    """Mean vote mapped to [0, 1], for dynamic filtering."""
    extra_logs: dict[str, list[Number]]
    """Always the same keys; see grm_plugin.judging.fallback.LOG_KEYS."""


def _no_messages(prompt: Any) -> Any:
    if isinstance(prompt, list | dict):
        raise ValueError("it must be a text: give messages in the field messages")
    return prompt


class WireGroup(WireModel):
    """The responses to one conversation, judged on one scale."""

    messages: Messages | None = None
    """The conversation, as messages of OpenAI's chat API; calls of tools and their results are shown. Give this or
    `prompt`."""
    prompt: Annotated[str | None, BeforeValidator(_no_messages)] = None
    """The prompt as the policy saw it, in the chat format of `conversation.format`. Give this or `messages`."""
    responses: list[Response] = Field(min_length=1, max_length=4096)
    """The responses, each of which gets a reward: texts, or messages of OpenAI's chat API (one, or a list of what the
    assistant and its tools said)."""
    reference: Reference = None
    """A ground-truth answer shown to the GRM. What is not a string is shown as JSON."""
    rubric: Reference = None
    """A grading note shown to the GRM. What is not a string is shown as JSON."""
    criteria: Criteria = ()
    """What the responses are scored by, one by one: objects with `name`, `text`, `weight` and `kind` (scale, yes_no,
    must, penalty). Empty: those of the configuration (`judge.criteria`)."""
    source: Reference = None
    """The task that the prompt comes from, by which the configuration chooses criteria and principles."""
    n: int | None = Field(default=None, ge=1, le=4096)
    """How many responses the prompt has, where some of them did not come; null: those given are all. A single response
    that is all there is is refused under `normalize.method` group and rank, which would have nothing to compare it
    with; what is left of more gets the neutral reward."""

    @model_validator(mode="after")
    def _one_prompt(self) -> WireGroup:
        if (self.messages is None) == (self.prompt is None):
            raise ValueError("give exactly one of messages and prompt")
        return self

    def to_group(self, conversation: Conversation) -> Group:
        """The group as the judge takes it. `conversation` is what `messages` or `prompt` was read as."""
        responses = tuple(to_response(response, self.prompt or "") for response in self.responses)
        return Group(conversation, responses, self.reference, self.rubric, self.criteria, self.source)


class ScoreRequest(WireModel):
    """Groups to judge."""

    groups: list[WireGroup] = Field(max_length=1024)
    """Judged concurrently and independently."""
    learn: bool = True
    """False for evaluation: `normalize.method` running does not learn from it, and single responses are not refused."""
    request_id: str | None = Field(default=None, max_length=128)
    """Repeating a request under the same id attaches to the running work and gets the same answer."""
    detail: bool = True
    """False leaves `critiques` and `unparsed` of the reply empty: they are most of it."""


class WireReply(WireModel):
    """Base of replies. Keys that a newer service adds are ignored: a job must not lose its rewards because of them."""

    model_config = ConfigDict(extra="ignore")


class SampleReply(WireReply):
    """The reward of one sample, as `/v1/sample?logs=true` gives it. All numbers are finite."""

    reward: Number
    """What the policy is trained on; what the failure policy says where there was no vote."""
    unit: Annotated[float, Field(ge=0, le=1)]
    """Mean vote mapped to [0, 1]; without votes the mean of the group's others, or 0.5."""
    logs: dict[str, Number]
    """See grm_plugin.judging.fallback.log_values."""


class WireCriterion(WireReply):
    """What one response got for one criterion; see grm_plugin.types.CriterionReward."""

    name: str
    """The criterion's name."""
    mean: Number | None = None
    """Mean of its votes, 1..10, or what its rule says; null without any. Higher is better, of penalties too."""
    spread: Number | None = None
    """Standard deviation of its votes."""
    votes: Count = 0
    """Critiques that could be read for it; 0 for a rule."""
    value: Number | None = None
    """Its normalised reward."""
    settled: Number = 5.5
    """Its mean; without one that of the group's others, or 5.5. Always finite."""
    reliability: Number | None = None
    """As the reward's, of this criterion."""
    own: bool = False
    """Whether the sample brought it, and not the configuration."""
    problem: str = ""
    """Why a rule has no number."""


class WireReward(WireReply):
    """The reward of one response; see grm_plugin.types.Reward."""

    value: Number | None
    """The normalised reward; null when there was no vote."""
    settled: Number
    """Equal to `value` where there is one, else what the failure policy puts in its place. Always finite."""
    unit: Number
    """Mean vote mapped to [0, 1]; without votes the mean of the group's others, or 0.5. Always finite."""
    status: Literal["ok", "blank", "no_votes", "rule"]
    """ok, blank (nothing can be seen in it), rule (scored by the user's rules alone) or no_votes."""
    mean: Number | None
    """Mean of the kept votes, 1..10; with `judge.mode` pairwise or tiebreak what they say together."""
    total: Number | None
    """Sum of the kept votes."""
    spread: Number | None
    """Standard deviation of the kept votes."""
    votes_asked: Count
    """k; and k / n more, rounded up, where no critique of a list of n could be read and each was judged alone too. With
    `judge.mode` pairwise k for each pair with the response."""
    votes_parsed: Count
    """Critiques that could be read."""
    votes_kept: Count
    """Critiques that the meta RM let through."""
    votes_forced: Count = 0
    """Of those, critiques that were cut off and asked for their scores (`sampling.force_answer`)."""
    meta: Number | None
    """Mean meta score of the kept critiques (logit)."""
    meta_failed: bool = False
    """Whether the meta RM failed, so that all critiques that could be read voted."""
    tokens: Number
    """This response's share of the generated tokens."""
    cut: Count
    """Characters left out of an over-long response."""
    rounds: Count = 0
    """Rounds in which the votes were asked for; more than one with `sampling.adaptive` only."""
    stopped: Literal["all", "winner", "precise", "futile"] = "all"
    """Why there were no more votes: all were asked for, or `sampling.adaptive` ended them (winner, precise, futile)."""
    reliability: Number | None = None
    """How much of what separates mean votes is signal, over the last lists that were judged, 0 to 1; null where nothing
    tells."""
    length_corr: Number | None = None
    """Correlation of rewards with the length of responses inside groups, over the last ones that were judged, -1 to 1;
    null where nothing tells."""
    criteria: list[WireCriterion] = Field(default_factory=list)
    """The criteria of the configuration, in its order, then those that the sample brought."""
    votes_tiebreak: Count = 0
    """Of those asked for, critiques that compared it with a sibling because their votes did not separate (`judge.mode`
    tiebreak)."""
    same_as: int | None = Field(default=None, ge=0)
    """Index of an earlier response of the group that reads the same: the GRM was shown that one only, and its votes
    count for both. Its critiques name that one in `members`."""

    @model_validator(mode="after")
    def _votes_make_values(self) -> WireReward:
        if (self.value is None) != (self.mean is None) or (self.value is None) != (self.spread is None):
            raise ValueError("value, mean and spread come together or not at all")
        return self


class WireCritique(WireReply):
    """One vote; see grm_plugin.types.Critique."""

    members: list[int]
    """Indices of the responses it judged, in the order of `scores`; without those that repeat one (`same_as`)."""
    scores: list[float]
    """1..10 per member."""
    order: list[int]
    """Which member stood at each position shown to the GRM."""
    text: str
    """The whole completion, with its scores."""
    principles: str
    """Its criteria."""
    analysis: str
    """Its reasoning."""
    meta: Number | None
    """The meta RM's logit."""
    kept: bool
    """Whether it voted."""
    forced: bool = False
    """Whether it was cut off and asked for its scores (`sampling.force_answer`)."""
    by_criterion: list[list[float] | None] = Field(default_factory=list)
    """1..10 per criterion and member; null in the place of a criterion that could not be read."""
    forced_line: str = ""
    """The end of `text` where it is forced: what was put behind the critique, and its scores."""

    @model_validator(mode="after")
    def _one_score_per_member(self) -> WireCritique:
        if len(self.scores) != len(self.members) or sorted(self.order) != list(range(len(self.members))):
            raise ValueError("scores and order have one entry per member")
        return self


class WireUnparsed(WireReply):
    """A vote that is missing."""

    reason: str
    """See grm_plugin.types.UnparsedReason."""
    detail: str
    """What was found instead."""
    text: str
    """The completion, if there was one."""


class WireJudgement(WireReply):
    """The rewards of one group, and the votes that they were made of."""

    rewards: list[WireReward]
    """In the order of the request's responses."""
    critiques: list[WireCritique]
    """All that could be read, kept or not; empty where the request says `detail: false`."""
    unparsed: list[WireUnparsed]
    """All that could not; likewise."""
    latency_s: Number
    """Seconds that the judging took."""


class ScoreReply(WireReply):
    """One judgement per group, in order."""

    judgements: list[WireJudgement]
    """In the order of the request's groups."""


class Health(WireModel):
    """Says that the process answers."""

    status: Literal["ok"] = "ok"
    """Always ok."""


class Readiness(WireModel):
    """What probes are told, who have no token."""

    ready: bool
    """True when the GRM answers, and the meta RM where there is one. `/ready` says why not."""


class Refusal(WireModel):
    """Why a request was not answered."""

    detail: str
    """What is wrong and what to do."""


class InvalidField(WireModel):
    """A field that is wrong."""

    loc: list[str | int]
    """Where it is: `body` or `query`, then keys and indices."""
    msg: str
    """What is wrong with it."""
    type: str
    """pydantic's name of the error, or too_large."""


class Invalid(WireModel):
    """Why a request is refused."""

    detail: str | list[InvalidField]
    """The fields that are wrong, or what is wrong with them together."""


class Info(WireModel):
    """What the service runs, and what it has done so far."""

    pid: int
    """Id of the process that answers, on the service's node; what it counts is told of all processes together."""
    version: str
    """Version of grm_plugin."""
    model: str
    """The GRM."""
    k: int
    """Votes per list."""
    k_meta: int
    """Votes kept."""
    list_size: int
    """Responses judged together."""
    max_waiting: int | None = None
    """Most samples that all processes together take at once; null from an older service."""
    fingerprint: dict[str, str] = Field(default_factory=dict)
    """Digests of all that a reward depends on, by part: `grm-plugin score` mixes no rewards of different services."""
    counters: dict[str, float]
    """Totals since the service started, by name."""
