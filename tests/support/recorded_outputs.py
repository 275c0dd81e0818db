"""Outputs of judges with what they said, and the count of how a reader does on them.

Recorded outputs are no part of the project: they lie where `GRM_BENCH_DATA` points, or in ../shared/data.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from grm_plugin.types import Completion, Scores, Unparsed
from support.paths import ROOT
from support.verdict_forms import Form

REAL = Path(os.environ.get("GRM_BENCH_DATA", ROOT.parent / "shared" / "data"))

Reader = Callable[[Completion, int], Scores | Unparsed]
"""Reads the scores of n responses off a completion."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a reader does: verdicts that it reads right, verdicts that it loses, texts without a verdict that it leaves
    alone, and texts of either kind of which it reads something else than they say."""

    outputs: int
    read: int
    lost: int
    left: int
    misread: int


def count(reader: Reader, forms: Sequence[Form]) -> Reading:
    """Read every form."""
    return tally([(form.verdict, reader(Completion(form.text), form.n)) for form in forms])


def tally(pairs: Sequence[tuple[tuple[float, ...] | None, Scores | Unparsed]]) -> Reading:
    """What texts say, None for nothing, and what a reader made of each."""
    read = sum(isinstance(parsed, Scores) and parsed.values == verdict for verdict, parsed in pairs)
    lost = sum(isinstance(parsed, Unparsed) and verdict is not None for verdict, parsed in pairs)
    left = sum(isinstance(parsed, Unparsed) and verdict is None for verdict, parsed in pairs)
    return Reading(len(pairs), read, lost, left, len(pairs) - read - lost - left)


def j1_outputs() -> Iterator[Form]:
    """Whole outputs of j1-micro, drafts in the reasoning, with the scores that its own reader took."""
    csv.field_size_limit(sys.maxsize)
    with (REAL / "j1" / "j1_micro_rewardbench.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            (text,) = (value for key, value in row.items() if key.endswith("_score") and key != "pairwise_score")
            first, second = json.loads(row["pairwise_score"])
            yield Form(text, (first, second))


def j1_drafts() -> Iterator[Form]:
    """The same outputs as far as each of their lines, as a server hands them over that says `stop` for a cut.

    Only what ends within the last line of the whole output may be read.
    """
    for output in j1_outputs():
        end = output.text.rindex("\\boxed")
        for at, character in enumerate(output.text[:end]):
            if character == "\n":
                yield Form(output.text[:at], None)


DECISIONS = {"A>B": (10.0, 1.0), "B>A": (1.0, 10.0), "A=B": (5.5, 5.5)}
"""What a decision of the recorded judge is as votes."""


def judgebench_verdicts() -> Iterator[Form]:
    """Outputs of a judge that ends in `[[A>B]]`, with the recorded decisions."""
    for path in sorted((REAL / "judgebench" / "outputs").glob("*arena_hard*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            for judged in json.loads(line)["judgments"]:
                yield Form(judged["judgment"]["response"], DECISIONS.get(judged["decision"]))


def judgebench_outputs() -> Iterator[Form]:
    """The same outputs: no verdict for a reader of boxes."""
    return (Form(form.text, None) for form in judgebench_verdicts())


def judgebench_responses() -> Iterator[Form]:
    r"""Responses to be judged, many of which box an answer of their own: no verdicts, on one response or on two."""
    for path in sorted((REAL / "judgebench").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            for n in (1, 2):
                yield Form(row["response_A"], None, n)
                yield Form(row["response_B"], None, n)
