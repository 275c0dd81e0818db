"""The configuration's sections for models: the GRM's engine and the meta RM."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from grm_plugin.config.fields import ModelPath, Section, TemplatePath


class VLLMConfig(Section):
    """A model served by vLLM inside Ray Serve replicas."""

    type: Literal["vllm"] = "vllm"
    """Chooses this section."""
    model: ModelPath
    """Folder or Hugging Face id of the weights."""
    replicas: int = Field(default=1, ge=1)
    """Engines to start; requests are spread over them."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs per replica, reserved by the replica's own actor on one node. Ignored on a machine without CUDA."""
    max_model_len: int | None = Field(default=None, ge=16)
    """Longest prompt + completion in tokens; null takes the model's own."""
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    """Share of each dedicated GPU's memory that vLLM may take."""
    dtype: str = "auto"
    """vLLM's dtype name."""
    trust_remote_code: bool = False
    """Runs Python code shipped with the weights. Off unless you trust their author."""
    max_concurrency: int = Field(default=256, ge=1)
    """Requests in flight per replica; more wait in front of it, in Ray Serve's router."""
    engine_args: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of vLLM's AsyncEngineArgs, passed through as they are."""

    @property
    def runs_remote_code(self) -> bool:
        """Whether Python code that came with the weights will run."""
        return bool(self.engine_args.get("trust_remote_code", self.trust_remote_code))


class OpenAIConfig(Section):
    """A GRM behind any OpenAI-compatible server (vLLM, SGLang, a hosted API)."""

    type: Literal["openai"] = "openai"
    """Chooses this section."""
    model: str
    """Model name that the server knows."""
    base_url: str
    """Address of the server up to and including its version, for example http://127.0.0.1:8001/v1."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; a server without keys needs none."""
    max_concurrency: int = Field(default=64, ge=1)
    """Requests in flight; more wait in the service."""


class FakeConfig(Section):
    """No model: scores by a plain rule. For dry runs of a configuration and for tests."""

    type: Literal["fake"] = "fake"
    """Chooses this section."""
    delay_s: float = Field(default=0.0, ge=0)
    """Seconds before each answer."""
    replicas: int = Field(default=0, ge=0)
    """Processes on Ray Serve, without a GPU; 0 runs it inside the service."""
    max_concurrency: int = Field(default=256, ge=1)
    """Requests in flight per replica; more wait in Ray Serve's router. Without replicas there is no bound."""


EngineConfig = Annotated[VLLMConfig | OpenAIConfig | FakeConfig, Field(discriminator="type")]


class MetaFilterConfig(Section):
    """What every kind of meta RM is told about the vote."""

    k_meta: int | None = Field(default=None, ge=1)
    """Critiques kept for the vote; null keeps half of those drawn (the paper's choice)."""
    template: TemplatePath | None = None
    """Prompt template file for the meta RM; null takes the built-in one."""


class MetaRMConfig(VLLMConfig, MetaFilterConfig):
    """A scalar meta RM (one-label sequence classification): the critiques it rates worst do not vote."""


class FakeMetaRMConfig(FakeConfig, MetaFilterConfig):
    """No model: rates critiques by a plain rule. For tests."""


def _meta_rm_type(data: Any) -> Any:
    return data.get("type", "vllm") if isinstance(data, dict) else getattr(data, "type", None)


AnyMetaRMConfig = Annotated[
    Annotated[MetaRMConfig, Tag("vllm")] | Annotated[FakeMetaRMConfig, Tag("fake")], Discriminator(_meta_rm_type)
]


def replicas_of(model: VLLMConfig | OpenAIConfig | FakeConfig | None) -> int:
    """Processes of its own that a model has on Ray Serve; 0 where it runs inside the service, or elsewhere."""
    return model.replicas if isinstance(model, VLLMConfig | FakeConfig) else 0
