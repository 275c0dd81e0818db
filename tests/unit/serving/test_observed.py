"""What traces tell of a GRM: lengths, load and speed, and whose they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grm_plugin.config import FailureConfig, TraceConfig
from grm_plugin.errors import StoreError
from grm_plugin.serving.capacity import fit_speed
from grm_plugin.serving.observed import Observed, observed
from grm_plugin.trace.store_reader import StoreReader
from grm_plugin.trace.store_writer import StoreWriter
from grm_plugin.trace.stored_trace import Entry
from support.factories import make_config
from support.trace_factories import START, judged, writing

GRM = make_config(engine__type="vllm", engine__model="a/judge")


def store(path: Path, spans: list[tuple[float, float]], model: str = "a/judge", **config: Any) -> StoreReader:
    """Groups of two responses and two critiques of 7 tokens, judged between these seconds."""
    writer = StoreWriter(path, TraceConfig(path=str(path)), FailureConfig())
    if model:
        writer.name_model("grm", model)
    judgement = judged("3 " + "word " * 40, "4", generator=writing("as seen."), **config)
    entries = [Entry(START + end, "grm", replace(judgement, latency_s=end - start)) for start, end in spans]
    writer.write(entries)
    writer.close()
    return StoreReader(path)


def test_littles_law_holds_for_what_was_seen(tmp_path: Path) -> None:
    """Groups under way on average are their rate times their time, in any pattern of arrivals."""
    spans = [(0.0, 4.0), (1.0, 2.0), (1.5, 9.0), (3.0, 3.5), (20.0, 21.0), (20.2, 26.0), (20.2, 22.0)]
    seen = observed(store(tmp_path / "a.db", spans), GRM)
    assert seen.groups == 7
    assert seen.in_flight == pytest.approx(seen.groups_per_s * seen.latency_s)
    assert seen.in_flight == pytest.approx(sum(end - start for start, end in spans) / (9.0 + 6.0))


def test_lengths_are_those_of_the_critiques_and_prompts(tmp_path: Path) -> None:
    seen = observed(store(tmp_path / "a.db", [(0.0, 1.0)]), GRM)
    assert (seen.tokens.critique, seen.tokens.longest) == (7.0, 7.0)
    assert seen.tokens.prompt > 30  # the template alone is longer


def test_the_speed_of_a_pool_shows_at_each_load(tmp_path: Path) -> None:
    """Ten groups at a time take 2 s each, one alone 1 s: more at once is slower for each, and faster for all."""
    alone = [(float(second), second + 1.0) for second in range(20)]
    together = [(100.0 + 2 * wave, 102.0 + 2 * wave) for wave in range(10) for _ in range(10)]
    seen = observed(store(tmp_path / "a.db", alone + together), GRM)
    lowest, highest = seen.pool[0], seen.pool[-1]
    assert (lowest.running, lowest.tokens_per_s) == pytest.approx((2, 14))
    assert (highest.running, highest.tokens_per_s) == pytest.approx((20, 70))
    speed = fit_speed(seen.pool, 64)
    assert speed.tokens_per_s(20) == pytest.approx(70, rel=0.02)
    assert speed.tokens_per_s(2) == pytest.approx(14, rel=0.02)


def test_traces_of_another_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"has the traces of b/other, and engine\.model is a/judge"):
        observed(store(tmp_path / "a.db", [(0.0, 1.0)], model="b/other"), GRM)


def test_only_the_groups_of_the_model_count(tmp_path: Path) -> None:
    store(tmp_path / "a.db", [(0.0, 1.0)] * 3, model="b/other").close()
    seen: Observed = observed(store(tmp_path / "a.db", [(5.0, 6.0)] * 2), GRM)
    assert seen.groups == 2


def test_a_store_that_names_no_model_is_taken_as_it_is_and_told(tmp_path: Path) -> None:
    seen = observed(store(tmp_path / "a.db", [(0.0, 1.0)], model=""), GRM)
    assert (seen.groups, seen.named) == (1, False)


def test_groups_from_before_their_service_was_noted_do_not_count(tmp_path: Path) -> None:
    store(tmp_path / "a.db", [(0.0, 1.0)] * 3, model="").close()
    assert observed(store(tmp_path / "a.db", [(5.0, 6.0)] * 2), GRM).groups == 2


def test_a_store_without_groups_or_tokens_tells_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no groups that a/judge has judged"):
        observed(store(tmp_path / "a.db", []), GRM)
    path = tmp_path / "b.db"
    writer = StoreWriter(path, TraceConfig(path=str(path)), FailureConfig())
    writer.write([Entry(START, "grm", replace(judged("3", "4"), latency_s=1.0))])
    writer.close()
    with pytest.raises(StoreError, match="tells no speed"):
        observed(StoreReader(path), GRM)
