"""What a process of an actor wrote before it died without an error of Python's: killed for its memory, crashed in C."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from grm_plugin._util.own_output import OwnOutput, read_end
from grm_plugin._util.text import one_line
from grm_plugin.engines.load_failures import cause_in
from grm_plugin.serving.ray.actors import actor_row

logger = logging.getLogger(__name__)

MOST_BYTES = 2**18
"""Of a log, read from its end."""

MOST_CHARS = 300


def last_words(actor: Any) -> str:
    """For a message: the error in the log of the actor's last process, or its last line, and where the log is.

    Logs of other nodes are named and not read.
    """
    try:
        pid = actor_row(actor).pid
        own = OwnOutput().paths
    except Exception as error:  # private functions of Ray may change
        logger.warning("cannot tell where the log of an actor is: %s", error)
        return "see the logs of Ray"
    folder = Path(own[0]).parent if own else Path("/tmp/ray/session_latest/logs")
    return words_in(sorted(folder.glob(f"worker-*-{pid}.*")), f"{folder}/worker-*-{pid}.* on the node that ran it")


def words_in(logs: list[Path], elsewhere: str) -> str:
    """`last_words` of these files, standard error first; `elsewhere` says where to look if there are none."""
    texts = [read_end(log, MOST_BYTES) for log in logs]
    said = next(filter(None, map(cause_in, texts)), "") or next(filter(None, map(_last_line, texts)), "")
    where = " and ".join(map(str, logs)) or elsewhere
    return f"it wrote last: {said[:MOST_CHARS]} (log: {where})" if said else f"its log: {where}"


def _last_line(text: str) -> str:
    lines = [shown for line in text.splitlines() if (shown := one_line(line)) and not shown.startswith(":")]
    return lines[-1] if lines else ""
