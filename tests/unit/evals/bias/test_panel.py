"""The whole panel: what is in it for which judge, as JSON, in lines, and as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from grm_plugin.batch.vote_store import ItemVotes
from grm_plugin.evals.analysis import analyse
from grm_plugin.evals.bias.lines import bias_lines
from grm_plugin.evals.bias.panel import BiasPanel, bias_panel
from grm_plugin.evals.bias.picture import draw_bias
from support.vote_factories import make_record, manifest, vote

SCALAR = replace(manifest(k=1), judge="scalar")


def records(count: int = 40) -> list[ItemVotes]:
    """A judge that goes by the place in half of its votes, and by length in none."""
    found = []
    for number in range(count):
        votes = [
            vote(9, 1, order=(0, 1), tokens=50),
            vote(8, 2, order=(0, 1), tokens=60 + number),
            vote(9, 2, order=(1, 0), tokens=55),
            vote(1, 9, order=(1, 0), tokens=70),
        ]
        made = make_record(votes, name=f"item {number}")
        texts = ("- long entry", "short") if number % 2 else ("short", "- long entry")
        found.append(replace(made, item=replace(made.item, responses=texts)))
    return found


def panel(given: Sequence[ItemVotes]) -> BiasPanel:
    return bias_panel(manifest(), given, analyse(manifest(), given).overall())


def singles() -> list[ItemVotes]:
    return [
        make_record([vote(5 + number % 5), vote(4)], name=f"item {number}", label=number % 2) for number in range(40)
    ]


def scalars() -> list[ItemVotes]:
    return [replace(record, votes=(vote(2.5, -1.25, order=(0, 1)),)) for record in records()]


def test_a_panel_is_plain_json() -> None:
    row = json.loads(json.dumps(panel(records()).to_json(), allow_nan=False))
    assert row["items"] == 40
    assert row["position"]["first"]["value"] == 0.75
    assert row["position"]["flips"]["different"]["value"] == row["position"]["flips"]["same"]["value"] == 0.5
    assert row["scale"]["histogram"] == {"1": 80, "2": 80, "8": 40, "9": 120}
    assert [cost["method"] for cost in row["costs"]] == ["@1", "@2", "@4"]
    assert row["traits"][0]["right_has_more"]["value"] == 1.0


def test_a_panel_does_not_depend_on_the_order_of_the_records() -> None:
    assert panel(records()) == panel(records()[::-1])


def test_items_whose_label_is_noise_are_left_out() -> None:
    noise = make_record([vote(1, 9)], name="noise")
    noise = replace(noise, item=replace(noise.item, meta={"noise": "contradictory"}))
    assert bias_panel(manifest(), [*records(), noise]) == bias_panel(manifest(), records())


def test_a_scalar_model_has_no_position_and_no_histogram() -> None:
    found = bias_panel(SCALAR, scalars())
    assert (found.position, found.critiques) == (None, None)
    assert found.scale is not None
    assert found.scale.histogram is None
    assert found.calibration is not None
    assert found.calibration.of == "logits"


def test_the_lines_say_what_was_found() -> None:
    lines = bias_lines(panel(records()))
    assert [line.partition(":")[0] for line in lines[1:]] == [
        "length",
        "Markdown",
        "position",
        "order",
        "scale",
        "calibration",
        "critiques",
    ]
    assert "over 40 items" in lines[0]
    assert "wins 75.0% [" in lines[3]
    assert lines[3].endswith(": favours the first")
    assert "adds +0.0 points [" in lines[4]
    assert lines[4].endswith(": no bias shows")
    assert lines[6].endswith("Brier score 0.062: too unsure")  # agreement 3/4, always right


def test_below_30_items_nothing_is_concluded() -> None:
    verdicts = [line.rpartition(": ")[2] for line in bias_lines(panel(records(29)))[1:]]
    assert sum("too few items (" in verdict for verdict in verdicts) == 6
    assert not [verdict for verdict in verdicts if "favours" in verdict or "no bias" in verdict]


def test_one_vote_per_order_says_that_noise_is_not_known() -> None:
    given = [replace(record, votes=(record.votes[0], record.votes[3])) for record in records()]
    assert any("how much of it is noise is not known" in line for line in bias_lines(bias_panel(manifest(), given)))


@pytest.mark.parametrize(
    ("given", "starts"),
    [
        (bias_panel(manifest(), singles()), ["bias", "scale", "calibration"]),
        (bias_panel(SCALAR, scalars()), ["bias", "length", "Markdown", "scale", "calibration"]),
        (bias_panel(manifest(), [make_record([vote(), vote()])]), []),
        (bias_panel(manifest(), []), []),
    ],
    ids=["singles", "scalar", "no vote", "no item"],
)
def test_what_cannot_be_measured_has_neither_line_nor_picture(
    tmp_path: Path, given: BiasPanel, starts: list[str]
) -> None:
    assert [line.replace(",", ":").partition(":")[0] for line in bias_lines(given)] == starts
    json.dumps(given.to_json(), allow_nan=False)
    draw_bias(given, tmp_path / "bias.png")
    assert (tmp_path / "bias.png").read_bytes().startswith(b"\x89PNG")


def test_a_name_with_dollar_signs_is_no_formula(tmp_path: Path) -> None:
    draw_bias(replace(panel(records()), model=r"a$\frac$b"), tmp_path / "bias.png")
    assert (tmp_path / "bias.png").stat().st_size > 30_000
