"""Settings of Sphinx, which builds the site: `make docs`. Warnings are errors there."""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # the generators, and the package that they describe

from generators import names, pages  # noqa: E402

import grm_plugin  # noqa: E402

project = "grm_plugin"
version = release = grm_plugin.__version__

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "fieldlist"]
# Docstrings are Markdown, but not HTML: `<key>` in a text is meant as it stands.
myst_disable_syntax = ["html_block", "html_inline"]
smartquotes = False  # would make a dash of the two hyphens of an option

nitpicky = True  # a name of this package without a place to link to is a warning; see also generators/names.py
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"  # loads nothing from other servers
html_title = f"grm_plugin {release}"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False


def setup(app: Sphinx) -> None:
    """Called by Sphinx: the pages are written before it looks for them."""
    app.connect("builder-inited", pages.write)
    names.setup(app)
