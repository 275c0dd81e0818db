"""The configuration's sections for models: what runs the GRM (`engine`) and the meta RM (`meta_rm`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator

from grm_plugin.config.fields import ModelPath, Section, TemplatePath, json_mapping

_OF_THE_TEMPLATE = dict.fromkeys(
    ("conversation", "messages", "tokenize", "add_generation_prompt", "continue_final_message"), "grm_plugin itself"
)
_OF_A_REQUEST = {
    "model": "engine.model",
    "messages": "judge.template",
    "n": "sampling.k",
    "temperature": "sampling.temperature",
    "top_p": "sampling.top_p",
    "max_tokens": "sampling.max_tokens",
    "max_completion_tokens": "sampling.max_tokens (and engine.max_tokens_name)",
    "seed": "sampling.seed",
    "stream": "grm_plugin itself",
    "chat_template_kwargs": "engine.chat_template_kwargs",
}

TemplateArguments = Annotated[dict[str, Any], AfterValidator(json_mapping(_OF_THE_TEMPLATE))]
RequestFields = Annotated[dict[str, Any], AfterValidator(json_mapping(_OF_A_REQUEST))]


class VLLMConfig(Section):
    """A model that vLLM runs on GPUs of its own: for a service in replicas on Ray."""

    type: Literal["vllm"] = "vllm"
    """What runs the model; it decides which other keys this section has."""
    model: ModelPath
    """Folder or Hugging Face id (owner/name) of the weights. A folder beside this file counts before an id of the same
    name (typed as an override, one in the current folder does). What starts with `.`, `/` or `~` is always a folder."""
    replicas: int = Field(default=1, ge=1)
    """Copies of the model to start, each on GPUs of its own; requests are spread over them."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs that one replica is split over, all on one node. Ignored on a machine without CUDA."""
    max_model_len: int | None = Field(default=None, ge=16)
    """Longest prompt and completion together, in tokens; null takes the model's own limit."""
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    """Share of its GPUs' memory that vLLM takes for weights and KV cache. The GPUs serve nothing else."""
    dtype: str = "auto"
    """Number format as vLLM names it (bfloat16, float16, float32); auto takes that of the weights."""
    trust_remote_code: bool = False
    """Whether to run Python code that comes with the weights. Leave it off unless you trust their author."""
    max_concurrency: int = Field(default=256, ge=1)
    """Most requests that a replica works on at once, one per order of a list; further lists wait in the service."""
    chat_template_kwargs: TemplateArguments = Field(default_factory=dict)
    """Further arguments of the model's chat template, by name. For example `{enable_thinking: false}` makes a hybrid
    model judge without thinking first."""
    engine_args: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of vLLM's AsyncEngineArgs, by name. What they set counts, whatever the keys above say."""

    @property
    def thinking_marks(self) -> tuple[str, ...]:
        """The marks of thinking that `engine_args.reasoning_config` names."""
        named = self.engine_args.get("reasoning_config")
        texts = [named.get(f"reasoning_{end}_str") for end in ("start", "end")] if isinstance(named, dict) else []
        # A sentence may stand before the mark.
        return tuple(text.split()[-1] for text in texts if isinstance(text, str) and len(text.strip()) > 1)

    @property
    def runs_remote_code(self) -> bool:
        """Whether Python code that came with the weights will run."""
        return bool(self.engine_args.get("trust_remote_code", self.trust_remote_code))


class OpenAIConfig(Section):
    """A GRM behind any OpenAI-compatible server (vLLM, SGLang, a hosted API)."""

    type: Literal["openai"] = "openai"
    """What runs the model; it decides which other keys this section has."""
    model: str
    """Name under which the server offers the model."""
    base_url: str
    """Address of the server's API up to and including its version, for example http://127.0.0.1:8001/v1. The HTTP proxy
    of the environment (HTTPS_PROXY ...) is used, but not to an address of this machine or of a private network."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the API key; it may be unset where the server asks for no key."""
    max_concurrency: int = Field(default=64, ge=1)
    """Most requests to the server at once; further ones wait in the service. Processes of the service
    (`service.replicas`) share them evenly."""
    max_tokens_name: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    """What the server calls the limit `sampling.max_tokens`. auto: max_tokens, and the other one once the server has
    refused that."""
    chat_template_kwargs: TemplateArguments = Field(default_factory=dict)
    """Further arguments of the model's chat template, by name, for servers that render one (vLLM, SGLang); for example
    `{enable_thinking: false}`."""
    extra_body: RequestFields = Field(default_factory=dict)
    """Further fields of each request, for example `{reasoning_effort: low}`. Those that other keys set are refused."""

    @field_validator("base_url")
    @classmethod
    def _has_a_port_that_there_is(cls, url: str) -> str:
        try:
            urlsplit(url).port  # noqa: B018  # raises where it is none
        except ValueError as error:
            raise ValueError(f"{url!r} is no address ({error}): give http://HOST:PORT/v1 or the like") from None
        return url


class FakeConfig(Section):
    """No model: a plain rule gives the scores. For trying out a job's wiring without a GPU, and for tests."""

    type: Literal["fake"] = "fake"
    """What runs the model; it decides which other keys this section has."""
    delay_s: float = Field(default=0.0, ge=0)
    """Seconds that each answer takes."""
    replicas: int = Field(default=0, ge=0)
    """Processes to start on Ray, as for a model but without GPUs; 0 answers inside the service's process."""
    max_concurrency: int = Field(default=256, ge=1)
    """Most requests that a replica works on at once, one per order of a list; further lists wait in the service. There
    is no bound without replicas."""


EngineConfig = Annotated[VLLMConfig | OpenAIConfig | FakeConfig, Field(discriminator="type")]


class MetaFilterConfig(Section):
    """What every kind of meta RM has beside the keys of its engine."""

    k_meta: int | None = Field(default=None, ge=1)
    """Critiques of a list that vote: those that the meta RM rates best. null takes half of those sampled, as the paper
    does."""
    template: TemplatePath | None = None
    """File with the meta RM's prompt template, or builtin:NAME for one that ships with the package; the released
    weights know builtin:deepseek_grm_meta_rm. null takes the general one."""


class MetaRMConfig(VLLMConfig, MetaFilterConfig):
    """A sequence classification model with one label, whose logit rates a critique: those rated worst do not vote."""


class FakeMetaRMConfig(FakeConfig, MetaFilterConfig):
    """No model: the longer a critique, the better its rating. For trying out a job's wiring, and for tests."""


def _meta_rm_type(data: Any) -> Any:
    return data.get("type", "vllm") if isinstance(data, dict) else getattr(data, "type", None)


AnyMetaRMConfig = Annotated[
    Annotated[MetaRMConfig, Tag("vllm")] | Annotated[FakeMetaRMConfig, Tag("fake")], Discriminator(_meta_rm_type)
]


ENGINE_TYPES: tuple[str, ...] = tuple(
    section.model_fields["type"].default for section in get_args(get_args(EngineConfig)[0])
)
"""What `engine.type` may be."""


def name_of(model: Section) -> str:
    """What a model is called: its folder, its id, or the engine's type where there is no model."""
    return str(getattr(model, "model", getattr(model, "type", "")))


def replicas_of(model: Section | None) -> int:
    """How many processes a model has on Ray; 0 where it runs inside the service, elsewhere, or not at all."""
    return int(getattr(model, "replicas", 0))
