"""The runs of `grm-plugin eval`: collecting votes, rating stored ones, reporting."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from grm_plugin._util.files import replacing
from grm_plugin.batch.exit_status import FAILED
from grm_plugin.batch.fingerprint import fingerprint, model_name, require_same
from grm_plugin.batch.items import Item
from grm_plugin.batch.run import Ending, Run, carry_out
from grm_plugin.batch.vote_store import FILE_NAME, ItemVotes, Manifest, VoteStore, read_store
from grm_plugin.config import Config, FakeConfig
from grm_plugin.errors import ConfigError
from grm_plugin.evals.collecting import UNANSWERED, VoteCollector
from grm_plugin.evals.rating import rate_votes
from grm_plugin.evals.suites import Loaded
from grm_plugin.evals.vote_meter import VoteMeter
from grm_plugin.judging import lists, sampling
from grm_plugin.judging.lists import ListJudge

REPORT_NAME, CURVE_NAME = "report.json", "curve.png"


def collect(
    config: Config,
    loaded: Loaded,
    suite: str,
    folder: Path,
    name: str | None,
    concurrency: int,
    keep_going: bool = False,
) -> tuple[int, set[str]]:
    """Collect the votes that the store in `folder` lacks; the exit status of the command, and the ids of the items.

    Args:
        config: of `sampled_config`.
        loaded: the items.
        suite: their name.
        folder: of the store.
        name: what to call the GRM; None takes its folder's name or id.
        concurrency: items judged at once.
        keep_going: judge all items, even if nothing can be read.

    Raises:
        ConfigError: the store is another run's, holds votes on other items of these ids, is in use, or cannot be
            written.
    """
    console = Console(stderr=True)
    for reason, count in loaded.left_out.items():
        console.print(f"left out: {count:,} {reason}", soft_wrap=True, markup=False, highlight=False)
    manifest = Manifest(
        suite,
        name or model_name(config.engine),
        config.sampling.k,
        model_name(config.meta_rm) if config.meta_rm else None,
        fingerprint(config),
    )
    with VoteStore(folder, manifest) as store:
        ids = _ids(loaded.items, store)
        meter = VoteMeter(console, len(ids), len(ids & store.done.keys()))
        work = _collect(config, loaded, store, meter, concurrency, keep_going)
        return _finish(carry_out(work, meter), meter, store), ids


def rate(config: Config, stored: Path, folder: Path, concurrency: int) -> tuple[int, set[str]]:
    """Rate the critiques of the store in `stored` into one in `folder`; the exit status of the command, and the ids.

    Raises:
        ConfigError: the configuration has no meta RM, judges otherwise than the one that drew the votes, or of
            `folder` what `collect` raises.
    """
    if config.meta_rm is None:
        raise ConfigError("rating needs a meta RM: the configuration has no meta_rm section (or --no-meta was given)")
    found, records = read_store(stored)
    now = fingerprint(config)
    require_same(found.fingerprint, now, ("judge", "prompt"), stored)
    parts = {**found.fingerprint, "meta_rm": now["meta_rm"]}
    with VoteStore(folder, replace(found, meta_rm=model_name(config.meta_rm), fingerprint=parts)) as store:
        ids = _ids([record.item for record in records], store)
        meter = VoteMeter(Console(stderr=True), len(ids), len(ids & store.done.keys()))
        rating_only = config.model_copy(update={"engine": FakeConfig()})
        work = _rate(rating_only, records, store, meter, concurrency)
        return _finish(carry_out(work, meter), meter, store), ids


def _ids(items: Sequence[Item], store: VoteStore) -> set[str]:
    """The ids of the items, once it is known that the store's votes are on these very items."""
    store.check(items)
    return {item.id for item in items}


