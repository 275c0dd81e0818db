"""The configuration: its sections, the engines they describe, and how files and overrides become one (`loading`)."""

from __future__ import annotations

from grm_plugin.config.engines import (
    AnyMetaRMConfig,
    EngineConfig,
    FakeConfig,
    FakeMetaRMConfig,
    MetaRMConfig,
    OpenAIConfig,
    VLLMConfig,
    replicas_of,
)
from grm_plugin.config.fields import Section
from grm_plugin.config.sections import (
    NEUTRAL_REWARD,
    TOKEN_ENV,
    AdaptiveConfig,
    Config,
    ConversationConfig,
    FailureConfig,
    GroupConfig,
    JudgeConfig,
    NormalizeConfig,
    SamplingConfig,
    ServiceConfig,
    TraceConfig,
)

__all__ = [
    "NEUTRAL_REWARD",
    "TOKEN_ENV",
    "AdaptiveConfig",
    "AnyMetaRMConfig",
    "Config",
    "ConversationConfig",
    "EngineConfig",
    "FailureConfig",
    "FakeConfig",
    "FakeMetaRMConfig",
    "GroupConfig",
    "JudgeConfig",
    "MetaRMConfig",
    "NormalizeConfig",
    "OpenAIConfig",
    "SamplingConfig",
    "Section",
    "ServiceConfig",
    "TraceConfig",
    "VLLMConfig",
    "replicas_of",
]
