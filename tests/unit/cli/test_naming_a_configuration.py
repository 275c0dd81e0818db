"""How a command is told its configuration: `--config`, a word beside it, a preset, a model; and what is mistyped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from grm_plugin import __version__
from grm_plugin.cli.app import app
from grm_plugin.errors import ConfigError

COMMANDS = ("config", "serve", "doctor", "plan", "attack")


def shown(*arguments: str) -> dict[str, dict[str, object]]:
    """What `grm-plugin config` prints."""
    found: dict[str, dict[str, object]] = yaml.safe_load(
        CliRunner().invoke(app, ["config", *arguments], catch_exceptions=False).stdout
    )
    return found


@pytest.mark.parametrize(
    "words",
    [
        ["preset:dry_run", "--grm.sampling.k", "3"],
        ["--grm.sampling.k", "3", "preset:dry_run"],
        ["--grm.sampling.k=3", "--config", "preset:dry_run"],
        ["-c", "preset:dry_run", "--grm.sampling.k", "3"],
        ["mine.yaml"],
        ["./mine.yml"],
        ["mine"],
    ],
    ids=" ".join,
)
def test_a_file_or_a_preset_stands_anywhere(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mine.yaml", "mine.yml", "mine"):
        Path(name).write_text("engine: {type: fake}\nsampling: {k: 3}\n")
    assert (shown(*words)["engine"]["type"], shown(*words)["sampling"]["k"]) == ("fake", 3)


def test_a_model_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("weights").mkdir()
    assert shown("BBQGOD/DeepSeek-GRM-16B", "--grm.engine.replicas", "2")["judge"]["preset"] == "deepseek_grm"
    assert shown("weights")["engine"]["model"] == str(tmp_path / "weights")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            [],
            r"which configuration\? Give a YAML file, preset:NAME \(NAME is one of deepseek_grm_16b, .*Hugging Face id",
        ),
        (["dry-run"], "dry-run is no file, .*; did you mean preset:dry_run"),
        (["zzz"], r"zzz is no file, no preset:NAME, no folder, and no Hugging Face id \(OWNER/NAME\)$"),
        (["preset:dry"], "there is no preset:dry; did you mean preset:dry_run"),
        (["no.yaml"], "no config file at no.yaml; pass an existing YAML file, or preset:NAME"),
        (["preset:dry_run", "second"], "unknown argument second; values"),
        (["second", "-c", "preset:dry_run"], "unknown argument second; values"),
        (["owner/model", "--grm.engine.k", "1"], "^owner/model: unknown key engine.k"),
        (["preset:dry_run", "--confg", "x"], r"unknown argument --confg; did you mean --config\? Values of the"),
        (["preset:dry_run", "--zzz=1"], "unknown argument --zzz=1; values of the configuration are set as"),
    ],
)
def test_what_names_no_configuration_says_what_would(command: str, words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        CliRunner().invoke(app, [command, *words], catch_exceptions=False)


def test_a_command_that_is_mistyped_names_the_nearest() -> None:
    assert "Did you mean 'serve'" in CliRunner().invoke(app, ["srve"]).stderr


def test_python_m_grm_plugin_is_the_command_line() -> None:
    run = [sys.executable, "-m", "grm_plugin"]
    assert subprocess.run([*run, "--version"], capture_output=True, text=True, timeout=60).stdout == f"{__version__}\n"
    said = subprocess.run([*run, "path"], capture_output=True, text=True, timeout=60)
    assert said.returncode == 2
    assert "Usage: grm-plugin path" in said.stderr
