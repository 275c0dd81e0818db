"""A machine runs one service of a name, which is found and ended by its name. With real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from grm_plugin.errors import ServiceError
from grm_plugin.serving import pid_file

URL = "http://127.0.0.1:8790"

SERVICE = """
import signal, sys, time
from grm_plugin.serving.pid_file import holding_pid_file
stubborn = sys.argv[2:] == ["stubborn"]
signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn else lambda *_: sys.exit(0))
with holding_pid_file(sys.argv[1], "http://127.0.0.1:8790"):
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "grm_plugin"


@contextmanager
def process(name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SERVICE, name, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "ready\n"
            yield running
        finally:
            running.kill()


def test_a_service_is_found_by_its_name_and_ended() -> None:
    with process("one") as running:
        assert pid_file.find("one") == pid_file.RunningService(running.pid, URL)
        assert pid_file.find("two") is None
        assert pid_file.stop("two") is False
        assert pid_file.stop("one") is True
        assert running.wait(10) == 0
    assert pid_file.find("one") is None
    assert pid_file.stop("one") is False


def test_a_second_one_is_refused_with_the_first_ones_address() -> None:
    with process("one") as running, pytest.raises(ServiceError) as error, pid_file.holding_pid_file("one", URL):
        pass
    assert f"runs on this machine already at {URL} (process {running.pid})" in str(error.value)
    assert "grm-plugin stop --name one" in str(error.value)


def test_a_killed_one_leaves_nothing_in_the_way() -> None:
    with process("one") as running:
        running.send_signal(signal.SIGKILL)
        running.wait(10)
    assert pid_file.find("one") is None
    with pid_file.holding_pid_file("one", URL), pid_file.holding_pid_file("two", URL):
        pass
    with pid_file.holding_pid_file("one", URL):
        pass


def test_a_process_that_got_the_id_of_a_dead_service_is_left_alone(runtime: Path) -> None:
    runtime.mkdir()
    (runtime / "one.json").write_text(json.dumps({"pid": os.getppid(), "url": URL}))
    assert pid_file.find("one") is None
    assert pid_file.stop("one") is False


def test_two_that_look_at_once_are_no_service(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime.mkdir()
    (runtime / "one.json").write_text(json.dumps({"pid": os.getppid(), "url": URL}))
    lock, seen = pid_file._lock, []

    def while_another_looks(*arguments: int) -> bool:
        monkeypatch.setattr(pid_file, "_lock", lock)
        locked = lock(*arguments)
        seen.append(pid_file.find("one"))
        return locked

    monkeypatch.setattr(pid_file, "_lock", while_another_looks)
    assert pid_file.find("one") is None
    assert seen == [None]


def test_one_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pid_file, "KILL_AFTER_S", 0.3)
    with process("one", "stubborn") as running:
        assert pid_file.stop("one") is True
        assert running.wait(10) == -signal.SIGKILL


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_a_damaged_file_is_no_service(runtime: Path, content: str) -> None:
    runtime.mkdir()
    (runtime / "one.json").write_text(content)
    assert pid_file.find("one") is None


def test_a_folder_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone can make a folder of this name, and could put a false address of the service into it."""
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with (
        pytest.raises(ServiceError, match="belongs to another user: set XDG_RUNTIME_DIR"),
        pid_file.holding_pid_file("a", URL),
    ):
        pytest.fail("it got the name")


def test_a_service_of_another_user_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    words = rf"'one' \(process {os.getpid()}\) belongs to another user"
    with pid_file.holding_pid_file("one", URL), pytest.raises(ServiceError, match=words):
        pid_file.stop("one")


def test_all_services_that_live_are_listed(runtime: Path) -> None:
    assert pid_file.find_all() == {}
    with process("one") as one, process("two") as two:
        (runtime / "left-over.json").write_text(json.dumps({"pid": one.pid, "url": URL}))
        (runtime / "damaged.json").write_text("{")
        found = pid_file.find_all()
    assert found == {"one": pid_file.RunningService(one.pid, URL), "two": pid_file.RunningService(two.pid, URL)}
    assert pid_file.find_all() == {}
