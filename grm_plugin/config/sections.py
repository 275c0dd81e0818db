"""Configuration: YAML -> pydantic. Every field documents itself; defaults are the paper's setting (arXiv 2504.02495).

Files and overrides are read by `grm_plugin.config.loading.load_config`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from grm_plugin.config.engines import (
    AnyMetaRMConfig,
    EngineConfig,
)
from grm_plugin.config.fields import ModelPath, Section, StatePath, TemplatePath

TOKEN_ENV = "GRM_TOKEN"
"""Environment variable of the service's token, unless `service.token_env` names another one."""


class AdaptiveConfig(Section):
    """Stop sampling early once the ranking is settled. Costs votes only where they can still change the result."""

    batch: int = Field(default=4, ge=1)
    """Votes drawn between two looks."""
    z: float = Field(default=2.0, gt=0)
    """Stop when neighbouring mean scores differ by this many standard errors, for every pair of neighbours."""


class SamplingConfig(Section):
    """How the GRM is sampled."""

    k: int = Field(default=8, ge=1, le=1024)
    """Critiques (votes) per list of responses."""
    orders: int | None = Field(default=None, ge=1)
    """Distinct orders of the responses, each sampled about k / orders times; null takes one per response."""
    temperature: float = Field(default=0.5, ge=0, le=2)
    """Sampling temperature (0.5 for all voting results of the paper)."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Nucleus sampling mass."""
    max_tokens: int = Field(default=2048, ge=1)
    """Longest critique in tokens; a longer one is cut and loses its vote."""
    seed: int | None = None
    """Makes orders, markers and sampling reproducible; null draws fresh ones."""
    adaptive: AdaptiveConfig | None = None
    """Early stopping; null always draws k votes. A meta RM without `k_meta` keeps half of the votes that were drawn."""


class JudgeConfig(Section):
    """How responses are put before the GRM and how its answer is read."""

    list_size: int = Field(default=4, ge=1, le=64)
    """Responses judged together; larger groups are split into lists of nearly equal size."""
    template: TemplatePath | None = None
    """Prompt template file; null takes the built-in one. Released weights do best with their model card's."""
    decimals: Literal["reject", "accept"] = "reject"
    """What a score such as 7.5 means: a missing vote, or 7.5."""
    max_response_chars: int = Field(default=24_000, ge=100)
    """Longer responses are cut in the middle (the first three quarters and the last quarter stay)."""
    use_reference: bool = True
    """Shows the framework's label to the GRM as a reference answer, where there is one."""
    blank_response: Literal["minimum", "judge"] = "minimum"
    """A response in which nothing can be seen gets the lowest score by rule, or is judged like any other."""
    control_tokens: tuple[Annotated[str, Field(min_length=2)], ...] = ()
    """Further control tokens of the GRM, broken up in all that it reads like those of the usual chat formats;
    `grm-plugin attack` finds them."""
    invisible: Literal["strip", "keep"] = "strip"
    """Zero-width, direction and tag characters, which models read and screens do not show: left out of what the GRM
    sees, or kept. The joiners that Persian, Hindi and emoji need always stay."""


NEUTRAL_REWARD = {"none": 5.5, "unit": 0.5, "rank": 0.5, "group": 0.0, "running": 0.0}
"""Per normalising method, the reward that neither praises nor punishes: the middle of its range."""


class NormalizeConfig(Section):
    """How the mean of the kept votes (1..10) becomes the reward."""

    method: Literal["none", "unit", "group", "running", "rank"] = "unit"
    """none: the mean itself. unit: (mean - 1) / 9. group: z-score inside the group. running: z-score over all
    mean votes so far. rank: rank inside the group in [0, 1]."""
    clip: float | None = Field(default=None, gt=0)
    """For `group` and `running`: bounds the absolute value of the z-score; null leaves it."""
    state_path: StatePath | None = None
    """For `running`: file in which the statistics survive a restart."""

    @field_validator("clip", "state_path")
    @classmethod
    def _has_an_effect(cls, value: float | str | None, info: ValidationInfo) -> float | str | None:
        """The other methods keep no statistics, and their reward is bounded: a clip would level its upper end."""
        methods = ("group", "running") if info.field_name == "clip" else ("running",)
        method = info.data.get("method", "running")
        if value is not None and method not in methods:
            raise ValueError(f"method {method} has no use for it, only {' and '.join(methods)}: leave it out, or null")
        return value


class GroupConfig(Section):
    """How single samples are gathered into groups (hooks that see one sample per call)."""

    n: int = Field(default=1, ge=1, le=4096)
    """Samples per prompt. A request may say otherwise (`?n=8`)."""
    wait_s: float = Field(default=30.0, ge=0)
    """Longest wait for missing siblings, from the first one's arrival; then the ones present are judged."""


class FailureConfig(Section):
    """What a framework gets where the judge has no reward."""

    policy: Literal["group_mean", "constant", "raise"] = "group_mean"
    """group_mean: the mean of the group's other rewards (no advantage), `constant` if there is none."""
    constant: float = Field(default=NEUTRAL_REWARD["unit"], allow_inf_nan=False)
    """The fallback reward. Where it is not set, a `Config` puts the neutral reward of `normalize.method` here: 0.5 for
    unit and rank, 5.5 for none, 0 for group and running."""
    deadline_s: float = Field(default=170.0, gt=0)
    """Every request is answered within this time, and `POST /get_reward` within 170 s even where this is longer:
    OpenRLHF gives it up after 180 s, and that call only."""


