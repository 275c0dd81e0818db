"""Reads problems, with or without samples: YAML files, lines of JSONL, or a store of `grm-plugin sample`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import yaml

from grm_plugin._util.digests import digest
from grm_plugin._util.files import replacing
from grm_plugin._util.text_files import read_text
from grm_plugin.batch.input_lines import parse_line, read_lines
from grm_plugin.best_of.problems import Problem, problem_of, row_of
from grm_plugin.config.yaml_text import parse_yaml
from grm_plugin.errors import ConfigError, WireError

FILE_NAME = "samples.jsonl"
"""Of the store in the folder of a run."""

MARK = "sampled"
"""The key that a row of a store begins with. Its first row is no problem, but says what the samples were drawn with."""

YAML_ENDINGS = (".yaml", ".yml")

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


def read_problems(path: Path) -> list[Problem]:
    """The problems of a folder or file, in its order; YAML files in the order of their names.

    Args:
        path: a folder with `samples.jsonl` or with one YAML file per problem; or a JSONL file, or one YAML file.

    Raises:
        ConfigError: it cannot be read, or holds no problem.
        WireError: a problem is wrong, half written, or has the id of an earlier one; the message names file and key.
    """
    if path.is_dir() and (path / FILE_NAME).exists():
        path = path / FILE_NAME
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in YAML_ENDINGS)
        if not files:
            raise ConfigError(f"{path} has neither {FILE_NAME} nor YAML files: give the --output of grm-plugin sample")
        found = _all_different((str(file), _from_yaml(file)) for file in files)
    elif path.suffix in YAML_ENDINGS:
        found = [_from_yaml(path)]
    else:
        found = _from_lines(path)
    if not found:
        raise ConfigError(f"{path} holds no problem")
    return found


def write_yaml(folder: Path, problems: list[Problem]) -> None:
    """Write one YAML file per problem, each whole or not at all, in the published form.

    Raises:
        ConfigError: a file cannot be written.
    """
    for problem in problems:
        name = problem.id if _PLAIN_NAME.fullmatch(problem.id) else digest(problem.id)
        text = yaml.safe_dump(row_of(problem), allow_unicode=True, sort_keys=False, width=2**20)
        with replacing(folder / f"{name}.yaml", "--yaml") as draft:
            draft.write_text(text, encoding="utf-8")


def _from_yaml(path: Path) -> Problem:
    try:
        text = read_text(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise WireError(f"{path}: {error}") from None
    if not text.endswith("\n"):
        raise WireError(f"{path} is empty or half written: its last line has no end. Write it again, or end the line")
    try:
        return problem_of(parse_yaml(text), path.stem)
    except ValueError as error:
        raise WireError(f"{path} is no YAML, or half written: {error}") from None
    except WireError as error:
        raise WireError(f"{path}: {error}") from None


def _from_lines(path: Path) -> list[Problem]:
    found: dict[str, Problem] = {}
    for number, line in read_lines(path):
        if number > 1 and not line.endswith(b"\n") and line.startswith(f'{{"{MARK}": '.encode()):
            break  # a row that was being written when the machine crashed: the next run of sample draws it again
        try:
            row = parse_line(line)
            marked = isinstance(row, dict) and MARK in row
            if marked:
                row.pop(MARK)
                if "fingerprint" in row:
                    continue
            named = isinstance(row, dict) and "id" in row
            problem = problem_of(row)
            if problem.id in found:
                if not named:
                    raise WireError("the same prompt stands on an earlier line already: keep one, or give both an id")
                if not marked:
                    raise WireError(f"id: {problem.id!r} stands on an earlier line already; ids must be unique")
                problem = with_more(found[problem.id], problem)
        except WireError as error:
            raise WireError(f"{path} line {number}: {error}") from None
        found[problem.id] = problem
    return list(found.values())


def with_more(first: Problem, more: Problem) -> Problem:
    """A problem with the samples of a later row of its store.

    Raises:
        WireError: the later row is of another prompt.
    """
    if first.asked != more.asked:
        raise WireError(f"id: {first.id!r} is another problem than on an earlier line")
    return replace(first, samples=first.samples + more.samples)


def _all_different(named: Iterator[tuple[str, Problem]]) -> list[Problem]:
    found: dict[str, tuple[str, Problem]] = {}
    for name, problem in named:
        if problem.id in found:
            raise WireError(f"{name}: id {problem.id!r} is that of {found[problem.id][0]} too; ids must be unique")
        found[problem.id] = (name, problem)
    return [problem for _, problem in found.values()]
