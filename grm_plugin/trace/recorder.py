"""Takes judgements off the hot path: a bounded queue and one background thread that writes them to the store."""

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
"""Between two commits. A killed process loses what it judged since the last one."""
BATCH_CHARS = 2_000_000
"""Text written by one commit, so that none takes long."""
QUEUE_GROUPS = 10_000
QUEUE_CHARS = 200_000_000
"""Text that may wait for a slow disk; beyond it groups are dropped and counted."""
CLOSE_S = 10.0
"""Longest that `close` waits for the last groups to be written."""

FULL = "the disk is slower than the judging"


@dataclass(frozen=True, slots=True)
class RecorderStatus:
    """How tracing goes: totals since the start, and what is wrong now (empty when nothing is)."""

    path: Path
    written: int
    dropped: int
    waiting: int
    problem: str


class Recorder:
    """Writes a share of all judgements to the store `config.path`. Nothing it does can fail or delay a reward.

    A damaged store is reported and turns tracing off. Groups that cannot be written (full disk, slow disk) are
    dropped and counted; the store says so once it can be written again.

    Args:
        config: `config.path` must be set.
        policy: what the service makes of missing rewards.
        service: its name, kept with every trace.

    Raises:
        StoreError: the store cannot be written, or comes from another version of grm_plugin.
    """

    def __init__(self, config: TraceConfig, policy: FailureConfig, service: str) -> None:
        assert config.path is not None
        self.path = Path(config.path)
        self._sample = config.sample
        self._service = service
        self._lock = threading.Lock()
        self._queue: deque[tuple[Entry, int]] = deque()
        self._queued_chars = 0
        self._written = self._dropped = 0
        self._gaps: Counter[str] = Counter()
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
        """Hand over a judgement. Never blocks, never raises."""
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
        """How tracing goes."""
        with self._lock:
            return RecorderStatus(self.path, self._written, self._dropped, len(self._queue), self._problem)

    def close(self) -> None:
        """Write what is waiting and stop; gives up after `CLOSE_S` seconds."""
        self._closing.set()
        if not self._off:
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
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
            except Exception as error:  # the seam: whatever goes wrong costs traces, never rewards
                # SQLite's plain DatabaseError is a corrupt file; a full disk, a lock and I/O errors may pass.
                damaged = type(error) is sqlite3.DatabaseError
                self._lose(batch, f"{self.path}: {error}" + "; tracing is off" * damaged, off=damaged)
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

    def _lose(self, batch: list[Entry], problem: str, off: bool = False) -> None:
        if problem != self._problem:
            logger.error("groups are not traced, their rewards go on: %s", problem)
        with self._lock:
            self._drop(len(batch), problem)
            self._problem = problem
            if off:
                self._off = True
                self._dropped += len(self._queue)
                self._queue.clear()

    def _drop(self, groups: int, reason: str) -> None:
        self._dropped += groups
        self._gaps[reason] += groups
