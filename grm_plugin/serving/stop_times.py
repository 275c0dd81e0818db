"""How long the parts of a stop may take.

A service that is told to stop refuses new requests, gives those under way `DRAIN_S` to finish, and fails the rest with
an error that makes clients ask again. Then:

- Without Ray: connections have until `CONNECTIONS_S` (after the start of the stop) to take their replies, then traces
  and statistics are saved. All of that takes less than 30 s; `grm-plugin stop` kills the process after `KILL_AFTER_S`.
- On Ray: the keeper waits `DRAIN_S + DRAIN_MARGIN_S` for the drain, then ends the actors. The stop is
  reported as failed after `RAY_STOP_S`.
"""

from __future__ import annotations

DRAIN_S = 20.0
"""For the requests under way to finish."""

CONNECTIONS_S = 25
"""For connections to close, of a service without Ray; whole seconds, because uvicorn takes an integer."""

DRAIN_MARGIN_S = 6.0
"""The keeper waits this much longer than `DRAIN_S` for the service's word that it has drained."""

KILL_AFTER_S = 35.0
"""A service without Ray that runs this long after SIGTERM is killed."""

RAY_STOP_S = 60.0
"""For a service on Ray to stop; then the stop is reported as failed."""

FAILED_START_S = 60.0
"""For a service on Ray that could not start to be removed."""
