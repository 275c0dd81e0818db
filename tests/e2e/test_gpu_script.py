"""`python tests/gpu` tried on the CPU: what a GPU will be asked first is executed here.

Three minutes on two busy cores.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.paths import ROOT

pytest.importorskip("vllm")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(700)]


def summary_of(out: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """The exit status, the parts by name, and what was printed."""
    command = [sys.executable, str(ROOT / "tests" / "gpu"), "--device", "cpu", "--tiny", "--out", str(out), *arguments]
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=650)
    parts = json.loads(out.read_text())["parts"]
    return ended.returncode, {part["name"]: part for part in parts}, ended.stdout


def test_all_its_parts_run(tmp_path: Path) -> None:
    code, parts, printed = summary_of(tmp_path / "summary.json", "--models", "gemma_2", "--budget-s", "640")
    assert {name: part["status"] for name, part in parts.items()} == {
        "parity": "ok", "memory": "ok", "tokens/s, grm_plugin": "ok", "tokens/s, vLLM": "ok",
    }, printed  # fmt: skip
    assert code == 0
    assert parts["parity"]["figures"]["gemma_2"]["mean"] > 0, "bfloat16 rounds nothing: it was compared with itself"
    assert "tokens/s of grm_plugin as a part of vLLM's own" in printed


def test_what_has_no_time_left_is_said_not_to_have_run(tmp_path: Path) -> None:
    code, parts, printed = summary_of(tmp_path / "summary.json", "--budget-s", "20")
    assert {part["status"] for part in parts.values()} == {"not run"}, printed
    assert code == 0


def test_a_part_that_does_not_end_is_killed_with_all_it_started(tmp_path: Path) -> None:
    code, parts, printed = summary_of(tmp_path / "summary.json", "--only", "memory", "--budget-s", "36")
    assert (code, parts["memory"]["status"]) == (1, "FAILED"), printed
    assert parts["memory"]["why"].startswith("not done within")
