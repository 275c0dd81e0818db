"""Test commands as verifiers: what they are given, and what is left of those that hang, fork or flood."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import textwrap
from pathlib import Path

import pytest

from grm_plugin.best_of.checking import Checked, Limits, TestCommand
from grm_plugin.best_of.problems import problem_of
from grm_plugin.errors import ConfigError

PROBLEM = problem_of({"id": "p", "prompt": "1+1?", "samples": ["2"], "gt_answer": "2", "test_cases": {"in": "1"}})


def run(code: str, tmp_path: Path, isolated: bool = False, sample: str = "2", **bounds: float) -> Checked:
    """What a Python program says of a sample."""
    file = tmp_path / "check.py"
    file.write_text(textwrap.dedent(code))
    limits = Limits(**{"seconds": 30.0, **bounds})  # type: ignore[arg-type]
    tests = TestCommand(f"{sys.executable} {file}", limits)
    if isolated and not tests.isolated:
        pytest.skip("this machine does not let a user start a process without a network")
    tests.isolated = isolated
    return asyncio.run(tests.check(PROBLEM, problem_of({"prompt": "P", "samples": [sample]}).samples[0]))


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("isolated", [False, True])
def test_it_gets_the_sample_and_the_problem_and_says_right_or_wrong(isolated: bool, tmp_path: Path) -> None:
    code = """
        import json, os, sys
        problem = json.load(open(os.environ["GRM_PROBLEM"]))
        given = sys.stdin.read()
        assert given == open(os.environ["GRM_SAMPLE"]).read()
        assert problem["test_cases"] == {"in": "1"} and "samples" not in problem
        assert os.listdir(".") == []
        open("mine", "w").write("x")
        sys.exit(0 if given == problem["gt_answer"] else 1)
    """
    assert run(code, tmp_path, isolated) == Checked(True)
    assert run(code, tmp_path, isolated, sample="3") == Checked(False)
    assert run("import sys; sys.exit(7)", tmp_path, isolated) == Checked(False, "exit status 7")


@pytest.mark.parametrize("isolated", [False, True])
def test_one_that_hangs_is_ended_with_what_it_has_forked_away(isolated: bool, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    pids.touch()
    code = f"""
        import os, time
        for _ in range(3):
            if os.fork() == 0:
                os.setsid()
                if os.fork():
                    os._exit(0)
                break
        open({str(pids)!r}, "a").write(os.readlink("/proc/self") + "\\n")
        time.sleep(600)
    """
    found = run(code, tmp_path, isolated, seconds=3.0)
    assert found == Checked(False, "took longer than 3 s")
    told = pids.read_text().split()
    assert len(told) == 4
    if not isolated:  # the numbers of another namespace say nothing here
        assert not any(alive(int(pid)) for pid in told)
    marked = [entry for entry in Path("/proc").glob("[0-9]*") if str(tmp_path / "check.py") in command_of(entry)]
    assert marked == []


def command_of(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def test_one_that_passes_and_leaves_something_behind_leaves_nothing(tmp_path: Path) -> None:
    code = """
        import os, time
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
    """
    assert run(code, tmp_path) == Checked(True)
    assert not [entry for entry in Path("/proc").glob("[0-9]*") if str(tmp_path / "check.py") in command_of(entry)]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_one_that_prints_megabytes_is_cut_and_wrong(stream: str, tmp_path: Path) -> None:
    code = f"""
        import sys
        try:
            for _ in range(100):
                sys.{stream}.write("x" * 2**20)
                sys.{stream}.flush()
        except OSError:
            pass
        import os; os._exit(0)
    """
    assert run(code, tmp_path, output_kib=64) == Checked(False, "printed more than 64 KiB")


def test_one_that_takes_too_much_memory_or_disk_fails_alone(tmp_path: Path) -> None:
    memory = run("x = bytearray(2**30)", tmp_path, memory_mib=256)
    assert memory == Checked(False)  # MemoryError is an exit status of 1
    file = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL); open('f', 'wb').write(b'x' * 2**20)"
    assert run(file, tmp_path, output_kib=64) == Checked(False, "wrote a file of more than 64 KiB")
    crash = run("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", tmp_path)
    assert crash == Checked(False, "ended by SIGSEGV")


@pytest.mark.skipif(os.geteuid() == 0, reason="the kernel lets root have as many processes as it likes")
def test_one_that_forks_on_and_on_is_stopped(tmp_path: Path) -> None:
    code = """
        import os, time
        forked = 0
        try:
            while forked < 1000:
                if os.fork() == 0:
                    time.sleep(600)
                forked += 1
        except OSError:
            pass
        raise SystemExit(0 if forked < 300 else 1)
    """
    assert run(code, tmp_path, isolated=True) == Checked(True)


def test_no_secret_of_the_job_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRM_TOKEN", "secret")
    monkeypatch.setenv("HF_TOKEN", "secret")
    code = "import os, sys; sys.exit(any('secret' in value for value in os.environ.values()))"
    assert run(code, tmp_path) == Checked(True)


def test_without_a_network_no_port_of_this_machine_is_reached(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 5)"
        assert run(code, tmp_path) == Checked(True)
        assert run(code, tmp_path, isolated=True) == Checked(False)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", "--command is empty"),
        ("'open", "cannot be split into words"),
        ("no-such-program-anywhere x", "there is no program 'no-such-program-anywhere'"),
    ],
)
def test_a_command_that_cannot_be_is_refused_at_once(command: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        TestCommand(command, Limits())


def test_one_that_cannot_be_started_is_an_error_and_no_verdict(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    tests = TestCommand(str(broken), Limits())
    with pytest.raises(ConfigError, match=r"--command cannot be started: .*broken: No such file"):
        asyncio.run(tests.check(PROBLEM, PROBLEM.samples[0]))


def test_files_of_the_current_folder_are_found_from_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ok.py").write_text("")
    tests = TestCommand(f"{sys.executable} ok.py", Limits())
    assert asyncio.run(tests.check(PROBLEM, PROBLEM.samples[0])) == Checked(True)
    before = tests.named
    (tmp_path / "ok.py").write_text("import sys; sys.exit(1)")
    assert tests.named != before
    assert asyncio.run(tests.check(PROBLEM, PROBLEM.samples[0])) == Checked(False)
    assert [*os.listdir(tmp_path)] == ["ok.py"]
