"""What the commands of `grm-plugin` share: the option for the configuration file, its overrides, the foot of help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grm_plugin.config import Config
from grm_plugin.config.loading import load_config, split_overrides
from grm_plugin.errors import ConfigError

OVERRIDABLE = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Settings of a command that takes overrides such as --grm.sampling.k 16; `load` reads them."""

OVERRIDES = "Any value of the configuration can be overridden: --grm.sampling.k 16; given twice, the last one counts."

ConfigPath = Annotated[
    Path, typer.Option("--config", "-c", help="YAML file of the configuration; configs/ has examples.")
]


def example(command: str, *notes: str) -> str:
    """The foot of a command's help: an example of its use, then notes."""
    return "\n\n".join([f"Example: grm-plugin {command}", *notes])


def load(path: Path, arguments: list[str]) -> Config:
    """The configuration of `path` with the `--grm.<key> <value>` among `arguments`.

    Raises:
        ConfigError: the configuration is wrong, or there are other arguments.
    """
    overrides, rest = split_overrides(arguments)
    if rest:
        raise ConfigError(f"unknown argument {rest[0]}; values of the configuration are set as --grm.<key> <value>")
    return load_config(path, overrides)