class ConversationConfig(Section):
    """How the policy's prompt text is turned back into a conversation for the GRM."""

    format: Literal["auto", "plain", "chatml", "llama3", "gemma", "deepseek", "mistral", "tokenizer"] = "auto"
    """Chat format of the prompts. auto recognises the named ones and takes anything else as one user turn."""
    tokenizer: ModelPath | None = None
    """The policy's folder or id, for format `tokenizer`: its chat template is inverted."""


class ServiceConfig(Section):
    """Where and for whom the service runs."""

    name: str = Field(default="grm", pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    """Name of the Ray Serve application; two services on one cluster need two names."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8790, ge=1, le=65535)
    """HTTP port."""
    lifetime: Literal["job", "shared"] = "job"
    """job: dies with the process that started it. shared: stays until `grm-plugin stop`."""
    ready_timeout_s: float = Field(default=900.0, gt=0)
    """Longest wait for the models to load."""
    max_waiting: int = Field(default=32_768, ge=1)
    """Samples in the service at once; beyond this it answers 503 with Retry-After. OpenRLHF's HTTP call cannot obey
    that and loses the reward: allow for a whole rollout batch, prompts times samples each."""
    token_env: str = Field(default=TOKEN_ENV, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Environment variable that holds the token which requests must carry. Where GRM_TOKEN is not set none is asked
    for; another variable must be set."""
    max_body_mb: float = Field(default=128.0, gt=0)
    """Largest body of a request in MiB; a larger one is answered 413 before it is read to its end."""
    max_samples: int = Field(default=16_384, ge=1)
    """Most responses in one request; more are answered 422."""
    max_chars: int = Field(default=2_000_000, ge=1)
    """Longest single text in a request (a prompt, a response, a label ...) in characters; a longer one is answered
    422. The GRM is shown at most `judge.max_response_chars` of a response."""


class TraceConfig(Section):
    """What is kept of the judging: every group with its critiques, to be read on the service's page."""

    path: StatePath | None = None
    """SQLite file for the traces, on a local disk; null keeps none. Several services may share one."""
    sample: float = Field(default=1.0, gt=0, le=1)
    """Share of the groups that is kept, drawn at random."""
    max_groups: int = Field(default=200_000, ge=1)
    """Groups kept; the oldest go first."""
    max_mb: float = Field(default=8192.0, ge=1)
    """Size of the store in MiB; the oldest groups go first."""


class Config(Section):
    """The whole configuration of a GRM reward."""

    engine: EngineConfig
    """Where the GRM runs: type vllm, openai or fake, each with keys of its own."""
    meta_rm: AnyMetaRMConfig | None = None
    """The meta RM; null votes without one."""
    sampling: SamplingConfig = SamplingConfig()
    """How the GRM is sampled."""
    judge: JudgeConfig = JudgeConfig()
    """How responses are put before the GRM."""
    normalize: NormalizeConfig = NormalizeConfig()
    """How votes become rewards."""
    group: GroupConfig = GroupConfig()
    """How samples become groups."""
    failure: FailureConfig = Field(default=FailureConfig(), validate_default=True)  # after normalize, which it reads
    """What replaces a missing reward."""
    conversation: ConversationConfig = ConversationConfig()
    """How prompts become conversations."""
    service: ServiceConfig = ServiceConfig()
    """Where the service runs."""
    trace: TraceConfig = TraceConfig()
    """What is kept of the judging."""

    @field_validator("failure")
    @classmethod
    def _neutral_fallback(cls, failure: FailureConfig, info: ValidationInfo) -> FailureConfig:
        normalize = info.data.get("normalize")  # absent where it is wrong itself
        if "constant" in failure.model_fields_set or normalize is None:
            return failure
        values = failure.model_dump() | {"constant": NEUTRAL_REWARD[normalize.method]}
        return FailureConfig.model_construct(failure.model_fields_set, **values)  # still not one that is set

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        k, k_meta = self.sampling.k, self.meta_rm.k_meta if self.meta_rm else None
        if k_meta is not None and k_meta > k:
            raise ValueError(f"meta_rm.k_meta ({k_meta}) is larger than sampling.k ({k}): keep at most k critiques")
        if self.conversation.format == "tokenizer" and self.conversation.tokenizer is None:
            raise ValueError(
                "conversation.format is 'tokenizer': set conversation.tokenizer to the policy's folder or id"
            )
        if self.group.wait_s > self.failure.deadline_s / 2:
            raise ValueError(
                f"group.wait_s ({self.group.wait_s:g}) must be at most half of "
                f"failure.deadline_s ({self.failure.deadline_s:g}): the rest is for judging"
            )
        return self

    def kept_of(self, drawn: int) -> int:
        """How many of the critiques drawn are kept: all without a meta RM, else `meta_rm.k_meta` or half (at least 1).

        Early stopping may draw fewer than `sampling.k`; those that cannot be read count as drawn.
        """
        if self.meta_rm is None:
            return drawn
        return min(drawn, self.meta_rm.k_meta or max(1, drawn // 2))
