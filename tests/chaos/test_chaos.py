"""The short version of `make chaos`: one of each kind of fault, on a real Ray cluster with fake engines."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from unittest.mock import patch

import pytest

pytest.importorskip("ray")
pytest.importorskip("openrlhf")
pytest.importorskip("trl")

from phases import short_phases
from questions import draw_question
from stage import fake_config, staged
from tally import complaints, total

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

SEED = 5


def test_no_reward_is_lost_and_none_is_wrong(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    with patch.dict(os.environ), staged(fake_config, tmp_path) as stage:  # the function hook is told by the environment
        tallies = asyncio.run(stage.play(short_phases(76), lambda number: draw_question(rng, number), 25.0, rng))
    summed = total("all", tallies)
    assert not list(complaints(tallies))
    assert summed.asked == 304
    assert summed.answered + summed.by_policy == summed.asked
    assert summed.by_policy <= 0.05 * summed.asked
