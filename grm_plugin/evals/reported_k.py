"""Up to how many votes a report goes: as many as all of its items have, or fewer where the user wants fewer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from grm_plugin.batch.vote_store import ItemVotes, Manifest
from grm_plugin.errors import ConfigError


def require_k_meta(k_metas: Sequence[int], k: int) -> None:
    """Raises `ConfigError` where votes to keep are not fewer than the K votes: no figure would come of it."""
    if any(k_meta >= k for k_meta in k_metas):
        raise ConfigError(f"--k-meta {max(k_metas)} leaves none of the {k} votes per item out: give fewer than {k}")


def with_reported_k(
    manifest: Manifest, records: Sequence[ItemVotes], k: int | None, folder: Path
) -> tuple[Manifest, str]:
    """The manifest with the K of the report, and what to tell the user about it (mostly nothing).

    An item may have more votes than K. They are all kept: @k is a mean over choices of k of an item's votes, which is
    the less noisy the more votes there are to choose from.

    Args:
        manifest, records: of a store. Without records the manifest is returned as it is.
        k: the K that the user wants; None takes as many votes as all items have.
        folder: of the store, for messages.

    Raises:
        ConfigError: an item has fewer votes than the user wants.
    """
    counts = sorted(len(record.votes) for record in records)
    if not counts:
        return manifest, ""
    fewest, most = counts[0], counts[-1]
    if k is not None and k > fewest:
        raise ConfigError(
            f"--k {k} is more than the {fewest} votes that an item of {folder} has: leave --k out, or give --config or "
            "--model, --suite, --data and this folder as --output, to sample those that are missing"
        )
    reported = k or fewest
    note = ""
    if most > reported:
        have = f"{most}" if fewest == most else f"{fewest} to {most}"
        note = f"{folder}: reported up to @{reported}; the items have {have} votes each, among which @k chooses"
    return replace(manifest, k=reported), note
