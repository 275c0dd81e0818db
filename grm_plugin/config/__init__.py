"""The configuration: its sections as pydantic models, and (`loading`) how a YAML file and overrides become one."""

from __future__ import annotations

from grm_plugin.config.comparing import COMPARING_METHODS, lone_response
from grm_plugin.config.engines import (
    AnyMetaRMConfig,
    EngineConfig,
    FakeConfig,
    FakeMetaRMConfig,
    MetaRMConfig,
    OpenAIConfig,
    VLLMConfig,
    name_of,
    replicas_of,
)
from grm_plugin.config.fields import Section
from grm_plugin.config.judge import JudgeConfig
from grm_plugin.config.sections import (
    METRICS_TOKEN_ENV,
    NEUTRAL_REWARD,
    TOKEN_ENV,
    AdaptiveConfig,
    Config,
    ConversationConfig,
    FailureConfig,
    GroupConfig,
    NormalizeConfig,
    SamplingConfig,
    ServiceConfig,
    TraceConfig,
)

__all__ = [
    "COMPARING_METHODS",
    "METRICS_TOKEN_ENV",
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
    "lone_response",
    "name_of",
    "replicas_of",
]
