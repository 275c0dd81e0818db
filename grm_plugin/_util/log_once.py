"""Logs what may happen to every request at most once a minute."""

from __future__ import annotations

import logging
import math
import time

PERIOD_S = 60.0


class OncePerMinute:
    """One kind of warning: the first is logged at once, then at most one in `PERIOD_S`, with the number left out.

    For one event loop. What it is given goes to the log as it is: it must hold no text of a prompt or a response.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._not_before = -math.inf
        self._left_out = 0

    def warning(self, message: str, *args: object) -> None:
        """Log `message % args`, or count it if the last one was logged less than `PERIOD_S` ago."""
        now = time.monotonic()
        if now < self._not_before:
            self._left_out += 1
            return
        if self._left_out:
            message, args = message + " (%d more of this kind since the last such line)", (*args, self._left_out)
        self._not_before, self._left_out = now + PERIOD_S, 0
        self._logger.warning(message, *args, stacklevel=2)
