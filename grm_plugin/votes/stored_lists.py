"""Lists with all their votes, from a store of `grm-plugin eval` or from the traces of a service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from grm_plugin.batch.vote_store import FILE_NAME, read_store
from grm_plugin.errors import ConfigError
from grm_plugin.trace.store_reader import StoreReader
from grm_plugin.types import Stopped

FEWEST = 8
"""Fewer votes leave nothing to compare with."""

MOST_GROUPS = 5_000
"""Of a trace store the newest ones are read."""

SQLITE = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True)
class Vote:
    """One critique: the score of each response, in the list's order; None where it gave no vote.

    `meta` is the meta RM's logit, if one rated it.
    """

    scores: tuple[float, ...] | None
    order: tuple[int, ...]
    tokens: int
    meta: float | None = None


@dataclass(frozen=True, slots=True)
class StoredList:
    """A list of `n` responses and its votes. `best` are the right answers, if somebody has labelled them; `stopped`
    says whether early stopping ended the votes."""

    n: int
    votes: tuple[Vote, ...]
    best: frozenset[int] = frozenset()
    stopped: bool = False

    @property
    def rated(self) -> bool:
        """Whether a meta RM chooses among the votes."""
        return all(vote.meta is not None for vote in self.votes if vote.scores)


def read_lists(path: Path) -> tuple[list[StoredList], int]:
    """The lists of two responses or more that have all of their votes, and how many others there were.

    Others are lists whose votes early stopping ended, which are the easy ones, and lists with another number of votes
    than most.

    Args:
        path: the folder or file of a vote store, or a trace store.

    Raises:
        ConfigError: it is neither, or has fewer than `FEWEST` votes per list, or none that could be read.
        StoreError: the trace store cannot be read, or is of another version.
    """
    found = [item for item in (_traced(path) if _is_trace_store(path) else _evaluated(path)) if item.n > 1]
    lists = [item for item in found if not item.stopped]
    if not lists:
        why = "early stopping ended the votes of all its lists" if found else "it has no list of two responses or more"
        raise ConfigError(
            f"{path} does not say how many votes are needed: {why}. Sample all votes of lists: grm-plugin eval --k 32, "
            "or a service without sampling.adaptive"
        )
    k = Counter(len(item.votes) for item in lists).most_common(1)[0][0]
    if k < FEWEST:
        raise ConfigError(
            f"most lists in {path} have {k} votes, and {FEWEST} are needed: sample more, for example grm-plugin eval "
            "--k 32, or a service without sampling.adaptive"
        )
    whole = [item for item in lists if len(item.votes) == k]
    if not any(vote.scores for item in whole for vote in item.votes):
        raise ConfigError(
            f"{path}: none of the votes could be read, so they tell nothing (grm-plugin traces shows why)"
        )
    return whole, len(found) - len(whole)


def _is_trace_store(path: Path) -> bool:
    try:
        if not path.is_dir() and path.exists() and not path.is_file():
            raise ConfigError(f"{path} must be a plain file: not a pipe")
        with path.open("rb") as stream:
            return stream.read(len(SQLITE)) == SQLITE
    except IsADirectoryError:
        return False
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror or error}; give the --output of grm-plugin eval, or a service's trace.path"
        ) from None


def _evaluated(path: Path) -> Iterator[StoredList]:
    if path.is_dir() and not (path / FILE_NAME).exists():
        raise ConfigError(f"{path} has no {FILE_NAME}: give the --output of grm-plugin eval, or a service's trace.path")
    _, records = read_store(path, texts=False)
    for record in records:
        votes = tuple(Vote(vote.scores, vote.order, vote.tokens, vote.meta) for vote in record.votes)
        yield StoredList(len(record.item.responses), votes, frozenset(record.item.best))


def _traced(path: Path) -> Iterator[StoredList]:
    reader = StoreReader(path)
    untold = []
    try:
        rows = reader.select("SELECT id FROM traces ORDER BY id DESC LIMIT ?", [MOST_GROUPS])
        for (number,) in rows:
            trace, told = reader.trace(number), reader.tells_stopped(number)
            for judged in trace.judgement.lists if trace else ():
                read = [Vote(vote.scores, vote.order, vote.tokens, vote.meta) for vote in judged.critiques]
                lost = [Vote(None, vote.order, vote.tokens) for vote in judged.unparsed]
                if judged.purpose == "tiebreak":  # chosen because other votes did not agree
                    continue
                stopped = judged.stopped is not Stopped.ALL
                item = StoredList(len(judged.members), (*read, *lost), stopped=stopped)
                if told:
                    yield item
                elif item.n > 1:
                    untold.append(item)
    finally:
        reader.close()
    # Traces of 0.1.0 do not say which lists were stopped early. Those with all of k votes have the most.
    most = max((len(item.votes) for item in untold), default=0)
    yield from (replace(item, stopped=len(item.votes) < most) for item in untold)
