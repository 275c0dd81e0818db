"""Writes the generated pages into `docs/reference`, where Sphinx reads them like any others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from sphinx.application import Sphinx

from generators import command_line, config_keys, environment, http_api, logs_and_metrics, python_api

PARTS: dict[str, Callable[[], str]] = {
    "configuration.md": config_keys.page,
    "command_line.md": command_line.page,
    "http_api.md": http_api.page,
    "logs_and_metrics.md": logs_and_metrics.page,
    "environment.md": environment.page,
}
"""The parts that are one page."""


def write(app: Sphinx) -> None:
    """Write all pages anew: a page of something that is gone must not stay."""
    folder = Path(app.srcdir) / "reference"
    shutil.rmtree(folder, ignore_errors=True)
    pages = {name: page() for name, page in PARTS.items()}
    pages |= {f"python/{name}": text for name, text in python_api.pages().items()}
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
