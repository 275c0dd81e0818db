"""What readers of verdicts read, lose and misread, on recorded outputs of judges and on the forms that the tests know.

    python tests/benchmarks/bench_parsing.py          # seconds; recorded outputs at GRM_BENCH_DATA or ../shared/data

read: as the judge's own reader, or the form's author, says. lost: a verdict that stands there and is not read. left: a
text without a verdict that is left alone. misread: anything else; must be 0. A row is a source of outputs and a reader.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

sys.path.append(str(Path(__file__).resolve().parents[1]))

from grm_plugin.judging.parsing import parse
from support import recorded_outputs as recorded
from support.verdict_forms import FORMS, Form


class Row(NamedTuple):
    """Outputs from a source, and the reader that is tried on them."""

    source: str
    reader: str
    read: recorded.Reader
    outputs: Callable[[], Iterable[Form]]


FORM_ROWS = [Row(f"forms: {group}", "boxed", parse, partial(list, forms.values())) for group, forms in FORMS.items()]
RECORDED_ROWS = [
    Row("j1-micro on RewardBench, whole outputs", "boxed", parse, recorded.j1_outputs),
    Row("j1-micro, cut before its verdict, said to stop", "boxed", parse, recorded.j1_drafts),
    Row("JudgeBench, verdicts of an A/B judge", "boxed", parse, recorded.judgebench_outputs),
    Row("JudgeBench, responses as if they were critiques", "boxed", parse, recorded.judgebench_responses),
]


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rows = [*FORM_ROWS, *(RECORDED_ROWS if recorded.REAL.is_dir() else [])]
    print(f"{'source':<50}{'reader':<10}{'outputs':>8}{'read':>8}{'lost':>8}{'left':>8}{'misread':>8}")
    for row in rows:
        reading = recorded.count(row.read, list(row.outputs()))
        figures = (reading.outputs, reading.read, reading.lost, reading.left, reading.misread)
        print(f"{row.source:<50}{row.reader:<10}" + "".join(f"{figure:>8,}" for figure in figures))
    if not recorded.REAL.is_dir():
        print(f"no recorded outputs at {recorded.REAL}: set GRM_BENCH_DATA")


if __name__ == "__main__":
    main()
