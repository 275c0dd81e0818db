"""A test run finds the processes that it left behind, and ends them."""

import os
import subprocess
import sys

import pytest

from support.leftovers import end_processes, take_mark


def test_what_does_not_end_by_itself_is_named_and_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRM_TEST_RUN", os.environ["GRM_TEST_RUN"])  # comes back at the end
    mark = take_mark()
    with subprocess.Popen([sys.executable, "-c", "input('plum')"], stdin=subprocess.PIPE) as job:
        (left,) = end_processes(mark, deadline_s=0)
        assert "plum" in left
        assert job.wait(60) < 0
    assert end_processes(mark) == []
