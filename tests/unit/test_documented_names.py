"""Commands, options, keys, numbers and messages that the documents name are those of the program."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import BaseModel

from grm_plugin.cli.app import app
from grm_plugin.config import Config
from grm_plugin.config.loading import load_config, split_overrides
from grm_plugin.config.overrides import sections_of
from grm_plugin.judging.fallback import LOG_KEYS
from support.documents import blocks, documents
from support.paths import ROOT

PAGES = [name for name in documents() if name in ("README.md", "SECURITY.md") or Path(name).parent == Path("docs")]
PROGRAM = "grm-plugin"
KEY = re.compile(rf"`((?:{'|'.join(Config.model_fields)})(?:\.[a-z_]+)+)`")
FILES = (".py", ".txt")
ELSEWHERE = {"docs/criteria.md"}
"""`tests/contracts/test_criteria_page.py` loads its configurations, with the files that they name."""


def commands_of(document: str) -> Iterator[list[str]]:
    """The words of each line that runs `grm-plugin`, with what stands before it left out."""
    for kind, text in blocks(document):
        if kind == "sh":
            for line in text.replace("\\\n", " ").splitlines():
                if re.match(rf"(\w+=\S+ )*{PROGRAM} ", line):
                    words = shlex.split(line, comments=True)
                    yield words[words.index(PROGRAM) + 1 :]


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words run, and what is left of them."""
    command = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    assert not getattr(command, "commands", None), words
    return command, words


@pytest.mark.parametrize("document", [name for name in PAGES if list(commands_of(name))])
def test_commands_have_the_options_that_are_shown(document: str) -> None:
    for words in commands_of(document):
        command, rest = command_of(words)
        overrides, rest = split_overrides(rest)
        known = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in rest if word.startswith("-")} <= known, words
        named = rest[rest.index("--config") + 1] if "--config" in rest else next(iter(rest), "")
        if named.startswith("preset:"):
            load_config(named, overrides)
        elif named.startswith("configs/"):  # else it is a file of the reader's own
            load_config(ROOT / named, overrides)


@cache
def keys() -> set[str]:
    return set(_keys(Config, ""))


def _keys(section: type[BaseModel], prefix: str, deep: int = 0) -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield prefix + name
        for below in sections_of(field.annotation):
            if deep < 6:
                yield from _keys(below, f"{prefix}{name}.", deep + 1)


@pytest.mark.parametrize("document", PAGES)
def test_keys_that_are_named_can_be_set(document: str) -> None:
    named = set(KEY.findall((ROOT / document).read_text()))
    assert {key for key in named if not key.endswith(FILES)} <= keys()


@pytest.mark.parametrize(
    ("document", "text"),
    [(name, text) for name in PAGES if name not in ELSEWHERE for kind, text in blocks(name) if kind == "yaml"],
)
def test_configurations_that_are_shown_load(document: str, text: str, tmp_path: Path) -> None:
    shown = yaml.safe_load(text)
    (tmp_path / "my_template.txt").write_text("{{ responses }}")
    (tmp_path / "grm.yaml").write_text(yaml.safe_dump(_with_model(shown)))
    config = load_config(tmp_path / "grm.yaml").model_dump(mode="json")
    for section, values in shown.items():
        for key, value in values.items():
            if isinstance(value, int | float):
                assert config[section][key] == value, document


def _with_model(shown: dict[str, Any]) -> dict[str, Any]:
    engine = {"type": "vllm", "model": "owner/name", **shown.get("engine", {})}
    return {**shown, "engine": engine}


def test_the_page_on_traces_has_every_number_beside_a_reward() -> None:
    numbers = (ROOT / "docs/traces.md").read_text().partition("Every sample logs")[2].partition(".")[0]
    assert re.findall(r"`(grm_\w+)`", numbers) == list(LOG_KEYS)


MESSAGES = re.findall(r"^- `([^`]+)`", (ROOT / "docs/troubleshooting.md").read_text(), re.MULTILINE)


@cache
def texts() -> list[str]:
    """Every text in the package's code; `...` stands where a value is put in."""
    files = [file for folder in ("grm_plugin", "integrations") for file in sorted((ROOT / folder).rglob("*.py"))]
    return [text for file in files for node in ast.walk(ast.parse(file.read_text())) if (text := _text(node))]


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "..." for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@pytest.mark.parametrize("message", MESSAGES)
def test_the_messages_that_are_explained_are_given(message: str) -> None:
    parts = [part.strip() for part in message.split("...") if part.strip()]
    assert any(all(part in text for part in parts) for text in texts()), message


def test_there_are_messages_to_look_for() -> None:
    assert len(MESSAGES) > 20
