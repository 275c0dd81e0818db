"""Stores judgements in the background, so that no reward waits for the disk: a bounded queue and a writing thread."""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path

from grm_plugin.config import FailureConfig, TraceConfig
from grm_plugin.errors import DamagedStore
from grm_plugin.trace.store_writer import StoreWriter
from grm_plugin.trace.stored_trace import Entry, size_of
from grm_plugin.types import Judgement

logger = logging.getLogger(__name__)

PAUSE_S = 0.25
"""Pause between two commits. A killed process loses what it has judged since the last one."""

BATCH_CHARS = 2_000_000
"""Characters of text after which a commit takes no further group, so that it does not take long."""

QUEUE_GROUPS = 10_000
QUEUE_CHARS = 200_000_000
"""So many groups and characters of text may wait for a slow disk; further groups are dropped and counted."""

CLOSE_S = 10.0
"""Longest that `close` waits for the last groups to be written."""

FULL = "the disk is slower than the judging"
"""Why a group is dropped when the queue is full; readers of the traces see it."""


@dataclass(frozen=True, slots=True)
class RecorderStatus:
    """The state of tracing: groups written, dropped (since the start) and waiting, and what is wrong now, or empty."""

    path: Path
    written: int
    dropped: int
    waiting: int
    problem: str


class Recorder:
    """Writes judgements to the store `config.path`. Whatever goes wrong with that neither fails nor delays a reward.

    A damaged store is logged and turns tracing off. Groups that cannot be written (the disk is full or slow) are
    dropped and counted, and their number is written to the store as soon as that works again.

    Args:
        config: where the store is, and which share of the judgements it gets; `config.path` must be set.
        policy: what the service makes of missing rewards.
        service: the service's name, kept with every trace.
        model: the GRM's name, noted in the store.

    Raises:
        StoreError: the store cannot be written, or comes from another version of grm_plugin.
    """

    def __init__(self, config: TraceConfig, policy: FailureConfig, service: str, model: str) -> None:
        assert config.path is not None
        self.path = Path(config.path)
        self._sample = config.sample
        self._service = service
        self._model = model
        self._lock = threading.Lock()
        self._queue: deque[tuple[Entry, int]] = deque()
        self._queued_chars = 0
        self._written = self._dropped = 0
        self._gaps: Counter[str] = Counter()
        """Dropped groups that the store does not know of yet, by reason."""
        self._problem = ""
        self._off = False
        self._closing = threading.Event()
        try:
            self._writer = StoreWriter(self.path, config, policy)
        except DamagedStore as error:
            logger.error("no traces are kept: %s", error)
            self._problem, self._off = str(error), True
            return
        self._thread = threading.Thread(target=self._run, name="grm-plugin-traces", daemon=True)
        self._thread.start()

    def offer(self, judgement: Judgement) -> None:
        """Take a judgement for the store, or drop it. Never blocks and never raises."""
        if self._sample < 1 and random.random() >= self._sample:
            return
        size = size_of(judgement)
        with self._lock:
            if self._off:
                self._dropped += 1
            elif len(self._queue) >= QUEUE_GROUPS or self._queued_chars + size > QUEUE_CHARS:
                self._drop(1, FULL)
            else:
                self._queue.append((Entry(time.time(), self._service, judgement), size))
                self._queued_chars += size

    @property
    def status(self) -> RecorderStatus:
        """The state of tracing now."""
        with self._lock:
            return RecorderStatus(self.path, self._written, self._dropped, len(self._queue), self._problem)

    def close(self) -> None:
        """Write the groups that wait, for at most `CLOSE_S` seconds, and stop."""
        self._closing.set()
        if not self._off:
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        try:
            self._writer.name_model(self._service, self._model)
        except sqlite3.Error as error:
            logger.warning("%s: whose judgements these are is not noted: %s", self.path, error)
        while not self._closing.wait(PAUSE_S):
            self._flush()
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        while batch := self._take():
            with self._lock:
                gaps = list(self._gaps.items())
            try:
                self._writer.write(batch, [(dropped, reason) for reason, dropped in gaps])
            except Exception as error:  # whatever it is, the thread must go on
                # For a corrupt file SQLite raises DatabaseError itself. Its subclasses may pass: full disk, lock, I/O.
                damaged = type(error) is sqlite3.DatabaseError
                self._lose(batch, f"{self.path}: {error}" + "; tracing is off" * damaged, turn_off=damaged)
            else:
                with self._lock:
                    self._written += len(batch)
                    self._problem = ""
                    self._gaps -= Counter(dict(gaps))

    def _take(self) -> list[Entry]:
        batch: list[Entry] = []
        chars = 0
        with self._lock:
            while self._queue and not self._off and chars < BATCH_CHARS:
                entry, size = self._queue.popleft()
                batch.append(entry)
                chars += size
            self._queued_chars -= chars
        return batch

    def _lose(self, batch: list[Entry], problem: str, turn_off: bool) -> None:
        if problem != self._problem:
            logger.error("judged groups are not stored as traces (their rewards are not affected): %s", problem)
        with self._lock:
            self._drop(len(batch), problem)
            self._problem = problem
            if turn_off:
                self._off = True
                self._dropped += len(self._queue)
                self._queue.clear()

    def _drop(self, groups: int, reason: str) -> None:
        self._dropped += groups
        self._gaps[reason] += groups
