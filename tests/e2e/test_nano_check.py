"""`examples.nano.check`: its measurements, through real vLLM engines, on a handful of groups."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from grm_plugin.cpu import environment
from support.paths import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

MODELS = ROOT / "examples" / "nano" / "models"


def test_check_measures_all_three_models() -> None:
    pytest.importorskip("vllm")
    command = [sys.executable, "-m", "examples.nano.check", "--models", str(MODELS), "--groups", "8", "--samples", "1"]
    # A process of its own: vLLM's engines only leave the memory when theirs ends.
    # The CPU profile is for speed: nothing is compiled, and an engine is one process instead of three.
    env = {**os.environ, **environment(), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    parsed, asked = map(int, re.search(r"^pairs: (\d+) of (\d+)", done.stdout, re.MULTILINE).groups())
    assert asked == 256
    assert parsed > 250
    assert "meta@32" in done.stdout
    quality = float(re.search(r"policy at T=1.0: true quality (0\.\d+)", done.stdout)[1])
    assert 0.4 < quality < 0.56
