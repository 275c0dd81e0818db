"""Where the published files of benchmarks are that tests read, if they are at hand: none is part of the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.paths import ROOT

REAL = Path(os.environ.get("GRM_BENCH_DATA", ROOT.parent / "shared" / "data"))

needs_files = pytest.mark.skipif(not REAL.is_dir(), reason=f"no benchmark files at {REAL}; set GRM_BENCH_DATA")
