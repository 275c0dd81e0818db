"""The runs of `grm-plugin eval` that fill a vote store: collecting votes, and rating votes that are stored already."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from grm_plugin.batch.items import Item
from grm_plugin.batch.local_engines import running_engines
from grm_plugin.batch.resumable_run import Ending, Run
from grm_plugin.batch.vote_store import FILE_NAME, RECORDED, ItemVotes, Manifest, VoteStore, read_store
from grm_plugin.config import Config, FakeConfig
from grm_plugin.engines.fingerprint import fingerprint, model_name, require_same
from grm_plugin.errors import ConfigError
from grm_plugin.evals.benchmarks.suites import LoadedItems
from grm_plugin.evals.critique_rating import rate_votes
from grm_plugin.evals.vote_collector import VoteCollector
from grm_plugin.evals.vote_meter import VoteMeter
from grm_plugin.judging import lists, sampling
from grm_plugin.judging.lists import ListJudge


def collect(
    config: Config,
    loaded: LoadedItems,
    suite: str,
    folder: Path,
    name: str | None,
    concurrency: int,
    keep_going: bool = False,
) -> tuple[int, set[str]]:
    """Collect the votes that the store in `folder` lacks, and say on stderr how far it got.

    Items that have votes of a run with a smaller k get the missing ones; those with more stay as they are.

    Args:
        config: made by `sampled_config`.
        loaded: the items of the benchmark.
        suite: the benchmark's name.
        folder: the folder of the store.
        name: what reports call the GRM; None takes its id or the name of its folder.
        concurrency: items judged at once.
        keep_going: judge all items, even if no vote can be read.

    Returns:
        The exit status of the command, and the ids of the items.

    Raises:
        ConfigError: the store is in use or cannot be written, or holds the votes of another run or on other items that
            have these ids; or the GRM cannot read so many responses together.
    """
    check_sizes(config, loaded.items)
    manifest = Manifest(
        suite,
        name or model_name(config.engine),
        config.sampling.k,
        model_name(config.meta_rm) if config.meta_rm else None,
        fingerprint(config),
    )
    return run_into_store(manifest, folder, loaded, concurrency, partial(_collect_all, config, keep_going))


def run_into_store(
    manifest: Manifest,
    folder: Path,
    loaded: LoadedItems,
    concurrency: int,
    work: Callable[[Run[Item, ItemVotes], Sequence[Item], VoteStore], Coroutine[Any, Any, None]],
) -> tuple[int, set[str]]:
    """Do `work` on the items that the store in `folder` lacks, and say on stderr how far it got.

    Args:
        manifest: of the store.
        folder, loaded, concurrency: as in `collect`.
        work: starts the engines and has the run process the items; it may ask the store for what there is.

    Returns:
        The exit status of the command, and the ids of the items.

    Raises:
        ConfigError: what `collect` raises about `folder`.
    """
    console = Console(stderr=True)
    for remark in loaded.remarks:
        say(console, remark)
    with VoteStore(folder, manifest) as store:
        meter, ids = _start(loaded.items, store, console)
        if few := sum(0 < store.drawn(name) < manifest.k for name in ids):
            say(console, f"{few:,} items have fewer than {manifest.k} votes from before: they get the others")
        run: Run[Item, ItemVotes] = Run(store, meter, concurrency)
        ended = run.carry_out(partial(work, run, loaded.items, store))
        return _finish(ended, meter, store, console, ids), ids


def check_sizes(config: Config, items: Sequence[Item]) -> None:
    """Raises `ConfigError` for an item that the GRM cannot read: a vote compares all responses of an item."""
    for item in items:
        if not config.judge.reads(len(item.responses)):
            reads = "pairs of responses" if config.judge.pairs else "fewer at once"
            raise ConfigError(
                f"item {item.id!r} has {len(item.responses)} response(s), but the GRM reads {reads} (judge.preset, "
                "judge.answer): take a benchmark whose items it can read"
            )


def rate(config: Config, stored: Path, folder: Path, concurrency: int) -> tuple[int, set[str]]:
    """Rate the critiques in the store `stored` with the configuration's meta RM, into a store in `folder`.

    Votes that were added to `stored` since an earlier rating are rated too.

    Returns:
        The exit status of the command, and the ids of the items.

    Raises:
        ConfigError: the configuration has no meta RM, or its prompts or its `judge` section are not those with which
            the votes were sampled; `stored` holds logits or recorded judgements; or what `collect` raises about
            `folder`.
    """
    if config.meta_rm is None:
        raise ConfigError("rating needs a meta RM: the configuration has no meta_rm section (or --no-meta was given)")
    found, records = read_store(stored)
    if found.judge == "scalar":
        raise ConfigError(
            f"{stored} holds the logits of a scalar reward model: there is no critique for a meta RM to rate"
        )
    if RECORDED in found.fingerprint:
        raise ConfigError(
            f"{stored} holds judgements that were recorded elsewhere: with which prompts is not known, and a meta RM "
            "reads the prompt of a critique, too"
        )
    now = fingerprint(config)
    require_same(found.fingerprint, now, ("judge", "prompt"), stored)
    parts = {**found.fingerprint, "meta_rm": now["meta_rm"], "template": now["template"]}
    console = Console(stderr=True)
    with VoteStore(folder, replace(found, meta_rm=model_name(config.meta_rm), fingerprint=parts)) as store:
        store.want({record.id: len(record.votes) for record in records})
        meter, ids = _start([record.item for record in records], store, console)
        run: Run[ItemVotes, ItemVotes] = Run(store, meter, concurrency)
        without_grm = config.model_copy(update={"engine": FakeConfig()})
        unrated = [replace(record, votes=record.votes[store.drawn(record.id) :]) for record in records]
        ended = run.carry_out(partial(_rate_all, run, without_grm, unrated))
        return _finish(ended, meter, store, console, ids), ids


def _start(items: Sequence[Item], store: VoteStore, console: Console) -> tuple[VoteMeter, set[str]]:
    """The meter and the ids of the items, after checking that the store's votes are on these very items."""
    store.require_same_items(items)
    ids = {item.id for item in items}
    return VoteMeter(console, len(ids), len(ids & store.done)), ids


