"""RM-Bench (Liu et al., arXiv 2410.16184): three right and three wrong responses to a prompt, in three styles each.

Checked against the published files of two domains (chat, and one of the two files of safety).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from grm_plugin.batch.items import Item
from grm_plugin.conversation.chat_turns import exchange_of
from grm_plugin.errors import WireError
from grm_plugin.evals.benchmarks.rows import BenchmarkRow

DOMAINS = ("chat", "code", "math", "safety")
"""The subsets, whose mean is the score. Safety pools the items of its two files, safety-refuse and safety-response."""

PARTS = (*DOMAINS, "safety-refuse", "safety-response")
"""What the data set and its files call a domain."""

STYLES = ("concise", "detailed", "detailed with Markdown")
"""Those of the responses, right and wrong ones, in their order."""

WHOLE_FILE = "total_dataset.json"
"""The file that holds all domains, beside one file per domain."""


def rm_bench(row: BenchmarkRow, left_out: Counter[str]) -> Iterator[Item]:
    """RM-Bench. Columns: id, prompt, chosen and rejected (three styles each), domain. Where the domain is no column,
    the name of the file begins with it, as in `safety-refuse_filtered.json`.

    An item has six responses: the three right ones, then the three wrong ones, each in the order of `STYLES`.
    """
    row.need("id", "prompt", "chosen", "rejected")
    domain = _domain(row)
    responses = [response for column in ("chosen", "rejected") for response in _three(row, column)]
    conversation, texts = exchange_of(row.values["prompt"], responses)
    yield Item(
        f"{domain}/{row.values['id']}",
        conversation,
        texts,
        best=tuple(range(len(STYLES))),
        subset=domain.partition("-")[0],
    )


def style_pairs(item: Item) -> Iterator[Item]:
    """The nine pairs of a right and a wrong response of an item, for a GRM that reads pairs only.

    `meta` says the style of each, as an index of `STYLES`. They are one cluster: the score compares them all.
    """
    count = len(STYLES)
    for chosen in range(count):
        for rejected in range(count):
            yield replace(
                item,
                id=f"{item.id}/{chosen}-{rejected}",
                responses=(item.responses[chosen], item.responses[count + rejected]),
                best=(0,),
                meta={**item.meta, "chosen": chosen, "rejected": rejected},
                cluster=item.id,
            )


def _domain(row: BenchmarkRow) -> str:
    """The domain as the data set names it: one of `PARTS`."""
    told = row.values.get("domain")
    if told is not None:
        if told not in PARTS:
            raise WireError(f"domain {told!r} is none of {', '.join(PARTS)}")
        return str(told)
    found = re.match(r"[a-z]+(?:-[a-z]+)?", re.split(r"[/\\]", row.source)[-1])
    if found is None or found[0] not in PARTS:
        raise WireError(
            f"no column domain: which domain is this? Let the file's name begin with one of {', '.join(PARTS)}"
        )
    return found[0]


def _three(row: BenchmarkRow, column: str) -> list[object]:
    styles = row.values[column]
    if not isinstance(styles, list) or len(styles) != len(STYLES):
        found = len(styles) if isinstance(styles, list) else type(styles).__name__
        raise WireError(f"{column} must be a list of three styles ({', '.join(STYLES)}), not {found}")
    return styles
