"""The command line as a shell sees it: help, exit statuses, streams, colours."""

from __future__ import annotations

import itertools
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from grm_plugin import __version__
from grm_plugin.cli.app import FILES, app, build
from grm_plugin.config import Config
from grm_plugin.serving.ray.gpus import GPUs
from support.paths import ROOT

GRM_PLUGIN = [sys.executable, "-m", "grm_plugin.cli"]
DRY_RUN = str(ROOT / "configs" / "dry_run.yaml")
COLOUR = re.compile(rb"\x1b\[[0-9;]*3[0-7]")
PLAIN = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "GITHUB_ACTIONS")}
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*GRM_PLUGIN, *arguments], capture_output=True, text=True, timeout=60, env=PLAIN, check=False)


def on_a_terminal(*arguments: str, **environment: str) -> bytes:
    """What a terminal receives."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*GRM_PLUGIN, *arguments], stdout=slave, stderr=slave, env={**PLAIN, "TERM": "xterm-256color", **environment}
    )
    os.close(slave)
    received = b""
    try:
        while chunk := os.read(master, 65536):
            received += chunk
    except OSError:  # Linux's end of file on a terminal
        pass
    finally:
        os.close(master)
        process.wait(60)
    return received


def test_the_commands_are_pinned() -> None:
    assert list(COMMANDS) == [*FILES]
    assert set(COMMANDS) == {
        "attack",
        "best-of",
        "sample",
        "serve",
        "status",
        "stop",
        "config",
        "path",
        "doctor",
        "eval",
        "init",
        "plan",
        "score",
        "spct",
        "traces",
        "view",
        "votes",
    }


@pytest.mark.parametrize("name", FILES)
def test_each_command_is_found_in_the_file_that_is_imported_for_it(name: str) -> None:
    assert name in typer.main.get_command(build([FILES[name]])).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_shows_an_example(name: str) -> None:
    assert COMMANDS[name].help
    assert f"Example: grm-plugin {name} " in COMMANDS[name].epilog


def test_help_names_every_command_and_has_no_colour_in_a_pipe() -> None:
    said = run("--help")
    assert said.returncode == 0
    assert all(name in said.stdout for name in COMMANDS)
    assert "\x1b" not in said.stdout


def test_nothing_but_help_without_arguments() -> None:
    assert "Usage: grm-plugin" in run().stdout + run().stderr


def test_the_version() -> None:
    assert run("--version").stdout == f"{__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("config",),
        ("serve",),
        ("no-such-command",),
        ("config", "no/such/file.yaml"),
        ("config", DRY_RUN, "--grm.sampling.k", "many"),
        ("config", DRY_RUN, "--nonsense"),
        ("score", "no/such/file.jsonl", "--output", "out", "--config", DRY_RUN),
        ("doctor", "--config", "no/such/file.yaml"),
        ("path", "no-such-hook"),
    ],
)
def test_a_wrong_command_or_configuration_is_status_2_without_a_traceback(arguments: tuple[str, ...]) -> None:
    said = run(*arguments)
    assert said.returncode == 2
    assert said.stdout == ""
    assert said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("arguments", [("--debug", "config", "no.yaml"), ("config", "no.yaml", "--debug")])
def test_debug_shows_where_an_error_comes_from_wherever_it_stands(arguments: tuple[str, ...]) -> None:
    said = run(*arguments)
    assert "Traceback" in said.stderr
    assert "grm_plugin.errors.ConfigError: no config file at no.yaml" in said.stderr


def test_serve_says_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: Config) -> None:
        raise KeyboardInterrupt

    monkeypatch.delenv("GRM_CPU", raising=False)
    monkeypatch.setattr("grm_plugin.serving.ray.launch.connect", lambda: None)
    monkeypatch.setattr("grm_plugin.serving.ray.launch.start", start)
    monkeypatch.setattr("grm_plugin.serving.ray.gpus.cluster_gpus", lambda: GPUs(8, (8,)))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    config = Path(DRY_RUN).with_name("deepseek_grm_27b_meta_rm.yaml")
    said = CliRunner().invoke(app, ["serve", "--config", str(config)]).stderr
    assert "loading BBQGOD/DeepSeek-GRM-27B and BBQGOD/DeepSeek-GRM-27B-MetaRM on 4 GPU(s)" in said
    assert "service.ready_timeout_s = 3600 s" in said


def test_config_prints_what_the_file_and_the_overrides_amount_to() -> None:
    said = run("config", DRY_RUN, "--grm.sampling.k", "16")
    assert yaml.safe_load(said.stdout)["sampling"]["k"] == 16


@pytest.mark.parametrize("path", sorted(Path(DRY_RUN).parent.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_explained_configuration_is_the_same_one(path: Path) -> None:
    plain, explained = (CliRunner().invoke(app, ["config", str(path), *how]).stdout for how in ([], ["--explain"]))
    assert yaml.safe_load(explained) == yaml.safe_load(plain)


def test_every_key_stands_below_its_documentation() -> None:
    said = run("config", DRY_RUN, "--explain").stdout
    k = "Critiques sampled per list of responses. Each is one vote on every response of the list."
    assert f"# How the GRM is sampled.\nsampling:\n  # {k}\n  k: " in said
    assert "\nmeta_rm: null\n" in said
    assert (
        "#   # released weights know builtin:deepseek_grm_meta_rm. null takes the general one.\n#   template: " in said
    )
    lines = [line.lstrip() for line in said.splitlines()]
    bare = [
        line for above, line in itertools.pairwise(lines) if line[:1] not in ("", "#") and not above.startswith("#")
    ]
    assert bare == []


@pytest.mark.parametrize("hook", ["openrlhf-function", "openrlhf-agent", "openrlhf-spct-reward"])
def test_path_prints_a_file_that_is_there(hook: str) -> None:
    assert Path(run("path", hook).stdout.strip()).is_file()


@pytest.mark.parametrize("arguments", [("config", DRY_RUN), ("--help",)])
def test_a_reader_that_is_gone_is_no_error_message(arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        said = subprocess.run(
            [*GRM_PLUGIN, *arguments], stdout=gone, stderr=subprocess.PIPE, timeout=60, env=PLAIN, check=False
        )
    assert said.stderr == b""


def test_colours_are_for_terminals_that_want_them() -> None:
    assert COLOUR.search(on_a_terminal("--help"))
    assert not COLOUR.search(on_a_terminal("--help", NO_COLOR="1"))
