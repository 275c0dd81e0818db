"""The sections of the configuration, and `Config`, which holds them all.

A docstring below a key is its documentation for users (`grm-plugin config FILE --explain` prints it). Defaults are the
paper's settings (arXiv 2504.02495). `grm_plugin.config.loading.load_config` reads files and overrides.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from grm_plugin.config.answer_lines import answer_line
from grm_plugin.config.engines import AnyMetaRMConfig, EngineConfig, OpenAIConfig, VLLMConfig
from grm_plugin.config.fields import ModelPath, Section, StatePath
from grm_plugin.config.judge import JudgeConfig
from grm_plugin.config.modes import sampling_problem

TOKEN_ENV = "GRM_TOKEN"
"""Environment variable of the service's token, unless `service.token_env` names another one."""

METRICS_TOKEN_ENV = "GRM_METRICS_TOKEN"
"""Environment variable of the token for `/metrics`, unless `service.metrics_token_env` names another one."""


FEWEST_VOTES = 4
"""Early stopping looks at no fewer: they say nothing of their own spread."""

FEWEST_FOR_ADVANTAGE = 8
"""Nor at fewer than these with goal advantage and lists of three or more."""

THINKING_MARKS = ("<think>", "</think>", "◁think▷", "◁/think▷", "<longcat_think>", "</longcat_think>")
"""Marks of thinking that are ordinary text to `judging.sanitizing`: with a budget they are control tokens."""

STEADIEST = 4.0
"""The responses of a list hardly differ by more standard deviations of a vote than this (`sampling.adaptive`)."""


class AdaptiveConfig(Section):
    """Early stopping: the votes on a list are looked at after a quarter, half and three quarters of k, in whole sets of
    orders, and no more are sampled where these are enough. Saves a fifth to a half of the tokens; up to four rounds."""

    goal: Literal["winner", "advantage"] = "winner"
    """What the votes are for. winner: which response of a list is best, as all k votes would say; for best-of-n and
    lists of two. advantage: the z-score of each response in its list (GRPO), precise to `tolerance`; or the responses
    are tied as far as votes can tell. Lists of two stop as with winner, lists of one never."""
    flip: float = Field(default=0.05, ge=0.001, lt=0.5)
    """For winner: probability, per look and rival, that all k votes would name another winner. Less is surer, and stops
    later; the winner changes in fewer lists than this says."""
    tolerance: float = Field(default=0.3, gt=0)
    """For advantage: root mean squared error of a z-score at which it is precise enough. 0.3 is what 32 votes reach
    where votes scatter about twice as much as responses differ."""


class ThinkingConfig(Section):
    """How long a GRM that thinks before it answers may do so, in tokens of each critique (budget forcing)."""

    min: int = Field(default=0, ge=0)
    """The mark that ends the thinking is held back for so many tokens. Costs a second request per critique, which finds
    the first one in the prefix cache. For engine.type vllm."""
    max: int | None = Field(default=None, ge=0)
    """After so many tokens the mark is put in, and the GRM answers. It counts within `max_tokens`."""

    @field_validator("max")
    @classmethod
    def _is_no_less(cls, most: int | None, info: ValidationInfo) -> int | None:
        least = info.data.get("min", 0)
        if most is not None and most < least:
            raise ValueError(f"it is {most}, and min is {least}: raise max, or lower min")
        return most


class RepetitionConfig(Section):
    """When a critique goes in circles: it ends there instead of at `max_tokens`, and counts as cut off."""

    pattern: int = Field(default=64, ge=8)
    """Longest pattern in tokens. A shorter one than 8 counts by its repeats, so that a table's rule is no circle."""
    times: int = Field(default=4, ge=2)
    """So many times in a row, and the critique ends."""


