"""The run of `grm-plugin eval --import`, which fills a vote store with recorded judgements."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from grm_plugin.batch.vote_store import FILE_NAME, VoteStore
from grm_plugin.evals.recorded.reading import RecordedStore
from grm_plugin.evals.vote_runs import say


def store_recorded(recorded: RecordedStore, folder: Path) -> set[str]:
    """Write recorded judgements into the store in `folder`, and say on stderr what it has; those there stay.

    Returns:
        The ids of the items.

    Raises:
        ConfigError: the store is in use, cannot be written, or holds other votes.
    """
    console = Console(stderr=True)
    with VoteStore(folder, recorded.manifest) as store:
        store.require_same_items(record.item for record in recorded.records)
        for record in recorded.records:
            if record.id not in store.done:
                store.add(record)
    for remark in recorded.loaded.remarks:
        say(console, remark)
    votes = [vote for record in recorded.records for vote in record.votes]
    lost = sum(vote.scores is None for vote in votes)
    kind = recorded.manifest.judge
    say(
        console,
        f"{folder / FILE_NAME}: {len(votes):,} votes of a {kind} judge, {recorded.manifest.model}, on "
        f"{len(recorded.records):,} items; {lost:,} of them lost",
    )
    return {record.id for record in recorded.records}
