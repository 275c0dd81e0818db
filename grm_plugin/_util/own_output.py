"""What this process and its children have written to their standard output, where that goes to a file.

As it does in Ray's workers: to a file per worker in the folder of Ray's logs, which no user looks for unasked.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

STREAMS = (1, 2)
MOST_BYTES = 2**20
"""Of each stream; what was written last."""


class OwnOutput:
    """Reads what is written from now on."""

    def __init__(self) -> None:
        self._begins = {descriptor: os.fstat(descriptor).st_size for descriptor in STREAMS if _is_file(descriptor)}

    def read(self) -> str:
        """What was written to standard output, then what was written to standard error; empty where neither is a file.

        At most `MOST_BYTES` of each.
        """
        # Not the descriptors themselves: they are for writing only.
        return "\n".join(read_end(_link(file), MOST_BYTES, begin) for file, begin in self._files().items())

    @property
    def paths(self) -> tuple[str, ...]:
        """The files, for a message; empty where what was written stands on the user's own terminal or pipe."""
        return tuple(path for descriptor in self._files() if os.path.exists(path := os.readlink(_link(descriptor))))

    def _files(self) -> dict[int, int]:
        """Descriptor -> where to begin. Each file once, where both streams go to the same one."""
        files: dict[tuple[int, int], int] = {}
        for descriptor in self._begins:
            found = os.fstat(descriptor)
            files.setdefault((found.st_dev, found.st_ino), descriptor)
        return {descriptor: self._begins[descriptor] for descriptor in files.values()}


def read_end(path: Path, most_bytes: int, begin: int = 0) -> str:
    """The last `most_bytes` of a file behind `begin`, as text; empty where it cannot be read.

    A file that ends before `begin` was cut meanwhile: it counts from its start.
    """
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(begin if begin <= end else 0, end - most_bytes))
            return file.read().decode(errors="replace")
    except OSError:  # deleted, rotated away, or none of this user's
        return ""


def _link(descriptor: int) -> Path:
    return Path("/proc/self/fd", str(descriptor))


def _is_file(descriptor: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode) and os.path.exists(_link(descriptor))
    except OSError:  # closed
        return False
