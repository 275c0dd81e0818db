"""Every official figure that is pinned is ours too, to the sixth digit. Pins: tests/support/official_pins.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from grm_plugin.evals.official.rules import RULES
from support.official_pins import Pin, all_pins, figures_of, records_of, require_version

PINS = all_pins()


@pytest.mark.parametrize("pin", PINS, ids=[pin.name for pin in PINS])
def test_the_figures_of_the_official_code_are_ours(pin: Pin, tmp_path: Path) -> None:
    if not pin.at_hand:
        pytest.skip("its published files are not here; set GRM_BENCH_DATA")
    require_version(pin)
    ours = figures_of(*records_of(pin, tmp_path))
    found = {part: ours.get(part) for part in pin.figures}
    assert found == pytest.approx(dict(pin.figures), abs=1e-6)


def test_every_rule_has_a_pin() -> None:
    assert {pin.suite for pin in PINS} == set(RULES)
