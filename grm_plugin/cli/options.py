"""What the commands of `grm-plugin` share: how the configuration is named, its overrides, the foot of help."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from grm_plugin.config import Config
from grm_plugin.config.loading import load_config, split_overrides
from grm_plugin.config.of_model import config_of_model
from grm_plugin.config.shipped import PRESET, is_preset, shipped_configs
from grm_plugin.engines.vllm_start import is_cpu_build
from grm_plugin.errors import ConfigError

OVERRIDABLE = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Settings of a command that takes overrides such as --grm.sampling.k 16; `load` reads them."""

OVERRIDES = "Any value of the configuration can be overridden: --grm.sampling.k 16; given twice, the last one counts."

CONFIG_FILE = f"YAML file of the configuration, or one that ships: {PRESET}NAME, of {', '.join(shipped_configs())}."

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help=CONFIG_FILE)]

ConfigOrWord = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help=f"{CONFIG_FILE} It may stand without --config; so may the folder or Hugging Face id of a GRM, which then "
        "needs no file.",
    ),
]
"""For `load`, of a command that has no other words."""


WITH_WORD = "[CONFIGURATION] [OPTIONS]"
"""The usage of a command with `ConfigOrWord`."""


def example(command: str, *notes: str) -> str:
    """The foot of a command's help: an example of its use, then notes."""
    return "\n\n".join([f"Example: grm-plugin {command}", *notes])


def load(path: Path | None, arguments: Sequence[str], context: typer.Context | None = None) -> Config:
    """The configuration of `path` with the `--grm.<key> <value>` among `arguments`.

    Without `path` it is the one other word among them: a YAML file, `preset:NAME`, or a model without a file.

    Args:
        path: what --config says.
        arguments: those that are no options of the command.
        context: of the command, whose options are looked through where one is mistyped.

    Raises:
        ConfigError: the configuration is wrong, there is none, or there are other arguments.
    """
    overrides, words = _read(arguments, context)
    if path is None and words:
        word, *others = words
        _refuse(others)
        return named(word, overrides)
    _refuse(words)
    if path is None:
        raise ConfigError(
            f"which configuration? Give a YAML file, {PRESET}NAME (NAME is one of {', '.join(shipped_configs())}), or "
            "the folder or Hugging Face id of a GRM"
        )
    return load_config(path, overrides)


def load_model(model: str, arguments: list[str]) -> Config:
    """The configuration for a model without a file, with the `--grm.<key> <value>` among `arguments`.

    Raises:
        ConfigError: there is no such model, an override is wrong, or there are other arguments.
    """
    overrides, words = _read(arguments)
    _refuse(words)
    return config_of_model(model, overrides, on_cpu=is_cpu_build())


def named(word: str, overrides: Mapping[str, str]) -> Config:
    """The configuration that a word names: a YAML file, `preset:NAME`, or a model without a file.

    Raises:
        ConfigError: it names none of them, or the configuration is wrong.
    """
    if is_preset(word) or word.endswith((".yaml", ".yml")) or Path(word).is_file():
        return load_config(word, overrides)
    if Path(word).expanduser().is_dir() or word.count("/") == 1:
        try:
            return config_of_model(word, overrides, on_cpu=is_cpu_build())
        except ConfigError as error:
            raise ConfigError(str(error).removeprefix("--model ")) from None
    near = difflib.get_close_matches(word, shipped_configs(), n=1)
    raise ConfigError(
        f"{word} is no file, no {PRESET}NAME, no folder, and no Hugging Face id (OWNER/NAME)"
        + (f"; did you mean {PRESET}{near[0]}?" if near else "")
    )


def _read(arguments: Sequence[str], context: typer.Context | None = None) -> tuple[dict[str, str], list[str]]:
    """The overrides among the arguments, and the other words. What looks like an option is a mistake."""
    overrides, words = split_overrides(arguments)
    for word in words:
        if word.startswith("-"):
            known = [option for it in context.command.params for option in it.opts] if context else []
            near = difflib.get_close_matches(word.partition("=")[0], known, n=1)
            raise ConfigError(
                f"unknown argument {word}; "
                + (f"did you mean {near[0]}? Values" if near else "values")
                + " of the configuration are set as --grm.<key> <value>"
            )
    return overrides, words


def _refuse(words: Sequence[str]) -> None:
    if words:
        raise ConfigError(f"unknown argument {words[0]}; values of the configuration are set as --grm.<key> <value>")
