"""The configurations that ship with the package: `preset:dry_run` wherever the path of one is taken.

They are the files of `configs/` in a checkout, installed as `grm_plugin/presets`.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from grm_plugin.errors import ConfigError

PRESET = "preset:"
"""Begins the name of a configuration that ships with the package."""

IN_CHECKOUT = ("nano_cpu", "nano_cpu_criteria", "nano_cpu_meta_rm")
"""Those that run the models of examples/nano, which no wheel holds."""

HERE = Path(__file__).resolve().parents[1] / "presets"
"""Their folder. Beside them lie DeepSpeed's files (`spct/`) and sets of versions that were tested (`constraints/`)."""


def shipped_configs() -> list[str]:
    """The names of the configurations that ship with what is installed here, without `PRESET`."""
    return sorted(file.stem for file in HERE.glob("*.yaml"))


def is_preset(source: str | Path) -> bool:
    """Whether this names a configuration that ships, and no file."""
    return str(source).startswith(PRESET)


def preset_file(source: str | Path) -> Path:
    """The file of a configuration that ships.

    Args:
        source: `preset:NAME`.

    Raises:
        ConfigError: there is none of this name, or it is in a checkout only.
    """
    name = str(source).removeprefix(PRESET)
    names = shipped_configs()
    if name in names:
        return (HERE / f"{name}.yaml").resolve()
    if name in IN_CHECKOUT:
        raise ConfigError(
            f"{source} runs the models of examples/nano, which are in a checkout of the repository and not in what is "
            f"installed here; these ship: {', '.join(PRESET + name for name in names)}"
        )
    near = difflib.get_close_matches(name.removesuffix(".yaml"), names, n=1, cutoff=0.4)
    meant = f"; did you mean {PRESET}{near[0]}? These ship" if near else "; these ship"
    raise ConfigError(f"there is no {source}{meant}: {', '.join(PRESET + name for name in names)}")


def base_of_preset(source: str | Path) -> Path:
    """What relative paths in a configuration that ships, and in overrides of it, are relative to: the current
    directory. What is installed is no place to write a trace store into."""
    name = str(source).removeprefix(PRESET)
    return HERE.resolve() if name in IN_CHECKOUT else Path.cwd()
