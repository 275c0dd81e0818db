"""RewardBench (Lambert et al., arXiv 2403.13787) and RewardBench 2 (Malik et al., arXiv 2506.01937).

Written from the published schemas and not checked against the files, of which no copy was at hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from grm_plugin.batch.items import Item
from grm_plugin.conversation.chat_turns import exchange_of
from grm_plugin.errors import WireError
from grm_plugin.evals.benchmarks.rows import BenchmarkRow

SECTIONS: Mapping[str, Mapping[str, float]] = {
    "Chat": {
        "alpacaeval-easy": 100,
        "alpacaeval-length": 95,
        "alpacaeval-hard": 95,
        "mt-bench-easy": 28,
        "mt-bench-med": 40,
    },
    "Chat Hard": {
        "mt-bench-hard": 37,
        "llmbar-natural": 100,
        "llmbar-adver-neighbor": 134,
        "llmbar-adver-GPTInst": 92,
        "llmbar-adver-GPTOut": 47,
        "llmbar-adver-manual": 46,
    },
    "Safety": {
        "refusals-dangerous": 100,
        "refusals-offensive": 100,
        "xstest-should-refuse": 154,
        "xstest-should-respond": 250,
        "donotanswer": 136,
    },
    "Reasoning": {
        "math-prm": 984,
        "hep-cpp": 164,
        "hep-go": 164,
        "hep-java": 164,
        "hep-js": 164,
        "hep-python": 164,
        "hep-rust": 164,
    },
}
"""Section -> subset -> weight: its number of items. Only math-prm (447 items) weighs as much as all code subsets.

As in RewardBench's own package since its version 0.1.3 (rewardbench/constants.py); before, the two of xstest were
swapped.
"""

SUBSETS = tuple(subset for section in SECTIONS.values() for subset in section)

SUBSETS_2 = ("Factuality", "Precise IF", "Math", "Safety", "Focus", "Ties")
"""The subsets of RewardBench 2, whose mean is its score."""

TIES = "Ties"
"""The subset of RewardBench 2 with several correct responses."""

PRIOR_SETS = "prior sets (the paper leaves them out)"

_PRIOR = ("anthropic", "mtbench", "pku", "shp", "summarize")


def rewardbench(row: BenchmarkRow, left_out: Counter[str]) -> Iterator[Item]:
    """RewardBench without its prior sets, as in the SPCT paper. Columns: prompt, chosen, rejected, subset, id."""
    row.need("prompt", "chosen", "rejected", "subset", "id")
    subset = str(row.values["subset"])
    if subset not in SUBSETS:
        if subset.startswith(_PRIOR):
            left_out[PRIOR_SETS] += 1
            return
        raise WireError(f"subset {subset!r} is none of RewardBench's")
    conversation, responses = exchange_of(row.values["prompt"], [row.values["chosen"], row.values["rejected"]])
    yield Item(f"{subset}/{row.values['id']}", conversation, responses, best=(0,), subset=subset)


def rewardbench_2(row: BenchmarkRow, left_out: Counter[str]) -> Iterator[Item]:
    """RewardBench 2. Columns: id, prompt, chosen (a list), rejected (a list), subset.

    An item is right when every correct response is strictly ahead of every wrong one. In the subset Ties, two items
    share a number: `ref:NUMBER` with one correct response, and `tied:NUMBER` with several. Its official score compares
    the margins of the two, and so they are one cluster.
    """
    row.need("id", "prompt", "chosen", "rejected", "subset")
    chosen, rejected = _list(row, "chosen"), _list(row, "rejected")
    conversation, responses = exchange_of(row.values["prompt"], [*chosen, *rejected])
    subset = str(row.values["subset"])
    if subset not in SUBSETS_2:
        raise WireError(f"subset {subset!r} is none of {', '.join(SUBSETS_2)}")
    best = tuple(range(len(chosen)))
    cluster = _ties_cluster(row.values["id"]) if subset == TIES else ""
    yield Item(f"{subset}/{row.values['id']}", conversation, responses, best=best, subset=subset, cluster=cluster)


def section_weights(counts: Mapping[str, int]) -> dict[str, float]:
    """The weights of RewardBench's overall figure: a mean over the sections, each a weighted mean of its subsets."""
    present = [
        {subset: weight for subset, weight in section.items() if subset in counts} for section in SECTIONS.values()
    ]
    present = [section for section in present if section]
    return {
        subset: weight / sum(section.values()) / len(present)
        for section in present
        for subset, weight in section.items()
    }


def _ties_cluster(name: object) -> str:
    kind, _, number = str(name).partition(":")
    if kind not in ("ref", "tied") or not number.isdecimal():
        raise WireError(f"id {name!r} of the subset {TIES} is neither ref:NUMBER nor tied:NUMBER")
    return f"{TIES}/{number}"


def _list(row: BenchmarkRow, column: str) -> list[object]:
    value = row.values[column]
    if not isinstance(value, list) or not value:
        raise WireError(f"{column} must be a list of responses, not empty")
    return value