class SamplingConfig(Section):
    """How the GRM is sampled."""

    k: int = Field(default=8, ge=1, le=1024)
    """Critiques sampled per list of responses. Each is one vote on every response of the list."""
    orders: int | None = Field(default=None, ge=1)
    """Different orders in which the responses of a list are shown, each for about k / orders critiques, so that none
    gains by its place; null takes as many as the list has responses."""
    temperature: float = Field(default=0.5, ge=0, le=2)
    """Sampling temperature; 0.5 is the paper's. 0 takes the likeliest token each time: the critiques of an order are
    then all the same, so one is generated and counts for all of its votes."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Nucleus sampling: tokens are drawn from the likeliest that together have this probability; 1 draws from all."""
    max_tokens: int = Field(default=2048, ge=1)
    """Longest critique in tokens. A longer one is cut off, and its vote is lost unless `force_answer` asks for it."""
    force_answer: bool = False
    """Whether a critique that is cut off is asked for its scores: the beginning of its answer (such as `Scores:
    \\boxed{`) is put behind it, and the GRM writes the few tokens that are left. Such votes are marked `forced`. They
    are lost as before while they agree so badly with the other votes on their lists that the mean is better without
    them. For engine.type vllm; not for judge.answer regex with a pattern of your own."""
    thinking_tokens: ThinkingConfig | None = None
    """Bounds of a GRM's thinking; null sets none. What of a response looks like a mark of thinking is then broken up in
    what the GRM reads, or it would count as the GRM's own. engine.type vllm needs the marks: `reasoning_parser` or
    `reasoning_config` in `engine.engine_args`."""
    repetition: RepetitionConfig | None = None
    """Ends critiques that go in circles; null lets them go on. Needs a vLLM that can (0.32 does)."""
    seed: int | None = None
    """Makes the orders of responses, the markers around them and the sampling repeatable; null draws new ones."""
    adaptive: AdaptiveConfig | None = None
    """Early stopping; null always samples k critiques. With a meta RM half of those sampled vote."""

    def orders_of(self, n: int, k: int | None = None) -> int:
        """In how many orders a list of n responses is shown, for k votes (None: this section's)."""
        return min(self.orders or n, k or self.k, math.factorial(n))

    def looks(self, n: int, k: int | None = None) -> list[int]:
        """After how many of k votes on a list of n responses early stopping looks; none without it.

        At a quarter, half and three quarters, in whole sets of orders, or stopping would leave a position bias. Few
        looks: each is one more chance to stop wrongly, and one more wait.
        """
        k = k or self.k
        if self.adaptive is None or n < 2:
            return []
        orders = self.orders_of(n, k)
        parts = (max(FEWEST_VOTES, math.ceil(k * quarter / 4)) for quarter in (1, 2, 3))
        return sorted({votes for part in parts if (votes := math.ceil(part / orders) * orders) < k})


NEUTRAL_REWARD = {"none": 5.5, "unit": 0.5, "rank": 0.5, "group": 0.0, "running": 0.0}
"""Per normalising method, the middle of its range: a reward that neither praises nor punishes."""


class NormalizeConfig(Section):
    """How the mean vote on a response (1 to 10) becomes its reward."""

    method: Literal["none", "unit", "group", "running", "rank"] = "unit"
    """none: the mean vote itself. unit: (mean - 1) / 9, so 0 to 1. group: z-score among the group's mean votes.
    running: z-score among all mean votes so far. rank: rank in the group, from 0 (worst) to 1 (best). `group` and
    `rank` need at least two samples per prompt, and refuse a call that says one. `running` does not learn from requests
    marked as evaluation (`learn=false`; before any training they get 0): Client marks them on request, and so do the
    hooks for OpenRLHF (agent), verl, TRL and slime by themselves. OpenRLHF's HTTP and function hooks cannot tell, and
    with them evaluation moves the statistics."""
    clip: float | None = Field(default=None, gt=0)
    """For `group` and `running`: z-scores are limited to between -clip and clip; null sets no limit."""
    length_penalty: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """What a response loses for being longer than the mean of the group's responses, before `method`: its mean vote,
    less 1, is divided by 1 + length_penalty x how much longer it is as a share of that mean. At 0.2 one that is twice
    as long as the mean goes from 8 to 6.8. Lengths are characters of the whole response. Shorter ones stay as they
    are; so do those without votes or with the lowest score by rule, which do not count in that mean, and the rewards of
    single criteria. 0 takes nothing; `grm_length_corr` says whether more is needed."""
    state_path: StatePath | None = None
    """For `running`: file in which the statistics survive a restart; null starts anew each time."""

    @field_validator("clip", "state_path")
    @classmethod
    def _is_of_use(cls, value: float | str | None, info: ValidationInfo) -> float | str | None:
        """Refuse what the method would ignore. A clip of unit, rank or none would make the best responses equal."""
        users = ("group", "running") if info.field_name == "clip" else ("running",)
        method = info.data.get("method", "running")  # absent where it is wrong itself
        if value is not None and method not in users:
            raise ValueError(f"method {method} does not use it, only {' and '.join(users)}: leave it out, or null")
        return value


