"""Takes functions out of the official code of a benchmark, without the packages that its files import."""

from __future__ import annotations

import ast
import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

FOLDERS = {
    "rewardbench": "allenai+reward-bench",
    "rewardbench2": "allenai+reward-bench",
    "rm-bench": "THU-KEG+RM-Bench",
    "judgebench": "ScalerLab+JudgeBench",
    "rmb": "Zhou-Zoey+RMB-Reward-Model-Benchmark",
    "realmistake": "psunlpgroup+ReaLMistake",
}
"""Suite -> folder of its official code, among the clones: OWNER+NAME of the repository on GitHub."""


def names_of(path: Path, *names: str, **given: Any) -> dict[str, Any]:
    """Functions and constants of a file, whether they stand at its top or inside another function.

    Args:
        path: a Python file.
        names: of functions and constants.
        given: what they use of the rest of the file and of its imports; of names that they assign, the last wins.

    Raises:
        LookupError: the file has no such name: the official code has changed.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    wanted = [node for node in ast.walk(tree) if _name(node) in names]
    if missing := set(names) - {_name(node) for node in wanted}:
        raise LookupError(f"{path} has no {', '.join(sorted(missing))}: read what became of them")
    annotations = ast.parse("from __future__ import annotations").body
    module = ast.Module([*annotations, *wanted], [])  # type: ignore[list-item]
    found = dict(given)
    exec(compile(module, str(path), "exec"), found)
    return found


def comparison_of(path: Path, chosen: Sequence[float], rejected: Sequence[float]) -> list[int]:
    """The results that a script for scalar models computes from logits: its assignment `results = [... for ...]`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assigned = next(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _name(node) == "results" and isinstance(node.value, ast.ListComp)
    )
    names = {"scores_chosen": chosen, "scores_rejected": rejected}
    return list(eval(compile(ast.Expression(assigned), str(path), "eval"), names))


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.FunctionDef):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return ""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The official code prints as it goes."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
