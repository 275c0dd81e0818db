"""Makes links of the names in backticks, on every page: `grm_plugin.types.Reward`, `sampling.k`, `grm-plugin serve`.

So a text that names what is gone, or spells it wrongly, ends the build.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.util.logging import getLogger

from generators import command_line, environment, package
from grm_plugin.config import Config

logger = getLogger(__name__)

PYTHON = re.compile(rf"\b{package.NAME}(\.\w+)+")
KEY = re.compile(rf"({'|'.join(Config.model_fields)})(\.[a-z_]+)+")
COMMAND = re.compile(rf"{command_line.PROGRAM}( [a-z][a-z-]*)*")
"""The arguments and options that may follow are not looked at."""
FILES = (".py", ".html", ".json", ".jsonl", ".txt")
"""Ends of file names, some of which begin like a key: `judge.py`."""


class Target(NamedTuple):
    """What Sphinx needs for a cross reference: a domain, a role of it, and a name."""

    domain: str
    role: str
    name: str


class LinkNames(SphinxTransform):
    """Puts a cross reference around code that is a name of this project. Sphinx then looks for what it names."""

    default_priority = 100

    def apply(self, **kwargs: Any) -> None:
        for code in list(self.document.findall(nodes.literal)):
            if "code" in code["classes"]:  # somebody says that it is no such name: {code}`sampling.n`
                continue
            if any(isinstance(node, nodes.reference | addnodes.pending_xref | nodes.title) for node in _around(code)):
                continue
            target = target_of(code.astext(), code)
            if target is not None:
                reference = addnodes.pending_xref(
                    refdomain=target.domain, reftype=target.role, reftarget=target.name, refexplicit=True
                )
                reference["refdoc"] = self.env.docname
                code.replace_self(reference)
                reference += code
        # Not only between backticks: commands and YAML in blocks of code name modules too.
        for text in self.document.findall(nodes.Text):
            for found in PYTHON.finditer(text):
                if package.find(found[0]) is None:
                    logger.warning("%s does not exist", found[0], location=text.parent)


def target_of(text: str, location: nodes.Node | None = None) -> Target | None:
    """What a text in backticks names, or None where it is just code."""
    if PYTHON.fullmatch(text):
        path = package.find(text)
        return Target("py", "obj", path) if path and package.is_documented(path) else None
    if KEY.fullmatch(text) and not text.endswith(FILES):
        return Target("std", "confval", text)
    if text in environment.variables():
        return Target("std", "envvar", text)
    command = COMMAND.match(text)
    return _command(command[0], location) if command else None


def leave_foreign(
    app: Sphinx, env: BuildEnvironment, reference: addnodes.pending_xref, content: nodes.TextElement
) -> nodes.TextElement | None:
    """What stands where Sphinx has nothing to link to: the mere name, if another project's or a private one."""
    foreign = reference["refdomain"] == "py" and not reference["reftarget"].startswith(f"{package.NAME}.")
    return content if foreign else None


def setup(app: Sphinx) -> None:
    """Have Sphinx do both on every page."""
    app.add_transform(LinkNames)
    app.connect("missing-reference", leave_foreign)


def _command(text: str, location: nodes.Node | None) -> Target | None:
    """The command that the text begins with: its last words may be arguments."""
    known, words = command_line.commands(), text.split()
    while " ".join(words) not in known:
        words.pop()
    name = " ".join(words)
    if name != text and getattr(known[name], "commands", None):
        logger.warning("there is no command %s", text, location=location)
    return Target("std", "ref", command_line.label(name))


def _around(node: nodes.Node) -> Iterator[nodes.Node]:
    while node.parent is not None:
        node = node.parent
        yield node
