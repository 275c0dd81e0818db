"""A filter in the address of a page, and back. What makes no sense in an address is ignored: people edit them."""

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
        min_reward=number(query.get("min")),
        max_reward=number(query.get("max")),
        min_spread=number(query.get("spread")),
        unparsed=query.get("unparsed") == "1",
        fallback=query.get("fallback") == "1",
        sort=Sort(sort) if sort in set(Sort) else Sort.NEWEST,
    )


def query_of(chosen: Filter, **more: object) -> str:
    """`?...` for a filter and further parameters, or an empty string; `filter_of` reads it back."""
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
    # An address cannot hold lone surrogates; "replace" keeps a hostile one from failing the page.
    query = urlencode({name: value for name, value in pairs.items() if value not in ("", None)}, errors="replace")
    return f"?{query}" if query else ""


def number(text: str | None) -> float | None:
    """A finite number, or None for anything else."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def whole(text: str | None) -> int | None:
    """A number of a group (within SQLite's integers), or None for anything else."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