class GroupConfig(Section):
    """How single samples become groups, for hooks that send one sample per call."""

    n: int = Field(default=1, ge=1, le=4096)
    """Samples per prompt, which make a group. A request may say otherwise (`?n=8`). 1 judges each sample alone."""
    wait_s: float = Field(default=30.0, ge=0)
    """Longest wait for a group to be complete, in seconds from its first sample; then those present are judged. At most
    half of `failure.deadline_s`."""


class FailureConfig(Section):
    """What a framework gets as the reward of a response that has no vote."""

    policy: Literal["group_mean", "constant", "raise"] = "group_mean"
    """group_mean: the mean of the group's other rewards, which is no advantage in GRPO; `constant` where there is none.
    constant: always `constant`. raise: an error instead of rewards."""
    constant: float = Field(default=NEUTRAL_REWARD["unit"], allow_inf_nan=False)
    """The reward that the policy puts in. Unless you set it, the neutral one of `normalize.method`: 0.5 for unit and
    rank, 5.5 for none, 0 for group and running."""
    deadline_s: float = Field(default=170.0, gt=0)
    """Seconds within which every request is answered; the policy replaces what has not been judged by then. `POST
    /get_reward` is answered within 170 s even where this is longer: OpenRLHF's HTTP call gives up after 180 s."""


class ConversationConfig(Section):
    """How the policy's prompt text is turned back into a conversation for the GRM."""

    format: Literal["auto", "plain", "chatml", "llama3", "gemma", "deepseek", "mistral", "tokenizer"] = "auto"
    """Chat format of the prompts. auto: recognises the five named ones, and takes any other text as one user turn.
    plain: takes every text as one user turn. tokenizer: that of `conversation.tokenizer`."""
    tokenizer: ModelPath | None = None
    """For format tokenizer: folder or Hugging Face id of the policy, whose chat template is read backwards. A folder
    beside this file counts before an id of the same name, as in `engine.model`."""


