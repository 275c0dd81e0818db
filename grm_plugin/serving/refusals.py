"""Calls that the service refused: whoever made them may swallow the answer, so the service says it too."""

from __future__ import annotations

import logging
from collections import Counter

from grm_plugin._util.log_once import OncePerMinute

logger = logging.getLogger(__name__)


class Refusals:
    """Counts refused calls by status, and logs each kind (route and status) once a minute."""

    def __init__(self) -> None:
        self.by_status: Counter[int] = Counter()
        self._kinds: dict[tuple[str, int], OncePerMinute] = {}

    def record(self, route: str, status: int, reason: str) -> None:
        """Count a call to one of the service's routes. `reason` goes to the log: it must hold no text of the call."""
        self.by_status[status] += 1
        warnings = self._kinds.setdefault((route, status), OncePerMinute(logger))
        warnings.warning("%s was answered with %d: %s", route, status, reason)
