"""Normalisation: hand-computed values of each method, and what holds for any group."""

from __future__ import annotations

import itertools
import math
import os
from pathlib import Path
from statistics import fmean, pstdev

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grm_plugin.config import NEUTRAL_REWARD, NormalizeConfig
from grm_plugin.errors import ConfigError
from grm_plugin.judging.normalize import Normalizer
from grm_plugin.judging.running_stats import RunningStats

MEAN = st.floats(1, 10)
GROUP = st.lists(st.none() | MEAN, max_size=12)
CLIP = st.none() | st.floats(0.01, 20)
CONFIG = st.one_of(
    st.builds(NormalizeConfig, method=st.sampled_from(sorted(NEUTRAL_REWARD.keys() - {"group", "running"}))),
    st.builds(NormalizeConfig, method=st.just("group"), clip=CLIP),
    st.builds(NormalizeConfig, method=st.just("running"), clip=CLIP),
)


def rewards(method: str, means: list[float | None], **options: float) -> list[float | None]:
    return Normalizer(NormalizeConfig.model_validate({"method": method, **options})).normalize(means)


@pytest.mark.parametrize(
    ("method", "means", "expected"),
    [
        ("none", [1.0, 5.5, None], [1.0, 5.5, None]),
        ("unit", [1.0, 5.5, 10.0, None], [0.0, 0.5, 1.0, None]),
        ("group", [4.0, 8.0], [-1.0, 1.0]),
        ("group", [None, 4.0, None, 8.0], [None, -1.0, None, 1.0]),
        ("group", [2.0, 4.0, 6.0], [-math.sqrt(1.5), 0.0, math.sqrt(1.5)]),
        ("group", [7.0, 7.0, 7.0], [0.0, 0.0, 0.0]),
        ("group", [7.0, None], [0.0, None]),
        ("running", [4.0, 8.0, None], [-1.0, 1.0, None]),
        ("running", [7.0], [0.0]),
        ("rank", [3.0, 9.0, 6.0], [0.0, 1.0, 0.5]),
        ("rank", [5.0, 5.0, 9.0, None], [0.25, 0.25, 1.0, None]),
        ("rank", [5.0, 5.0, 5.0], [0.5, 0.5, 0.5]),
        ("rank", [5.0, None], [0.5, None]),
    ],
)
def test_values(method: str, means: list[float | None], expected: list[float | None]) -> None:
    assert rewards(method, means) == pytest.approx(expected)


@pytest.mark.parametrize("method", sorted(NEUTRAL_REWARD))
def test_nothing_to_normalize(method: str) -> None:
    assert rewards(method, []) == []
    assert rewards(method, [None, None]) == [None, None]


def test_clip() -> None:
    assert rewards("group", [2.0, 4.0, 6.0], clip=0.5) == [-0.5, 0.0, 0.5]
    assert rewards("running", [2.0, 4.0, 6.0], clip=0.5) == [-0.5, 0.0, 0.5]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 0.0, 10.5])
def test_a_mean_that_no_vote_can_give_is_a_bug(bad: float) -> None:
    with pytest.raises(ValueError, match=r"1\.\.10"):
        rewards("unit", [5.0, bad])


def test_rounding_errors_are_no_spread() -> None:
    """Equal means that differ in the last bit must not become rewards of +-1."""
    assert rewards("group", [7.3, math.nextafter(7.3, 8.0), 7.3]) == [0.0, 0.0, 0.0]


def test_running_remembers_the_stream() -> None:
    normalizer = Normalizer(NormalizeConfig(method="running"))
    stream = [[2.0, 3.0], [9.0, None], [5.0, 6.0, 7.0]]
    seen: list[float] = []
    for means in stream:
        seen += [mean for mean in means if mean is not None]
        expected = [None if mean is None else (mean - fmean(seen)) / pstdev(seen) for mean in means]

        assert normalizer.normalize(means) == pytest.approx(expected)
    assert normalizer.stats.count == len(seen)


@pytest.mark.parametrize(
    ("learnt", "expected"), [([], [0.0, 0.0]), ([[5.0]], [0.0, 0.0]), ([[4.0], [6.0]], [4.0, -1.0])]
)
def test_evaluation_is_held_against_what_was_learnt_and_moves_nothing(
    learnt: list[list[float | None]], expected: list[float]
) -> None:
    normalizer = Normalizer(NormalizeConfig(method="running"))
    for means in learnt:
        normalizer.normalize(means)
    before = normalizer.stats
    assert normalizer.normalize([9.0, None, 4.0], learn=False) == [expected[0], None, expected[1]]
    assert normalizer.stats is before


def test_evaluation_between_two_steps_changes_no_training_reward() -> None:
    """Twenty training groups of 4 and 6, sixty evaluation groups of 9, then a training response of 6."""
    last: list[list[float | None]] = []
    for evaluated in (0, 60):
        normalizer = Normalizer(NormalizeConfig(method="running"))
        for _ in range(20):
            normalizer.normalize([4.0, 6.0])
        for _ in range(evaluated):
            normalizer.normalize([9.0], learn=False)
        last.append(normalizer.normalize([6.0]))
    assert last[0] == last[1] == [pytest.approx(0.98, abs=0.01)]


