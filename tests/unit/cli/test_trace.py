import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from grm_plugin.cli.trace import app
from grm_plugin.errors import ConfigError, GRMError, ServiceError
from support.trace_factories import fill, judged, silent


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return fill(tmp_path / "a.db", [judged("1", "10"), judged("3", generator=silent(), question="\x1b[31mred \u202e?")])


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_list(store: Path) -> None:
    result = run("traces", store)
    assert result.exit_code == 0
    head, newest, oldest = result.output.splitlines()
    assert head == "2 of 2 groups"
    assert newest.startswith("#2 ")
    assert "2 lost 1 fallback" in newest
    assert "<U+001B>[31mred <U+202E>?" in newest, "a response cannot steer the terminal"
    assert "What is 2 + 2?" in oldest


def test_a_filter(store: Path) -> None:
    assert run("traces", store, "--min-reward", "0.9").output.splitlines()[0] == "1 of 2 groups"
    assert run("traces", store, "-n", "1", "--sort", "highest").output.splitlines()[1].startswith("#1 ")


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_an_export(store: Path, tmp_path: Path, name: str) -> None:
    assert "1 groups" in run("traces", store, "--fallback", "--export", tmp_path / name).output
    assert (tmp_path / name).stat().st_size > 100
    if name.endswith("jsonl"):
        assert [json.loads(line)["id"] for line in (tmp_path / name).read_text().splitlines()] == [2]


@pytest.mark.parametrize(
    ("name", "problem"), [("out.csv", r"ends in \.jsonl or \.parquet"), ("no/out.jsonl", "No such")]
)
def test_an_export_that_cannot_be(store: Path, tmp_path: Path, name: str, problem: str) -> None:
    result = run("traces", store, "--export", tmp_path / name)
    assert isinstance(result.exception, ConfigError)
    with pytest.raises(ConfigError, match=problem):
        raise result.exception


@pytest.mark.parametrize("command", ["traces", "view"])
def test_no_store(tmp_path: Path, command: str) -> None:
    result = run(command, tmp_path / "none.db")
    assert isinstance(result.exception, GRMError)
    assert "there is no trace store" in str(result.exception)


def test_viewing_a_store(store: Path) -> None:
    code = "from grm_plugin.cli.trace import app; app()"
    view = subprocess.Popen(
        [sys.executable, "-c", code, "view", str(store), "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert view.stdout is not None
        address = view.stdout.readline().split()[-1]
        page = httpx.get(address, timeout=30)
        assert page.status_code == 200
        assert '<tr data-id="2"' in page.text
        view.send_signal(signal.SIGINT)
        view.wait(30)
    finally:
        view.kill()
        view.wait(30)


def test_a_port_that_is_taken(store: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = run("view", store, "--port", str(taken.getsockname()[1]))
    assert isinstance(result.exception, ServiceError)
    assert "choose another --port" in str(result.exception)
