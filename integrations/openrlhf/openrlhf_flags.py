"""OpenRLHF's own reading of its flags, before anything is loaded: a mistake costs seconds then, and not a loaded GRM.

OpenRLHF reads and checks its flags where it is run as a program (openrlhf/cli/train_ppo_ray.py, below `if __name__ ==
"__main__"`), and imports torch, DeepSpeed and vLLM before. Those lines are run here alone, but for the job itself.
"""

from __future__ import annotations

import argparse
import ast
import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from grm_plugin.errors import ConfigError

logger = logging.getLogger(__name__)

PROGRAM = Path("cli", "train_ppo_ray.py")
HIERARCHIZE = Path("utils", "config.py")


def read_flags(arguments: Sequence[str]) -> SimpleNamespace | None:
    """The flags as OpenRLHF's job gets them (`found.actor.num_nodes`), with its defaults.

    Args:
        arguments: of the program, with the flag of the reward.

    Returns:
        None where this version of OpenRLHF cannot be read so; it says what is wrong itself then, later.

    Raises:
        ConfigError: OpenRLHF refuses the flags; with its own words.
    """
    said = io.StringIO()
    try:
        steps, names = _program()
        # What it prints would come twice.
        with _arguments(arguments), redirect_stdout(io.StringIO()), redirect_stderr(said):
            exec(steps, names)
    except SystemExit:
        words = " ".join(said.getvalue().rpartition("error: ")[2].split())
        raise ConfigError(f"OpenRLHF refuses the flags: {words or 'it prints its help'}") from None
    except AssertionError as error:
        raise ConfigError(f"OpenRLHF refuses the flags: {error}") from None
    except Exception as error:  # another version is built in another way
        logger.warning("the flags of this version of OpenRLHF cannot be read before the job: %r", error)
        return None
    found = names.get("args")
    return found if isinstance(found, SimpleNamespace) else None


def _program() -> tuple[Any, dict[str, Any]]:
    """The lines that read and check flags, compiled, and the names that they need."""
    spec = find_spec("openrlhf")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("openrlhf")
    folder = Path(spec.submodule_search_locations[0])
    tree = ast.parse((folder / PROGRAM).read_text())
    main = next(step for step in tree.body if isinstance(step, ast.If) and "__main__" in ast.unparse(step.test))
    # Its import of `hierarchize` would import all of openrlhf.utils; the last lines patch a hub and run the job.
    steps = [step for step in main.body if not isinstance(step, ast.ImportFrom) and not _acts(step)]
    names: dict[str, Any] = {"argparse": argparse, "os": os, "datetime": datetime}
    exec(compile((folder / HIERARCHIZE).read_text(), str(folder / HIERARCHIZE), "exec"), names)
    return compile(ast.Module(steps, []), str(folder / PROGRAM), "exec"), names


def _acts(step: ast.stmt) -> bool:
    calls = isinstance(step, ast.Expr) and isinstance(step.value, ast.Call) and isinstance(step.value.func, ast.Name)
    return calls or any(isinstance(inner, ast.ImportFrom) for inner in ast.walk(step))


@contextmanager
def _arguments(arguments: Sequence[str]) -> Iterator[None]:
    before = sys.argv
    sys.argv = [str(PROGRAM), *arguments]
    try:
        yield
    finally:
        sys.argv = before
