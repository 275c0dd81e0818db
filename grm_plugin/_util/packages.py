"""Asks for optional packages before any work, by name and with the command that installs them."""

from __future__ import annotations

import importlib.util

from grm_plugin.errors import ConfigError

_EXTRAS = {
    "vllm": ("vllm", "ray"),
    "openrlhf": ("openrlhf",),
    "evals": ("numpy", "matplotlib", "datasets"),
}
"""Of pyproject.toml: an extra, and the packages that it is asked for."""


_DISTRIBUTIONS = {"re2": "google-re2", "yaml": "pyyaml"}
"""Packages that are installed under another name than they are imported by."""


def require(*packages: str, what: str) -> None:
    """Check that packages are there, without importing them.

    Args:
        packages: names to import.
        what: what needs them, for the error.

    Raises:
        ConfigError: some are missing.
    """
    if lacking := [package for package in packages if not is_there(package)]:
        raise ConfigError(missing(lacking, what))


def is_there(package: str) -> bool:
    """Whether a package can be found."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # its parent is missing, or something keeps it from being imported
        return False


def missing(packages: list[str], what: str) -> str:
    """What to tell whoever lacks these packages."""
    extras = [extra for extra, names in _EXTRAS.items() if set(names) & set(packages)]
    others = [
        _DISTRIBUTIONS.get(package, package)
        for package in packages
        if not any(package in names for names in _EXTRAS.values())
    ]
    arguments = ([f'"grm-plugin[{",".join(extras)}]"'] if extras else []) + others
    verb = "is" if len(packages) == 1 else "are"
    return f"{what} needs {' and '.join(packages)}, which {verb} not installed: pip install {' '.join(arguments)}"
