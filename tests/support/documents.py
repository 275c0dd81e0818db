"""The repository's Markdown, and the blocks of code in it."""

from __future__ import annotations

import re
import subprocess

from support.paths import ROOT

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def documents() -> list[str]:
    """The repository's texts, but for the changelog, which tells of files and keys that are gone."""
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    found = listed.split() or sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("*.md"))
    return [name for name in found if name != "CHANGELOG.md"]


def blocks(document: str) -> list[tuple[str, str]]:
    """The blocks of code of a document: the language and the text of each."""
    return _BLOCK.findall((ROOT / document).read_text(encoding="utf-8"))
