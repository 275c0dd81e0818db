"""What a process and its children write is read back where it goes to files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WRITER = """
import os, subprocess, sys
from grm_plugin._util.own_output import OwnOutput
os.write(1, b"before\\n")
output = OwnOutput()
os.write(1, b"out\\n")
subprocess.run([sys.executable, "-c", "import os; os.write(2, b'of a child\\\\xff\\\\n')"])
found = output.read(), output.paths
os.write(1, ("<" + repr(found) + ">").encode())
"""


@pytest.mark.parametrize("same", [False, True])
def test_files_are_read_from_the_beginning_on_and_named(same: bool, tmp_path: Path) -> None:
    out, err = tmp_path / "out", tmp_path / "out" if same else tmp_path / "err"
    with out.open("ab") as stdout, err.open("ab") as stderr:
        subprocess.run([sys.executable, "-c", WRITER], stdout=stdout, stderr=stderr, check=True)
    read, paths = eval(out.read_text(errors="replace").partition("<")[2].rpartition(">")[0])
    assert read.split() == ["out", "of", "a", "child\ufffd"]
    assert paths == ((str(out),) if same else (str(out), str(err)))


def test_a_pipe_is_left_alone() -> None:
    done = subprocess.run([sys.executable, "-c", WRITER], capture_output=True, check=True)
    assert b"<('', ())>" in done.stdout
