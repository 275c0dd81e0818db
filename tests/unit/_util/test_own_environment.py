"""What a process was started with is told from what it has set since."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import os
from grm_plugin._util.own_environment import was_set_at_start
os.environ["OMP_NUM_THREADS"] = "1"
print(was_set_at_start("OMP_NUM_THREADS"), was_set_at_start("OMP_NUM"))
"""


@pytest.mark.parametrize("given", [None, "7", ""])
def test_a_variable_that_was_given_is_told_from_one_set_since(given: str | None) -> None:
    environ = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    environ |= {} if given is None else {"OMP_NUM_THREADS": given}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(given is not None), "False"]
