"""The environment variables with which this process was started."""

from __future__ import annotations

import os
from pathlib import Path


def was_set_at_start(name: str) -> bool:
    """Whether a variable was in this process's environment when it began, and not only set in it since.

    False too where the system does not say, or a process that changed its title has written over the variable.
    """
    try:
        began = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(variable.startswith(os.fsencode(name) + b"=") for variable in began)
