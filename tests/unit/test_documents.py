"""What the documents say of the repository is true: files that they name are there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.paths import ROOT

NAMED_FILE = re.compile(r"(?<![\w/.-])(?:tests|grm_plugin|integrations|examples|configs|docs)/[\w./*-]*\w")
"""A path from the root of the repository; `*` stands for any name."""


def documents() -> list[str]:
    """The repository's texts, but for the changelog, which tells of files that are gone."""
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    found = listed.split() or [str(path.relative_to(ROOT)) for path in ROOT.glob("*.md")]
    return [name for name in found if name != "CHANGELOG.md"]


@pytest.mark.parametrize("document", documents())
def test_the_files_that_a_document_names_are_there(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    folder = Path(document).parent
    named = {match[0] for match in NAMED_FILE.finditer(text)}
    missing = [name for name in named if not list(ROOT.glob(name)) and not list(ROOT.glob(str(folder / name)))]
    assert not missing, f"{document} names {', '.join(sorted(missing))}"


BY_MAKE = ["tests/benchmarks/bench_reward_path.py", "tests/chaos"]
"""Programs that are started by `make bench` and `make chaos`."""


@pytest.mark.parametrize("program", ["tests/benchmarks/bench_service.py", "tests/benchmarks/bench_trace.py", *BY_MAKE])
def test_the_programs_that_the_readme_names_start(program: str) -> None:
    assert f"python {program}" in (ROOT / ("Makefile" if program in BY_MAKE else "README.md")).read_text()
    done = subprocess.run(
        [sys.executable, program, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stdout.startswith("usage:")) == (0, True), done.stderr
