"""What documents say of the repository is true: files and pages that they name are there. The README is short."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.documents import blocks, documents
from support.paths import ROOT

NAMED_FILE = re.compile(r"(?<![\w/.-])(?:tests|grm_plugin|integrations|examples|configs|docs)/[\w./*-]*\w")
"""A path from the root of the repository; `*` stands for any name."""
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)\)")
GENERATED = "docs/reference/"
"""Pages that `make docs` writes, which looks for links to them itself."""


@pytest.mark.parametrize("document", documents())
def test_the_files_that_a_document_names_are_there(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    folder = Path(document).parent
    named = {match[0] for match in NAMED_FILE.finditer(text)}
    missing = [name for name in named if not list(ROOT.glob(name)) and not list(ROOT.glob(str(folder / name)))]
    assert not missing, f"{document} names {', '.join(sorted(missing))}"


@pytest.mark.parametrize("document", documents())
def test_the_links_of_a_document_lead_somewhere(document: str) -> None:
    links = LINK.findall((ROOT / document).read_text(encoding="utf-8"))
    found = [((ROOT / document).parent / link).resolve() for link in links]
    missing = [str(path) for path in found if not path.exists() and GENERATED not in f"{path}"]
    assert not missing


def test_every_page_is_on_the_map_and_in_the_table_of_contents() -> None:
    index = (ROOT / "docs/index.md").read_text()
    linked = set(re.findall(r"\]\((\w+)\.md\)", index))
    contents = set(
        re.findall(r"^(\w+)$", "\n".join(re.findall(r"```\{toctree\}(.*?)```", index, re.DOTALL)), re.MULTILINE)
    )
    pages = {Path(name).stem for name in documents() if Path(name).parent == Path("docs")} - {"index"}
    assert linked == contents == pages


def test_pages_link_to_pages_only() -> None:
    """Sphinx knows no Markdown outside of docs/: such a link would end the strict build."""
    for name in documents():
        if Path(name).parent == Path("docs"):
            for link in LINK.findall((ROOT / name).read_text()):
                assert not (link.startswith("..") and link.endswith(".md")), (name, link)


def test_the_readme_is_one_page_and_begins_with_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 120
    assert len(readme.split()) <= 900
    first = next(text for kind, text in blocks("README.md") if kind == "sh")
    assert [line.partition("#")[0].strip() for line in first.splitlines()] == ["make demo", "make test"]


BY_MAKE = ["tests/benchmarks/bench_reward_path.py", "tests/chaos"]
"""Programs that are started by `make bench` and `make chaos`."""
RESULTS = "docs/results.md"


@pytest.mark.parametrize("program", ["tests/benchmarks/bench_service.py", "tests/benchmarks/bench_trace.py", *BY_MAKE])
def test_the_programs_that_the_results_name_start(program: str) -> None:
    assert f"python {program}" in (ROOT / ("Makefile" if program in BY_MAKE else RESULTS)).read_text()
    done = subprocess.run(
        [sys.executable, program, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stdout.startswith("usage:")) == (0, True), done.stderr
