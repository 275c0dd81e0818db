"""Where the files are that OpenRLHF loads by path."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

HookModule = Literal["agent", "reward_func", "spct_reward"]


def hook_file(module: HookModule) -> str:
    """The absolute path of a hook, as this grm_plugin is installed; the hook itself is not imported."""
    return str(Path(__file__).absolute().with_name(f"{module}.py"))
