"""The run of `grm-plugin eval --scalar`, which fills a vote store with the logits of a scalar reward model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from grm_plugin.batch.items import Item
from grm_plugin.batch.local_engines import running_scalar
from grm_plugin.batch.resumable_run import Run
from grm_plugin.batch.vote_store import ItemVotes, Manifest, VoteStore
from grm_plugin.config import FakeConfig, VLLMConfig
from grm_plugin.engines.fingerprint import model_name, scalar_fingerprint
from grm_plugin.evals.benchmarks.suites import LoadedItems
from grm_plugin.evals.scalar_collector import ScalarCollector
from grm_plugin.evals.vote_runs import run_into_store


def collect_scalar(
    model: VLLMConfig | FakeConfig,
    named: str,
    loaded: LoadedItems,
    suite: str,
    folder: Path,
    name: str | None,
    concurrency: int,
) -> tuple[int, set[str]]:
    """Rate the items that the store in `folder` lacks, and say on stderr how far it got.

    Args:
        model: from `batch.local_engines.scalar_model`.
        named: what the user typed it for, in errors about it.
        loaded, suite, folder, name, concurrency: as in `vote_runs.collect`.

    Returns:
        The exit status of the command, and the ids of the items.

    Raises:
        ConfigError: as `vote_runs.collect`.
    """
    manifest = Manifest(suite, name or model_name(model), 1, None, scalar_fingerprint(model), "scalar")
    return run_into_store(manifest, folder, loaded, concurrency, partial(_rate_all, model, named))


async def _rate_all(
    model: VLLMConfig | FakeConfig, named: str, run: Run[Item, ItemVotes], items: Sequence[Item], _: VoteStore
) -> None:
    with running_scalar(model, named) as scalar:
        await run.process(items, ScalarCollector(scalar).votes_on)