def report(
    folders: Sequence[Path],
    output: Path | None,
    k_metas: Sequence[int],
    seed: int,
    console: Console,
    ids: Collection[str] | None = None,
) -> int:
    """Compute, print and write what the stores say; the exit status of the command.

    Args:
        folders: of the stores; several give their mean too, or their difference if they are of one benchmark.
        output: where to write; None writes beside each store.
        k_metas, seed: of `analyse`.
        console: for the tables.
        ids: of the items to report; None reports all that a store holds.

    Raises:
        ConfigError: a store is missing, empty or damaged, or the report cannot be written.
    """
    from grm_plugin.evals.analysis import analyse
    from grm_plugin.evals.display import show_report

    if output is not None and len(folders) > 1:
        raise ConfigError("--output takes the report of one --from; of several, each is written beside its store")
    reports = []
    for folder in folders:
        manifest, records = read_store(folder, texts=False)
        chosen = records if ids is None else [record for record in records if record.item.id in ids]
        found = analyse(manifest, chosen, k_metas, seed)
        show_report(found, console)
        where = output or (folder if folder.is_dir() else folder.parent)
        _write(where / REPORT_NAME, found.to_json())
        _draw_curve(found, where / CURVE_NAME, console)
        reports.append(found)
    if len(reports) > 1:
        _report_together(reports, console)
    return 0 if all(found.diagnostics.parsed for found in reports) else FAILED


def _report_together(reports: Sequence[Any], console: Console) -> None:
    """The mean over different benchmarks, or the difference of models on one."""
    from grm_plugin.evals.combining import combine, compare
    from grm_plugin.evals.display import show_differences, show_means

    suites = {found.manifest.suite for found in reports}
    if len(suites) == len(reports):
        show_means(combine(reports), console)
    elif len(suites) == 1:
        show_differences("models, paired", compare(reports), console)
    else:
        raise ConfigError("--from names some benchmarks twice: give different ones (their mean), or one (a comparison)")


async def _collect(
    config: Config, loaded: Loaded, store: VoteStore, meter: VoteMeter, concurrency: int, keep_going: bool
) -> str:
    """What the engine failed with last, or an empty string."""
    if meter.before == meter.total:
        return ""
    from grm_plugin.batch.local_engines import engines

    with _without_warnings(), engines(config) as (generator, meta_rm), meter:
        collector = VoteCollector(config, generator, meta_rm, keep_going)
        run: Run[Item, ItemVotes] = Run(store, meter, concurrency, UNANSWERED, collector.check_readable)
        await run.over(loaded.items, collector.votes_on)
    return run.last_failure


@contextmanager
def _without_warnings() -> Iterator[None]:
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


async def _rate(
    config: Config, records: Sequence[ItemVotes], store: VoteStore, meter: VoteMeter, concurrency: int
) -> str:
    if meter.before == meter.total:
        return ""
    from grm_plugin.batch.local_engines import engines

    with engines(config) as (generator, meta_rm), meter:
        lists = ListJudge(config, generator, meta_rm)
        run: Run[ItemVotes, ItemVotes] = Run(store, meter, concurrency, UNANSWERED)
        await run.over(records, partial(rate_votes, lists))
    return ""


def _finish(ended: Ending, meter: VoteMeter, store: VoteStore) -> int:
    """Say what there is; the exit status of the command."""
    summary = f"{store.folder / FILE_NAME}: {meter.summary}"
    if ended.missing:
        summary += f"; {ended.missing:,} items have none: {ended.reason}. The same command goes on from here"
        if store.done:
            summary += f", `grm-plugin eval --from {store.folder}` reports what there is"
    Console(stderr=True).print(summary, soft_wrap=True, markup=False, highlight=False)
    return ended.status


def _write(path: Path, content: Any) -> None:
    with replacing(path) as draft:
        draft.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _draw_curve(found: Any, path: Path, console: Console) -> None:
    from grm_plugin.evals.figure import draw_curve

    try:
        draw_curve(found, path)
    except ConfigError as error:  # the figures are there already: a missing picture must not cost them
        console.print(f"no curve: {error}", soft_wrap=True, markup=False, highlight=False)
    else:
        console.print(f"{path.with_name(REPORT_NAME)}, {path}", soft_wrap=True, markup=False, highlight=False)
