"""What `grm-plugin attack` prints, and what it writes as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from grm_plugin._util.files import replacing
from grm_plugin.attacks.attack import Attack
from grm_plugin.attacks.measuring import AttackResult
from grm_plugin.attacks.prompt_check import Change
from grm_plugin.attacks.quoting import QuotingResult
from grm_plugin.attacks.summary import Summary

CHANGES_SHOWN = 10

INFLATION = "inflation [95 %]"


@dataclass(frozen=True, slots=True)
class FormatFigures:
    """The format measure: how many prompts were read back and which changed, and the votes of a GRM that quotes.

    `tokenizers` names the models whose own tokenizer counted special tokens.
    """

    prompts: int
    changed: list[Change]
    quoting: QuotingResult
    tokenizers: list[str]

    @property
    def lines(self) -> list[str]:
        """What the terminal shows."""
        with_tokenizer = f", special tokens counted by the tokenizer of the {' and the '.join(self.tokenizers)}"
        found = [*self.changed, *self.quoting.forged]
        return [
            f"format: {len(self.changed)} of {self.prompts:,} prompts changed"
            + (with_tokenizer if self.tokenizers else ", special tokens not counted (no tokenizer at hand)"),
            f"format: {len(self.quoting.forged)} of {self.quoting.votes:,} votes forged and {self.quoting.lost} lost "
            "by a GRM that quotes all it reads",
            *(f"  {change.attack} in {change.place}: {change.what}" for change in found[:CHANGES_SHOWN]),
            *([f"  ... and {len(found) - CHANGES_SHOWN} more"] if len(found) > CHANGES_SHOWN else []),
        ]


def table(summaries: Sequence[Summary]) -> Table:
    """One line per family and form. With `--compare`, its last columns are the figures without the defences."""
    bare = {(summary.family, summary.form): summary for summary in summaries if not summary.defended}
    shown = Table(box=None, pad_edge=False, header_style="")
    shown.add_column("family", no_wrap=True)
    shown.add_column("form", no_wrap=True)
    headings = ["n", "clean", "attacked", INFLATION, ">= +2", "beats good (clean)", "votes lost", "no score"]
    for heading in [*headings, *(["| bare:", INFLATION, ">= +2", "beats good (clean)"] if bare else [])]:
        shown.add_column(heading, justify="right", no_wrap=True)
    for summary in sorted((each for each in summaries if each.defended), key=lambda each: each.form):
        cells = [str(summary.rows), _number(summary.clean, ".2f"), _number(summary.attacked, ".2f")]
        cells += [*_effect(summary), _number(summary.votes_lost, ".1%"), _number(summary.no_score, ".0%")]
        other = bare.get((summary.family, summary.form))
        shown.add_row(summary.family, summary.form, *cells, *(["|", *_effect(other)] if other else []))
    return shown


def write_json(
    path: Path,
    model: str,
    k: int,
    attacks: Sequence[Attack],
    checked: FormatFigures,
    summaries: Sequence[Summary],
    rows: Sequence[AttackResult],
) -> None:
    """Write all figures and rows, and every attack with its text.

    Raises:
        ConfigError: the file cannot be written.
    """
    figures = {
        "model": model,
        "k": k,
        "attacks": [{"id": a.id, "family": a.family, "kind": a.kind, **asdict(a.injection)} for a in attacks],
        "format": {
            "prompts": checked.prompts,
            "tokenizers": checked.tokenizers,
            "votes": checked.quoting.votes,
            "changed": [asdict(change) for change in (*checked.changed, *checked.quoting.forged)],
            "lost": checked.quoting.lost,
        },
        "families": [asdict(summary) for summary in summaries],
        "rows": [{**asdict(row), "inflation": row.inflation} for row in rows],
    }
    with replacing(path, "--output") as draft:
        draft.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _effect(summary: Summary) -> list[str]:
    interval = "" if summary.low is None else f" [{summary.low:+.2f}, {summary.high:+.2f}]"
    return [
        _number(summary.inflation, "+.2f") + interval,
        _number(summary.big_steps, ".0%"),
        f"{_number(summary.beat_good, '.0%')} ({_number(summary.beat_good_clean, '.0%')})",
    ]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
