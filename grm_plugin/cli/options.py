"""What the commands of `grm-plugin` share: the option for the configuration file, its overrides, the foot of help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grm_plugin.config import Config
from grm_plugin.config.loading import load_config, split_overrides
from grm_plugin.config.of_model import config_of_model
from grm_plugin.config.shipped import PRESET, shipped_configs
from grm_plugin.engines.vllm_start import is_cpu_build
from grm_plugin.errors import ConfigError

OVERRIDABLE = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Settings of a command that takes overrides such as --grm.sampling.k 16; `load` reads them."""

OVERRIDES = "Any value of the configuration can be overridden: --grm.sampling.k 16; given twice, the last one counts."

CONFIG_FILE = f"YAML file of the configuration, or one that ships: {PRESET}NAME, of {', '.join(shipped_configs())}."

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help=CONFIG_FILE)]


def example(command: str, *notes: str) -> str:
    """The foot of a command's help: an example of its use, then notes."""
    return "\n\n".join([f"Example: grm-plugin {command}", *notes])


def load(path: Path, arguments: list[str]) -> Config:
    """The configuration of `path` with the `--grm.<key> <value>` among `arguments`.

    Raises:
        ConfigError: the configuration is wrong, or there are other arguments.
    """
    return load_config(path, _overrides(arguments))


def load_model(model: str, arguments: list[str]) -> Config:
    """The configuration for a model without a file, with the `--grm.<key> <value>` among `arguments`.

    Raises:
        ConfigError: there is no such model, an override is wrong, or there are other arguments.
    """
    return config_of_model(model, _overrides(arguments), on_cpu=is_cpu_build())


def _overrides(arguments: list[str]) -> dict[str, str]:
    overrides, rest = split_overrides(arguments)
    if rest:
        raise ConfigError(f"unknown argument {rest[0]}; values of the configuration are set as --grm.<key> <value>")
    return overrides
