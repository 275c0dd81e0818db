"""A generative reward model (GRM) as the reward of RLHF frameworks.

    from grm_plugin import Client, GRMReward, Judge, load_config

    print(Judge.from_config("preset:dry_run").judge_sync("Name three fruits.", ["plum, fig, pear", "cats"]))

Importing this package loads neither torch, vllm, ray, transformers nor fastapi; names are resolved on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grm_plugin.api import Judge
    from grm_plugin.client import Client
    from grm_plugin.config import Config
    from grm_plugin.config.loading import load_config
    from grm_plugin.errors import GRMError
    from grm_plugin.integrations.trl.grm_reward import GRMReward
    from grm_plugin.types import Group, Judgement, Message, Reward, Sample
    from grm_plugin.wire.judged_group import JudgedGroup

__version__ = "0.1.0"

_HOME = {
    "Client": "grm_plugin.client",
    "Config": "grm_plugin.config",
    "load_config": "grm_plugin.config.loading",
    "GRMError": "grm_plugin.errors",
    "GRMReward": "grm_plugin.integrations.trl.grm_reward",
    "Judge": "grm_plugin.api",
    "JudgedGroup": "grm_plugin.wire.judged_group",
    "Group": "grm_plugin.types",
    "Judgement": "grm_plugin.types",
    "Message": "grm_plugin.types",
    "Reward": "grm_plugin.types",
    "Sample": "grm_plugin.types",
}

__all__ = [
    "Client",
    "Config",
    "GRMError",
    "GRMReward",
    "Group",
    "Judge",
    "JudgedGroup",
    "Judgement",
    "Message",
    "Reward",
    "Sample",
    "__version__",
    "load_config",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
