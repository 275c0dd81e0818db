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

from grm_plugin.judging.answers import read
from grm_plugin.judging.parsing import parse
from grm_plugin.types import Completion
from support import recorded_outputs as recorded
from support.judge_forms import JUDGE_FORMS, JudgeForm, judge_of
from support.verdict_forms import FORMS, Form


class Row(NamedTuple):
    """Outputs from a source, and how a reader does on them."""

    source: str
    reader: str
    reading: Callable[[], recorded.Reading]


def boxed(source: str, outputs: Callable[[], Iterable[Form]]) -> Row:
    """Outputs that the default reader is tried on."""
    return Row(source, "boxed", lambda: recorded.count(parse, list(outputs())))


def judged(source: str, outputs: Callable[[], Iterable[Form]], **settings: object) -> Row:
    """Outputs that the reader of a section `judge` is tried on."""
    judge = judge_of(**{"answer": "boxed", **settings})  # type: ignore[arg-type]
    name = str(settings.get("preset", judge.answer))
    return Row(source, name, lambda: recorded.count(partial(read, judge=judge), list(outputs())))


def forms_of(answer: str, forms: Iterable[JudgeForm]) -> recorded.Reading:
    """Each form, read with its own settings."""
    return recorded.tally(
        [(form.verdict, read(Completion(form.text), form.n, judge_of(answer, **form.settings))) for form in forms]
    )


FORM_ROWS = [
    *(boxed(f"forms: {group}", partial(list, forms.values())) for group, forms in FORMS.items()),
    *(
        Row("forms: other judges", answer, partial(forms_of, answer, forms.values()))
        for answer, forms in JUDGE_FORMS.items()
    ),
]
RECORDED_ROWS = [
    boxed("j1-micro on RewardBench, whole outputs", recorded.j1_outputs),
    judged("j1-micro on RewardBench, whole outputs", recorded.j1_outputs, preset="j1"),
    boxed("j1-micro, cut before its verdict, said to stop", recorded.j1_drafts),
    judged("JudgeBench, verdicts of an A/B judge", recorded.judgebench_verdicts, answer="verdict"),
    boxed("JudgeBench, verdicts of an A/B judge", recorded.judgebench_outputs),
    boxed("JudgeBench, responses as if they were critiques", recorded.judgebench_responses),
]


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rows = [*FORM_ROWS, *(RECORDED_ROWS if recorded.REAL.is_dir() else [])]
    print(f"{'source':<50}{'reader':<10}{'outputs':>8}{'read':>8}{'lost':>8}{'left':>8}{'misread':>8}")
    for row in rows:
        reading = row.reading()
        figures = (reading.outputs, reading.read, reading.lost, reading.left, reading.misread)
        print(f"{row.source:<50}{row.reader:<10}" + "".join(f"{figure:>8,}" for figure in figures))
    if not recorded.REAL.is_dir():
        print(f"no recorded outputs at {recorded.REAL}: set GRM_BENCH_DATA")


if __name__ == "__main__":
    main()
