"""The configuration for a model that a user names and no file describes (`grm-plugin eval --model NAME`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grm_plugin.config import Config
from grm_plugin.config.loading import load_config
from grm_plugin.config.presets import known_judge
from grm_plugin.errors import ConfigError

CPU_CONTEXT = 4096
"""Tokens of prompt and critique together on a CPU: a longer context takes memory that a small model does not need."""

CPU_MAX_TOKENS = 512
"""Longest critique on a CPU, which writes a few dozen tokens a second."""


def config_of_model(model: str, overrides: Mapping[str, Any] | None = None, *, on_cpu: bool) -> Config:
    """A configuration that runs `model` on vLLM, with the judge's preset that its name tells, if it tells one.

    Without a preset it is asked as any instruct model is. On a CPU it runs in bfloat16 with a short context and short
    critiques. Everything else is at its default.

    Args:
        model: folder or Hugging Face id of the weights. A folder in the current directory counts before an id.
        overrides: key -> value, as for `load_config`; they count over what the model's name tells.
        on_cpu: whether it will run on a CPU.

    Raises:
        ConfigError: there is no such folder, or an override is wrong.
    """
    if not model:
        raise ConfigError("--model is empty: give the folder or the Hugging Face id of the weights")
    data: dict[str, Any] = {"engine": {"type": "vllm", "model": model}}
    if preset := known_judge(model):
        data["judge"] = {"preset": preset}
    if on_cpu:
        data["engine"] |= {"dtype": "bfloat16", "max_model_len": min(CPU_CONTEXT, _own_context(model))}
        data["sampling"] = {"max_tokens": CPU_MAX_TOKENS}
    try:
        return load_config(data, overrides)
    except ConfigError as error:
        raise ConfigError(f"--model {model}: {str(error).removeprefix('config: ')}") from None


def _own_context(model: str) -> int:
    """The longest context that the weights in a folder are made for; `CPU_CONTEXT` where nothing here says it."""
    try:
        settings = json.loads((Path(model).expanduser() / "config.json").read_text(encoding="utf-8"))
        longest = settings.get("text_config", settings)["max_position_embeddings"]
        return longest if isinstance(longest, int) else CPU_CONTEXT
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return CPU_CONTEXT