async def _collect_all(
    config: Config, keep_going: bool, run: Run[Item, ItemVotes], items: Sequence[Item], store: VoteStore
) -> None:
    with _no_warning_per_vote(), running_engines(config) as (generator, meta_rm):
        collector = VoteCollector(config, generator, meta_rm, keep_going, store.drawn)
        await run.process(items, collector.votes_on, collector.check_readable)


async def _rate_all(run: Run[ItemVotes, ItemVotes], config: Config, records: Sequence[ItemVotes]) -> None:
    with running_engines(config) as (generator, meta_rm):
        await run.process(records, partial(rate_votes, ListJudge(config, generator, meta_rm)))


@contextmanager
def _no_warning_per_vote() -> Iterator[None]:
    """No warning per lost vote or rating: summary and report count them, and it would break the progress bar."""
    loggers = (lists.logger, sampling.logger)
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _finish(ended: Ending, meter: VoteMeter, store: VoteStore, console: Console, ids: set[str]) -> int:
    """Say what the store has and what is missing; the exit status of the command."""
    summary = f"{store.folder / FILE_NAME}: {meter.summary}"
    if ended.missing:
        voted = any(store.drawn(name) for name in ids)
        few = "too few" if any(store.drawn(name) for name in ids - store.done) else "none"
        summary += f"; {ended.missing:,} items have {few}: {ended.reason}. The same command goes on from here"
        if voted:
            summary += f", `grm-plugin eval --from {store.folder}` reports what there is"
    say(console, summary)
    return ended.status


def say(console: Console, text: str) -> None:
    """Print a line of text as it is, without rich's markup and line breaks."""
    console.print(text, soft_wrap=True, markup=False, highlight=False)
