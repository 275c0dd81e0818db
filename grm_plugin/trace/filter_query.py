"""Reads a filter from the query of a page's address, and writes it there.

Parameters that make no sense are ignored, as people edit addresses by hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from urllib.parse import urlencode

from grm_plugin.trace.filters import Filter, Sort


def filter_of(query: Mapping[str, str]) -> Filter:
    """The filter that query parameters ask for."""
    sort = query.get("sort", "")
    return Filter(
        text=query.get("q", "").strip(),
        min_reward=finite_number(query.get("min")),
        max_reward=finite_number(query.get("max")),
        min_spread=finite_number(query.get("spread")),
        unparsed=query.get("unparsed") == "1",
        fallback=query.get("fallback") == "1",
        sort=Sort(sort) if sort in set(Sort) else Sort.NEWEST,
    )


def query_of(chosen: Filter, **more: object) -> str:
    """The query of a filter and further parameters, with its `?`; empty if there are none. `filter_of` reads it."""
    pairs = {
        "q": chosen.text,
        "min": _text(chosen.min_reward),
        "max": _text(chosen.max_reward),
        "spread": _text(chosen.min_spread),
        "unparsed": "1" if chosen.unparsed else "",
        "fallback": "1" if chosen.fallback else "",
        "sort": "" if chosen.sort is Sort.NEWEST else chosen.sort,
        **more,
    }
    # An address cannot hold lone surrogates: they are replaced, so that a hostile one does not break the page.
    query = urlencode({name: value for name, value in pairs.items() if value not in ("", None)}, errors="replace")
    return f"?{query}" if query else ""


def finite_number(text: str | None) -> float | None:
    """The finite number in a parameter, or None for anything else."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def group_number(text: str | None) -> int | None:
    """The number of a group in a parameter (within SQLite's integers), or None for anything else."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
