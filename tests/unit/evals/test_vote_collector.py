"""Collecting votes and rating them, with engines that do what a test tells them."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from grm_plugin.batch.engine_failures import FAILURES_IN_A_ROW
from grm_plugin.batch.items import Item
from grm_plugin.batch.resumable_run import Run
from grm_plugin.batch.vote_store import ItemVotes, Manifest, VoteStore, read_store
from grm_plugin.config import Config
from grm_plugin.engines.fake import FakeEngine, FakeMetaRM
from grm_plugin.errors import ConfigError, EngineError, PromptTooLong
from grm_plugin.evals.analysis import analyse
from grm_plugin.evals.critique_rating import rate_votes
from grm_plugin.evals.diagnostics import diagnose
from grm_plugin.evals.vote_collector import UNREADABLE_ITEMS, VoteCollector, sampled_config
from grm_plugin.evals.vote_meter import VoteMeter
from grm_plugin.evals.vote_runs import check_sizes
from grm_plugin.judging.lists import ListJudge
from grm_plugin.judging.seams import Generator, MetaRM
from grm_plugin.types import Completion, Conversation, Message, Prompt, Sampling
from support.factories import completions, critique_text, make_config, responses_shown

MANIFEST = Manifest("jsonl", "a model", 8, None, {"engine": "e", "prompt": "p"})


def known(p: float) -> FakeEngine:
    """A GRM of known accuracy: each vote prefers the response `good ...` with probability p, by 4 points."""

    def script(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        rng = random.Random(f"{sampling.seed} {sampling.temperature}")
        good = [response.startswith("good") for response in responses_shown(prompt)]
        right = [rng.random() < p for _ in range(sampling.n)]
        return completions(*([7 if best is sees else 3 for best in good] for sees in right), tokens=20)

    return FakeEngine(script)


def pairs(count: int) -> list[Item]:
    return [
        Item(f"item {number}", (Message("user", f"Question {number}?"),), (f"bad {number}", f"good {number}"), (1,))
        for number in range(count)
    ]


def meter(items: int) -> VoteMeter:
    return VoteMeter(Console(quiet=True), items, 0)


async def collect(
    folder: Path,
    items: list[Item],
    generator: Generator,
    meta_rm: MetaRM | None = None,
    config: Config | None = None,
    k: int = 8,
) -> Run[Item, ItemVotes]:
    with VoteStore(folder, replace(MANIFEST, k=k)) as store:
        sampled = sampled_config(config or make_config(), k, seed=0)
        collector = VoteCollector(sampled, generator, meta_rm, drawn=store.drawn)
        run: Run[Item, ItemVotes] = Run(store, meter(len(items)), 16)
        await run.process(items, collector.votes_on, collector.check_readable)
    return run


async def rate(folder: Path, records: list[ItemVotes], config: Config, meta_rm: MetaRM, k: int = 8) -> None:
    lists = ListJudge(config, FakeEngine(()), meta_rm)
    with VoteStore(folder, replace(MANIFEST, k=k)) as store:
        run: Run[ItemVotes, ItemVotes] = Run(store, meter(1), 4)
        await run.process(records, partial(rate_votes, lists))


@pytest.mark.parametrize("p", [0.55, 0.75])
async def test_the_curve_of_a_grm_of_known_accuracy_is_the_binomial_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], p: float
) -> None:
    """@k is right when more than k/2 of k votes are. The intervals of all k together hold it for these seeds."""
    await collect(tmp_path, pairs(400), known(p))
    report = analyse(*read_store(tmp_path))
    with capsys.disabled():
        figures = (f"{row.method} {row.mean:.3f} (binomial {binomial(p, max(1, row.k)):.3f})" for row in report.rows)
        print(f"\np = {p}: {', '.join(figures)}")
    for row in report.rows:
        assert row.ci95[0] <= binomial(p, max(1, row.k)) <= row.ci95[1], row
    assert report.diagnostics.first == pytest.approx(0.5, abs=0.03)


def binomial(p: float, k: int) -> float:
    """Probability of more than k/2 right votes."""
    return sum(math.comb(k, right) * p**right * (1 - p) ** (k - right) for right in range(k // 2 + 1, k + 1))


async def test_a_record_holds_every_vote_in_the_requests_order(tmp_path: Path) -> None:
    await collect(tmp_path, pairs(1), known(1.0))
    _, (record,) = read_store(tmp_path)
    assert [given.scores for given in (*record.greedy, *record.votes)] == [(3.0, 7.0)] * 9
    assert sorted(given.order for given in record.votes) == [(0, 1)] * 4 + [(1, 0)] * 4
    assert record.votes[0].text == critique_text([3, 7] if record.votes[0].order == (0, 1) else [7, 3])
    assert record.item == pairs(1)[0]


async def test_lost_votes_keep_their_reason_and_the_order_they_were_shown_in(tmp_path: Path) -> None:
    def script(prompt: Prompt, sampling: Sampling) -> list[Completion | str]:
        return [*completions([9, 1])[: sampling.n], *["I like both."] * (sampling.n - 1)]

    await collect(tmp_path, pairs(1), FakeEngine(script))
    _, (record,) = read_store(tmp_path)
    lost = [given for given in record.votes if given.scores is None]
    assert [given.reason for given in lost] == ["no_scores"] * 6
    assert sorted(given.order for given in lost) == [(0, 1)] * 3 + [(1, 0)] * 3


async def test_orders_of_which_every_vote_is_lost_are_told_apart(tmp_path: Path) -> None:
    """Two of four orders are lost: @1 has no vote in half of all choices, @8 always has."""

    def script(prompt: Prompt, sampling: Sampling) -> list[Completion | str]:
        shown = responses_shown(prompt)
        if shown[0] in ("a", "b"):
            return ["I like all."] * sampling.n
        return [*completions(*[[7 if text == "a" else 3 for text in shown]] * sampling.n)]

    items = [Item(str(number), (Message("user", "Which?"),), tuple("abcd"), (0,)) for number in range(100)]
    await collect(tmp_path, items, FakeEngine(script))
    found, records = read_store(tmp_path)
    for record in records:
        assert all(given.order for given in record.votes)
        assert set(Counter(given.order for given in record.votes).values()) == {2}
        assert {given.order[0] for given in record.votes if given.scores is None} == {0, 1}
    lost = {row.method: row.lost for row in analyse(found, records).rows}
    assert (lost["@1"], lost["@8"]) == (pytest.approx(0.5, abs=0.03), 0.0)


async def test_a_run_goes_on_where_it_stopped_and_samples_the_same_votes(tmp_path: Path) -> None:
    await collect(tmp_path / "whole", pairs(6), known(0.6))
    await collect(tmp_path / "parts", pairs(3), known(0.6))
    path = tmp_path / "parts" / "votes.jsonl"
    path.write_bytes(path.read_bytes()[:-40])  # killed while it wrote the third
    assert len(read_store(tmp_path / "parts")[1]) == 2
    await collect(tmp_path / "parts", pairs(6), known(0.6))
    by_id = [sorted(read_store(tmp_path / name)[1], key=lambda r: r.item.id) for name in ("whole", "parts")]
    assert by_id[0] == by_id[1]


@pytest.mark.parametrize("n", [2, 3])
async def test_k_grows_with_new_votes_over_balanced_orders(tmp_path: Path, n: int) -> None:
    """Each completion is told apart by the seed of its request and its place in it, as an engine would sample it."""

    def script(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        texts = (f"{sampling.seed} {place}" for place in range(sampling.n))
        return [Completion(f"{text}\n{critique_text([7] + [3] * (n - 1))}", tokens=1) for text in texts]

    items = [Item(str(number), (Message("user", "Which?"),), tuple("abc"[:n]), (0,)) for number in range(3)]
    await collect(tmp_path, items[:2], FakeEngine(script), k=1)
    await collect(tmp_path, items, FakeEngine(script), k=4)
    asked = 0

    def counted(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        nonlocal asked
        asked += sampling.n
        return script(prompt, sampling)

    await collect(tmp_path, items, FakeEngine(counted), k=6)
    assert asked == 3 * 2
    await collect(tmp_path, items, FakeEngine(counted), k=3)
    assert asked == 3 * 2
    _, records = read_store(tmp_path)
    assert [record.id for record in records] == ["0", "1", "2"]
    for record in records:
        assert len(record.greedy) == 1
        assert len({given.text for given in record.votes}) == 6
        assert sorted(Counter(given.order for given in record.votes).values()) == [6 // n] * n


async def test_items_that_the_engine_fails_for_are_left_to_the_next_run(tmp_path: Path) -> None:
    def script(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        if "Question 1?" in prompt.messages[0].content:
            raise EngineError("gone")
        return completions(*[[5, 4]] * sampling.n)

    run = await collect(tmp_path, pairs(3), FakeEngine(script))
    assert run.last_failure == "engine: EngineError: gone"
    assert {record.item.id for record in read_store(tmp_path)[1]} == {"item 0", "item 2"}


async def test_items_that_the_meta_rm_fails_for_are_left_to_the_next_run(tmp_path: Path) -> None:
    class Failing(FakeMetaRM):
        async def rate(self, conversations: Sequence[Conversation]) -> list[float]:
            shown = conversations[0][0].content
            if "Question 1?" in shown:
                raise EngineError("out of memory")
            if "Question 2?" in shown:
                raise PromptTooLong("2000 tokens")  # an answer: it would be the same in the next run
            return await super().rate(conversations)

    run = await collect(tmp_path, pairs(3), known(1.0), Failing(lambda _: 1.0))
    assert run.last_failure == "the meta RM failed: EngineError: out of memory"
    assert _ratings(tmp_path) == {"item 0": {1.0}, "item 2": {None}}
    await collect(tmp_path, pairs(3), known(1.0), FakeMetaRM(lambda _: 1.0))
    assert _ratings(tmp_path) == {"item 0": {1.0}, "item 1": {1.0}, "item 2": {None}}


def _ratings(folder: Path) -> dict[str, set[float | None]]:
    return {record.item.id: {given.meta for given in record.votes} for record in read_store(folder)[1]}


async def test_an_engine_that_only_fails_ends_the_run(tmp_path: Path) -> None:
    calls = 0

    def script(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        nonlocal calls
        calls += 1
        raise EngineError("gone")

    with pytest.raises(
        EngineError, match=f"{FAILURES_IN_A_ROW} items in a row without an answer: engine: EngineError: gone"
    ):
        await collect(tmp_path, pairs(500), FakeEngine(script))
    assert calls < 3 * (FAILURES_IN_A_ROW + 16)


async def test_a_grm_that_never_parses_ends_the_run(tmp_path: Path) -> None:
    engine = FakeEngine(lambda prompt, sampling: ["As an AI I like both."] * sampling.n)
    with pytest.raises(
        EngineError, match=r"no vote on 20 items could be read .*no_scores.*is engine.model a GRM.*template"
    ):
        await collect(tmp_path, pairs(500), engine)
    assert UNREADABLE_ITEMS <= len(read_store(tmp_path)[1]) < UNREADABLE_ITEMS + 16


async def test_prompts_that_are_too_long_are_counted_and_do_not_end_the_run(tmp_path: Path) -> None:
    def script(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        raise PromptTooLong("2000 of 1024 tokens")

    await collect(tmp_path, pairs(UNREADABLE_ITEMS + 5), FakeEngine(script))
    report = analyse(*read_store(tmp_path))
    assert report.diagnostics.lost == {"too_long": 8 * report.diagnostics.items}
    assert all((row.mean, row.lost) == (0.0, 1.0) for row in report.rows)


async def test_stored_critiques_are_rated_as_they_would_have_been(tmp_path: Path) -> None:
    """Rating afterwards gives what rating at once gives: the same texts, in the same order of responses."""
    config = make_config(meta_rm={"type": "fake"}, judge__max_response_chars=100)
    meta_rm = FakeMetaRM(lambda conversation: _digest(conversation))
    items = [replace(pairs(1)[0], responses=("bad " + "x\u200b" * 300, "good <|im_end|>"))]
    await collect(tmp_path / "at once", items, known(0.5), meta_rm, config)
    await collect(tmp_path / "before", items, known(0.5), None, config)
    _, records = read_store(tmp_path / "before")
    assert all(given.meta is None for given in records[0].votes)
    await rate(tmp_path / "after", records, config, meta_rm)
    assert read_store(tmp_path / "after")[1] == read_store(tmp_path / "at once")[1]
    for name, rated_by in (("before", None), ("at once", meta_rm)):
        await collect(tmp_path / name, items, known(0.5), rated_by, config, k=12)
    _, ((more),) = read_store(tmp_path / "before")
    await rate(tmp_path / "after", [replace(more, votes=more.votes[8:])], config, meta_rm, k=12)
    assert read_store(tmp_path / "after")[1] == read_store(tmp_path / "at once")[1]


async def test_a_meta_rm_with_a_bug_shows_it(tmp_path: Path) -> None:
    """In a service it costs the filter only; here there is nothing else to do, and a traceback names the line."""

    def broken(_: Conversation) -> float:
        raise KeyError("no such key")

    await collect(tmp_path / "before", pairs(1), known(1.0))
    config = make_config(meta_rm={"type": "fake"})
    with pytest.raises(KeyError, match="no such key"):
        await rate(tmp_path / "after", read_store(tmp_path / "before")[1], config, FakeMetaRM(broken))


async def test_an_item_too_long_for_the_meta_rm_stays_unrated(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def too_long(_: Conversation) -> float:
        raise PromptTooLong("the prompt has 2,000 tokens, the meta RM takes 1,024")

    await collect(tmp_path / "before", pairs(1), known(1.0))
    config = make_config(meta_rm={"type": "fake"})
    await rate(tmp_path / "after", read_store(tmp_path / "before")[1], config, FakeMetaRM(too_long))
    _, records = read_store(tmp_path / "after")
    assert all(vote.meta is None for vote in records[0].votes)
    assert diagnose(records, rated=True).unrated == 1
    assert not caplog.text, "a warning an item would break the progress bar"


async def test_a_meta_rm_that_hangs_ends_the_rating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging(FakeMetaRM):
        async def rate(self, conversations: Sequence[Conversation]) -> list[float]:
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

    monkeypatch.setattr("grm_plugin.evals.critique_rating.ITEM_DEADLINE_S", 0.05)
    await collect(tmp_path / "before", pairs(1), known(1.0))
    records, config = read_store(tmp_path / "before")[1], make_config(meta_rm={"type": "fake"})
    with pytest.raises(EngineError, match=r"the meta RM has not rated an item within 0\.05 s"):
        await asyncio.wait_for(rate(tmp_path / "after", records, config, Hanging(lambda _: 1.0)), 20)


def _digest(conversation: Conversation) -> float:
    """A logit that depends on every character but the random marker."""
    shown = "".join(turn.content for turn in conversation)
    marker = shown.partition("[begin of response 1 ")[2][:6]
    return float(random.Random(shown.replace(marker, "")).random())


@pytest.mark.parametrize(
    ("judge", "n", "words"), [({"preset": "rm_r1"}, 4, "pairs"), ({"preset": "selene"}, 2, "fewer")]
)
def test_items_that_the_grm_cannot_read_are_refused_before_any_vote(judge: dict[str, str], n: int, words: str) -> None:
    item = Item("i", (Message("user", "?"),), tuple("abcd"[:n]), (0,))
    with pytest.raises(ConfigError, match=rf"'i' has {n} response\(s\), but the GRM reads {words}"):
        check_sizes(make_config(judge=judge), [item])
    check_sizes(make_config(), [item])
