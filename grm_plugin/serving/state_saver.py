"""Saves the running normaliser's statistics while they change, without delaying a reward."""

from __future__ import annotations

import asyncio
import logging
import threading

from grm_plugin.errors import ConfigError
from grm_plugin.judging.normalize import Normalizer

logger = logging.getLogger(__name__)

SAVE_PAUSE_S = 1.0
"""Pause between two saves: what a killed process loses of the statistics at most."""


class StateSaver:
    """Writes the statistics of one normaliser to its `state_path`, from one event loop."""

    def __init__(self, normalizer: Normalizer) -> None:
        self._normalizer = normalizer
        self._saving: asyncio.Task[None] | None = None
        self._one_at_a_time = threading.Lock()  # an older state must not replace the last one

    def save_soon(self) -> None:
        """To be called when the statistics have changed: they are saved within `SAVE_PAUSE_S`, in the background."""
        if self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._save_until_unchanged())

    async def save(self) -> None:
        """Save them now.

        Raises:
            ConfigError: the file cannot be written.
        """
        await asyncio.to_thread(self.save_here)

    def save_here(self) -> None:
        """`save` in this thread."""
        with self._one_at_a_time:
            self._normalizer.save()

    async def _save_until_unchanged(self) -> None:
        """Save every `SAVE_PAUSE_S`, until nothing has changed them during a save."""
        while True:
            await asyncio.sleep(SAVE_PAUSE_S)
            stats = self._normalizer.stats
            try:
                await self.save()
            except ConfigError as error:  # a full disk must not cost a reward
                logger.error("the running statistics were not saved: %s", error)
            if stats == self._normalizer.stats:
                return
