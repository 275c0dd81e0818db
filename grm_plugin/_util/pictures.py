"""Where a command's picture goes: checked before the work, and written with an error in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grm_plugin._util.packages import require
from grm_plugin.errors import ConfigError

FORMATS = (".png", ".svg")


def check_picture(path: Path | None) -> None:
    """Check that a picture can be written there, as far as can be seen before.

    Raises:
        ConfigError: its ending is of no picture, or its folder is not there.
    """
    if path is None:
        return
    if path.suffix not in FORMATS:
        raise ConfigError(f"--output {path}: give a name that ends in {' or '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise ConfigError(f"--output {path}: there is no folder {path.parent}")


def new_axes(what: str) -> tuple[Any, Any]:
    """A figure of Matplotlib and its axes.

    Args:
        what: what is drawn, for the error.

    Raises:
        ConfigError: Matplotlib is not installed.
    """
    require("matplotlib", what=what)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    return figure, figure.subplots()


def save(figure: Any, path: Path) -> None:
    """Write a figure of Matplotlib.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise ConfigError(f"--output {path}: {error.strerror or error}") from None