@given(CONFIG, st.lists(GROUP, max_size=6))
def test_always_finite_clipped_and_aligned(config: NormalizeConfig, stream: list[list[float | None]]) -> None:
    normalizer = Normalizer(config)
    for means in stream:
        normalized = normalizer.normalize(means)

        assert [value is None for value in normalized] == [mean is None for mean in means]
        present = [value for value in normalized if value is not None]
        assert all(map(math.isfinite, present))
        assert all(abs(value) <= (config.clip or math.inf) for value in present)


@given(CONFIG, GROUP, GROUP, st.randoms(use_true_random=False))
def test_permuting_a_group_permutes_its_rewards(
    config: NormalizeConfig, past: list[float | None], means: list[float | None], random: object
) -> None:
    order = list(range(len(means)))
    random.shuffle(order)  # type: ignore[attr-defined]
    straight, shuffled = Normalizer(config), Normalizer(config)
    straight.normalize(past)
    shuffled.normalize(past)

    expected = straight.normalize(means)

    assert shuffled.normalize([means[index] for index in order]) == [expected[index] for index in order]
    assert shuffled.stats == straight.stats


@given(CONFIG, st.lists(MEAN, max_size=8), st.integers(1, 4))
def test_missing_means_shift_nothing(config: NormalizeConfig, means: list[float], missing: int) -> None:
    alone = Normalizer(config).normalize(means)

    assert Normalizer(config).normalize([None] * missing + means) == [None] * missing + alone


@given(CONFIG, st.lists(MEAN, min_size=2, max_size=8))
def test_a_higher_mean_never_gets_a_lower_reward(config: NormalizeConfig, means: list[float]) -> None:
    ranked = Normalizer(config).normalize(sorted(means))

    assert all(lower <= higher for lower, higher in itertools.pairwise(value for value in ranked if value is not None))


@given(st.lists(st.lists(MEAN, max_size=20), max_size=8))
def test_merging_batches_is_one_batch(batches: list[list[float]]) -> None:
    merged = RunningStats()
    for batch in batches:
        merged = merged.merge(RunningStats.of(batch))
    values = list(itertools.chain.from_iterable(batches))

    assert merged.count == len(values)
    if values:
        assert merged.mean == pytest.approx(fmean(values))
        assert merged.std == pytest.approx(pstdev(values), abs=1e-6)


@given(st.lists(MEAN, max_size=20), st.lists(MEAN, max_size=20))
def test_merging_is_symmetric(left: list[float], right: list[float]) -> None:
    one, other = RunningStats.of(left), RunningStats.of(right)
    there, back = one.merge(other), other.merge(one)

    assert there.count == back.count
    assert there.mean == pytest.approx(back.mean)
    assert there.m2 == pytest.approx(back.m2)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(MEAN, max_size=20))
def test_save_and_load(tmp_path: Path, values: list[float]) -> None:
    stats = RunningStats.of(values)

    stats.save(tmp_path / "stats.json")

    assert RunningStats.load(tmp_path / "stats.json") == stats


def test_a_state_of_0_1_0_is_read_unless_it_was_written_with_momentum(tmp_path: Path) -> None:
    path = tmp_path / "stats.json"
    path.write_text('{"count": 2, "weight": 2.0, "mean": 5.0, "m2": 18.0}')
    assert RunningStats.load(path) == RunningStats.of([2.0, 8.0])

    path.write_text('{"count": 2, "weight": 1.5, "mean": 6.0, "m2": 12.0}')
    with pytest.raises(
        ConfigError, match=r"normalize\.state_path: .*stats\.json was written with .*momentum.*delete it"
    ):
        RunningStats.load(path)


def test_state_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "not" / "there" / "yet.json"
    config = NormalizeConfig(method="running", state_path=str(path))
    first = Normalizer(config)
    first.normalize([2.0, 8.0])
    first.save()

    second = Normalizer(config)

    assert second.stats == first.stats
    assert second.normalize([5.0, 9.0]) == first.normalize([5.0, 9.0])
    assert [entry.name for entry in path.parent.iterdir()] == ["yet.json"]


def test_a_save_that_fails_keeps_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "stats.json"
    RunningStats.of([2.0, 8.0]).save(path)

    def disk_full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(ConfigError, match=r"stats\.json cannot be written"):
        RunningStats.of([5.0]).save(path)

    assert RunningStats.load(path) == RunningStats.of([2.0, 8.0])
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"{}", b"null", b"\xff\xfe", b'{"count": 2, "mean": 5}'),
        b'{"count": 2, "weight": "2", "mean": 5, "m2": 1}',
        b'{"count": 2, "mean": NaN, "m2": 1}',
        b'{"count": 2, "mean": 5, "m2": -1}',
        b'{"count": 2.5, "mean": 5, "m2": 1}',
        b'{"count": "2", "mean": 5, "m2": 1}',
        b'{"count": 2, "mean": 1e308, "m2": 1}',
        b'{"count": 2, "mean": 5, "m2": 1, "more": 1}',
    ],
)
def test_a_corrupt_state_names_its_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "stats.json"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"normalize\.state_path: .*stats\.json .*delete it"):
        Normalizer(NormalizeConfig(method="running", state_path=str(path)))


def test_a_state_that_is_a_folder_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"normalize\.state_path"):
        RunningStats.load(tmp_path)
