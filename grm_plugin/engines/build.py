"""Config section -> engine. Each engine's dependencies are imported when it is built, and not before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from grm_plugin.config import AnyMetaRM, EngineConfig, FakeEngine, FakeMetaRM, OpenAIEngine, VLLMModel
from grm_plugin.engines.base import Generator, MetaRM


def build_generator(config: EngineConfig) -> Generator:
    """The engine that `engine.type` names, in this process.

    Raises:
        EngineError: it cannot start (the weights are missing, too little memory, ...).
    """
    return _BUILDERS[type(config)](config)


def build_meta_rm(config: AnyMetaRM) -> MetaRM:
    """The meta RM, in this process.

    Raises:
        EngineError: it cannot start.
    """
    if isinstance(config, FakeMetaRM):
        from grm_plugin.engines import fake, faults

        return faults.FaultyMetaRM(fake.FakeMetaRM(fake.rate_by_length, config.delay_s), config.faults)
    from grm_plugin.engines.vllm import VLLMMetaRM

    return VLLMMetaRM(config)


def _vllm(config: VLLMModel) -> Generator:
    from grm_plugin.engines.vllm import VLLMEngine

    return VLLMEngine(config)


def _openai(config: OpenAIEngine) -> Generator:
    from grm_plugin.engines.openai import OpenAIEngine

    return OpenAIEngine(config)


def _fake(config: FakeEngine) -> Generator:
    from grm_plugin.engines import fake, faults

    return faults.FaultyGenerator(fake.FakeEngine(fake.score_by_vocabulary, config.delay_s), config.faults)


_BUILDERS: dict[type[EngineConfig], Callable[[Any], Generator]] = {
    VLLMModel: _vllm,
    OpenAIEngine: _openai,
    FakeEngine: _fake,
}
