"""Where the files are that OpenRLHF loads by path."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path


class HookFile(StrEnum):
    """The files, by the names that `grm-plugin path` takes."""

    AGENT = "openrlhf-agent"
    FUNCTION = "openrlhf-function"
    SPCT_REWARD = "openrlhf-spct-reward"

    @property
    def path(self) -> str:
        """The absolute path, as this grm_plugin is installed; the hook itself is not imported."""
        return str(Path(__file__).absolute().with_name(_MODULES[self]))


_MODULES = {
    HookFile.AGENT: "agent.py",
    HookFile.FUNCTION: "reward_func.py",
    HookFile.SPCT_REWARD: "spct_reward.py",
}
