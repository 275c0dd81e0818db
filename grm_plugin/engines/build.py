"""Builds the engine that a section of the configuration describes; what it depends on is imported only then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from grm_plugin.config import (
    AnyMetaRMConfig,
    Config,
    EngineConfig,
    FakeConfig,
    FakeMetaRMConfig,
    OpenAIConfig,
    VLLMConfig,
)
from grm_plugin.judging.seams import Generator, MetaRM


def build_generator(config: EngineConfig) -> Generator:
    """The engine that `engine.type` names, in this process.

    Raises:
        EngineError: it cannot start (the weights are missing, too little memory, ...).
    """
    return _BUILDERS[type(config)](config)


def check_engine_can(config: Config) -> None:
    """Check, before a model is loaded, that the engine can do what `sampling` asks of it.

    Raises:
        EngineError: the installed vLLM is too old.
    """
    if isinstance(config.engine, VLLMConfig):
        from grm_plugin.engines.vllm_sampling import check_vllm_can

        check_vllm_can(config.sampling)


def build_meta_rm(config: AnyMetaRMConfig) -> MetaRM:
    """The meta RM that `meta_rm.type` names, in this process.

    Raises:
        EngineError: as `build_generator`.
    """
    if isinstance(config, FakeMetaRMConfig):
        from grm_plugin.engines import fake

        return fake.FakeMetaRM(fake.rate_by_length, config.delay_s)
    from grm_plugin.engines.vllm import VLLMMetaRM

    return VLLMMetaRM(config)


def build_scalar(config: VLLMConfig | FakeConfig, named: str) -> MetaRM:
    """A scalar reward model, in this process: it rates whole responses, as a meta RM rates critiques.

    Args:
        config: the model, a sequence classification model with one label; or the rule for trying things out.
        named: what the user typed it for, in errors about it.

    Raises:
        EngineError: as `build_generator`.
    """
    if isinstance(config, FakeConfig):
        from grm_plugin.engines import fake

        return fake.FakeMetaRM(fake.rate_by_length, config.delay_s)
    from grm_plugin.engines.vllm import VLLMMetaRM

    return VLLMMetaRM(config, named, "raise engine.max_model_len, if the model can read more")


def _vllm(config: VLLMConfig) -> Generator:
    from grm_plugin.engines.vllm import VLLMEngine

    return VLLMEngine(config)


def _openai(config: OpenAIConfig) -> Generator:
    from grm_plugin.engines.openai import OpenAIEngine

    return OpenAIEngine(config)


def _fake(config: FakeConfig) -> Generator:
    from grm_plugin.engines import fake

    return fake.FakeEngine(fake.score_by_vocabulary, config.delay_s)


_BUILDERS: dict[type[EngineConfig], Callable[[Any], Generator]] = {
    VLLMConfig: _vllm,
    OpenAIConfig: _openai,
    FakeConfig: _fake,
}