class ServiceConfig(Section):
    """Where the service listens, how long it lives, and how much it takes on."""

    name: str = Field(default="grm", pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    """Name by which the service is found and stopped; two services on one Ray cluster need two names."""
    host: str = "127.0.0.1"
    """Address to listen on. 127.0.0.1 is reached from this machine only, 0.0.0.0 from everywhere: set a token then."""
    port: int = Field(default=8790, ge=1, le=65535)
    """HTTP port."""
    replicas: int = Field(default=1, ge=1)
    """Processes that take requests, on one machine and port. One is full at about a thousand rewards per second, of
    which it gathers, splits and settles each. More than one run on Ray. Each takes whole groups; single samples go to
    the process that gathers their prompt."""
    lifetime: Literal["job", "shared"] = "job"
    """job: the service ends with the process that started it. shared: it stays until `grm-plugin stop`."""
    ready_timeout_s: float = Field(default=900.0, gt=0)
    """Longest wait for the models at the start, in seconds: their download, if need be, and loading."""
    gpu_timeout_s: float = Field(default=10.0, gt=0)
    """Longest wait for GPUs that are not free or not there yet, in seconds, within `ready_timeout_s`. Where Ray's
    autoscaler runs, which adds nodes, `ready_timeout_s` alone counts."""
    max_waiting: int = Field(default=32_768, ge=1)
    """Most samples in each process of the service at once; further ones are answered 503 with Retry-After, but for
    siblings of samples that are in it. OpenRLHF's HTTP call cannot obey that and loses the reward, so allow for a whole
    rollout batch: prompts times samples each."""
    token_env: str = Field(default=TOKEN_ENV, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Environment variable with the token that requests must carry. While GRM_TOKEN is not set, no token is asked for;
    any other variable named here must be set."""
    metrics_token_env: str = Field(default=METRICS_TOKEN_ENV, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Environment variable with a second token, which opens `/metrics` and nothing else, for Prometheus. While
    GRM_METRICS_TOKEN is not set, the metrics take the service's token; any other variable named here must be set."""
    max_body_mb: float = Field(default=128.0, gt=0)
    """Largest body of a request in MiB; a larger one is answered 413 before it is read to its end."""
    max_samples: int = Field(default=16_384, ge=1)
    """Most responses in one request; a request with more is answered 422."""
    max_chars: int = Field(default=2_000_000, ge=1)
    """Longest single text in a request (a prompt, a response, a label ...) in characters; a longer one is answered
    422. How much of a response the GRM reads is set by `judge.max_response_chars`."""


class TraceConfig(Section):
    """What is kept of the judging, to be read on the service's page: groups with their critiques and rewards."""

    path: StatePath | None = None
    """SQLite file for the traces, on a local disk; several services may share one. null keeps no traces."""
    sample: float = Field(default=1.0, gt=0, le=1)
    """Share of the groups that is kept, drawn at random; 1 keeps all."""
    max_groups: int = Field(default=200_000, ge=1)
    """Most groups kept; beyond this the oldest are deleted."""
    max_mb: float = Field(default=8192.0, ge=1)
    """Largest size of the file in MiB; beyond this the oldest groups are deleted."""


class Config(Section):
    """The whole configuration of a GRM reward."""

    engine: EngineConfig
    """What runs the GRM: type vllm, openai or fake, each with keys of its own."""
    meta_rm: AnyMetaRMConfig | None = None
    """The meta RM, which rates critiques so that the worst do not vote; null lets all of them vote."""
    sampling: SamplingConfig = SamplingConfig()
    """How the GRM is sampled."""
    judge: JudgeConfig = Field(default=JudgeConfig(), validate_default=True)  # below sampling, which it reads
    """How responses are put before the GRM and how its answer is read."""
    normalize: NormalizeConfig = NormalizeConfig()
    """How votes become rewards."""
    group: GroupConfig = GroupConfig()
    """How single samples become groups."""
    failure: FailureConfig = Field(default=FailureConfig(), validate_default=True)  # below normalize, which it reads
    """What replaces a missing reward."""
    conversation: ConversationConfig = ConversationConfig()
    """How prompt texts become conversations."""
    service: ServiceConfig = ServiceConfig()
    """Where the service listens, how long it lives, and how much it takes on."""
    trace: TraceConfig = TraceConfig()
    """What is kept of the judging."""

    @field_validator("failure")
    @classmethod
    def _neutral_fallback(cls, failure: FailureConfig, info: ValidationInfo) -> FailureConfig:
        normalize = info.data.get("normalize")  # absent where it is wrong itself
        if "constant" in failure.model_fields_set or normalize is None:
            return failure
        values = failure.model_dump() | {"constant": NEUTRAL_REWARD[normalize.method]}
        # `constant` does not count as set: put into another Config, this section takes that one's neutral reward.
        return FailureConfig.model_construct(failure.model_fields_set, **values)

    @field_validator("judge")
    @classmethod
    def _breaks_up_marks_of_thinking(cls, judge: JudgeConfig, info: ValidationInfo) -> JudgeConfig:
        sampling, engine = info.data.get("sampling"), info.data.get("engine")  # absent where they are wrong themselves
        if sampling is None or sampling.thinking_tokens is None:
            return judge
        marks = (*THINKING_MARKS, *(engine.thinking_marks if isinstance(engine, VLLMConfig) else ()))
        further = tuple(mark for mark in dict.fromkeys(marks) if mark not in judge.control_tokens)
        return judge.model_copy(update={"control_tokens": (*judge.control_tokens, *further)})

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        k, k_meta = self.sampling.k, self.meta_rm.k_meta if self.meta_rm else None
        if k_meta is not None and k_meta > k:
            raise ValueError(f"meta_rm.k_meta ({k_meta}) is larger than sampling.k ({k}): keep at most k critiques")
        if self.conversation.format == "tokenizer" and self.conversation.tokenizer is None:
            raise ValueError(
                "conversation.format is 'tokenizer': set conversation.tokenizer to the policy's folder or id"
            )
        if problem := sampling_problem(self.judge, self.sampling):
            raise ValueError(problem)
        if self.sampling.adaptive is not None:
            self._check_looks(self.sampling.adaptive)
        if self.sampling.force_answer:
            self._check_can_force()
        if self.sampling.thinking_tokens is not None:
            self._check_thinking(self.sampling.thinking_tokens)
        if self.group.wait_s > self.failure.deadline_s / 2:
            raise ValueError(
                f"group.wait_s ({self.group.wait_s:g}) must be at most half of "
                f"failure.deadline_s ({self.failure.deadline_s:g}): the rest is for judging"
            )
        return self

    def _check_looks(self, adaptive: AdaptiveConfig) -> None:
        k, n = self.sampling.k, self.judge.shown_together
        if n < 2:
            raise ValueError(
                "sampling.adaptive compares the responses of a list, and judge.list_size is 1: leave it out"
            )
        if self.sampling.temperature == 0:
            raise ValueError(
                "sampling.adaptive saves nothing where sampling.temperature is 0: one critique per order is generated "
                "anyway. Leave it out"
            )
        if self.meta_rm is not None and self.meta_rm.k_meta is not None:
            raise ValueError(
                f"meta_rm.k_meta is {self.meta_rm.k_meta}, however many critiques sampling.adaptive asks for: leave "
                "k_meta out, and half of those asked for vote"
            )
        fewest = FEWEST_FOR_ADVANTAGE if adaptive.goal == "advantage" and n > 2 else FEWEST_VOTES
        if not any(self.kept_of(look) >= fewest for look in self.sampling.looks(n)):
            half = ", of which half vote" if self.meta_rm else ""
            raise ValueError(
                f"sampling.adaptive would never end before the last vote: sampling.k is {k}{half}, and goal "
                f"{adaptive.goal} looks at no fewer than {fewest} votes, in whole sets of "
                f"{self.sampling.orders_of(n)} orders. Raise sampling.k, lower sampling.orders, or leave it out"
            )
        best = math.sqrt((n - 2) / (n * k)) / STEADIEST if n > 2 else 0.0
        if adaptive.goal == "advantage" and adaptive.tolerance < best:
            raise ValueError(
                f"sampling.adaptive.tolerance {adaptive.tolerance:g} cannot be reached: with lists of {n} and k = {k} "
                f"even a very steady GRM comes to {best:.2g}. Raise it, or sampling.k"
            )

    def _check_can_force(self) -> None:
        if isinstance(self.engine, OpenAIConfig):
            raise ValueError(
                "sampling.force_answer continues a text by its tokens, which engine.type openai cannot: use "
                "engine.type vllm, or leave it out and raise sampling.max_tokens"
            )
        if answer_line(self.judge, 1) is None:
            raise ValueError(
                "sampling.force_answer cannot know how an answer begins with judge.answer regex and a pattern of your "
                "own: leave it out, or choose another judge.answer"
            )

    def _check_thinking(self, thinking: ThinkingConfig) -> None:
        if isinstance(self.engine, OpenAIConfig) and thinking.min:
            raise ValueError(
                "sampling.thinking_tokens.min holds back a token, which engine.type openai cannot: use engine.type "
                "vllm, or leave min out"
            )
        if isinstance(self.engine, VLLMConfig) and not {"reasoning_parser", "reasoning_config"} & {
            *self.engine.engine_args
        }:
            raise ValueError(
                "sampling.thinking_tokens needs the marks of thinking: set engine.engine_args.reasoning_parser to the "
                "one of your model (qwen3, deepseek_r1 ...), or engine.engine_args.reasoning_config to "
                "{reasoning_start_str: <think>, reasoning_end_str: </think>}"
            )
        if thinking.min >= self.sampling.max_tokens:
            raise ValueError(
                f"sampling.thinking_tokens.min {thinking.min} leaves no token of sampling.max_tokens "
                f"({self.sampling.max_tokens}) for an answer: lower it, or raise max_tokens"
            )

    def kept_of(self, drawn: int) -> int:
        """How many critiques of a list vote, of `drawn`: all without a meta RM, else `meta_rm.k_meta` or half of them.

        At least 1. Early stopping may draw fewer than `sampling.k`; a critique that cannot be read counts as drawn.
        """
        if self.meta_rm is None:
            return drawn
        return min(drawn, self.meta_rm.k_meta or max(1, drawn // 2))
