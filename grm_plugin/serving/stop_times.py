"""How long a stop may take, all of it in one place.

A service that is told to stop takes nothing more, gives what is under way `DRAIN_S` and hands back the rest. In a
process of its own the connections get the replies until `CLOSE_S`, then traces and statistics are saved; all that is
within 30 s, and after `PROCESS_S` the process is killed. On Ray Serve the keeper waits `DRAIN_S + DRAIN_MARGIN_S` for
the drain, then Serve ends the replicas, which takes 5 to 10 s where all is well; after `RAY_S` whoever asked is told
that it takes longer. Serve itself gives up waiting after 60 s, and `TAKE_DOWN_S` is all of it at its worst.
"""

from __future__ import annotations

DRAIN_S = 20.0
"""What is under way when a service is stopped has this long."""

CLOSE_S = 25
"""Longest wait for connections of a service without Ray; in whole seconds, as uvicorn takes it."""

DRAIN_MARGIN_S = 6.0
"""So much longer than its drain takes, the answer of a replica on Ray is waited for."""

PROCESS_S = 35.0
"""A service without Ray that has not ended so long after SIGTERM is killed."""

RAY_S = 60.0
"""A service on Ray that has not ended so long after it was asked to is reported."""

TAKE_DOWN_S = 120.0
"""Longest time in which a service on Ray that could not start is gone, and its starter told why."""
