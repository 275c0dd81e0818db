"""Makes HTML from the templates of the trace page, and knows how numbers and times are written there."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from grm_plugin import __version__
from grm_plugin.trace.charts import HEIGHT, WIDTH
from grm_plugin.trace.safe_text import visible, with_letters


def render(template: str, **values: Any) -> str:
    """The HTML of a template in `templates/`. Every value in it is escaped."""
    return _environment().get_template(template).render(values)


def html_environment(folder: Path) -> Environment:
    """Reads templates of HTML pages. What they insert is escaped; a name that is not there is an error."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@functools.cache
def _environment() -> Environment:
    environment = html_environment(Path(__file__).parent / "templates")
    environment.globals |= {"version": __version__, "chart_width": WIDTH, "chart_height": HEIGHT}
    environment.filters |= {
        "visible": visible,
        "with_letters": with_letters,
        "reward": lambda value: "–" if value is None else f"{value:.3f}" if abs(value) < 10 else f"{value:.4g}",
        "points": lambda value: "–" if value is None else f"{value:.2f}",
        "seconds": lambda value: f"{value:.0f} s" if value >= 10 else f"{value:.2g} s",
        "date": lambda value: time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value)),
        "iso": lambda value: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(value)),
        "along": _percent_along,
    }
    return environment


def _percent_along(value: float, low: float | None, high: float | None) -> str:
    """Where a value lies on the scale from `low` to `high`, as 0..100; 50 if there is no scale."""
    if low is None or high is None or high <= low:
        return "50"
    return f"{100 * min(1.0, max(0.0, (value - low) / (high - low))):.1f}"
