"""What a job leaves behind is found and ended, also in a session of its own, as the ranks of torchrun are."""

import os
import subprocess
import sys

from support.marked_jobs import kill_marked, new_mark, processes_with, run_marked

PARENT = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "print('up', flush=True); input()"], start_new_session=True)
"""


def test_a_job_ends_with_all_its_processes() -> None:
    mark = new_mark()
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        env={**os.environ, **dict([mark])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "up\n"
        processes = processes_with(mark)
        assert job.pid in processes
        assert {os.getsid(pid) for pid in processes} == {os.getsid(0), *(processes.keys() - {job.pid})}
        kill_marked(mark)
    assert processes_with(mark) == {}


def test_a_command_is_run_to_its_end() -> None:
    code = "import os, sys; print(os.environ['PLUM']); print('oh', file=sys.stderr); sys.exit(3)"
    done = run_marked([sys.executable, "-c", code], 60, {"PLUM": "blue"})
    assert (done.returncode, done.stdout, done.stderr) == (3, "blue\n", "oh\n")
