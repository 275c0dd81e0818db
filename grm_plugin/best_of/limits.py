"""Sets limits on itself and becomes the command that it is given: `limits.py SECONDS BYTES BYTES PROCESSES COMMAND`.

It is started by its path and imports the standard library only. Limits are set here, in the process that they are for,
because a process with threads must run no Python between fork and exec.
"""

from __future__ import annotations

import os
import resource
import sys

CANNOT_START = 126
"""Exit status where the command cannot be started: the shell's."""


def main() -> None:
    cpu_s, memory, file_bytes, processes = map(int, sys.argv[1:5])
    for kind, most in (
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, processes),
    ):
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            most = hard if most < 0 else min(most, hard)
        resource.setrlimit(kind, (most, most))
    try:
        os.execvp(sys.argv[5], sys.argv[5:])
    except OSError as error:
        sys.stderr.write(f"{sys.argv[5]}: {error.strerror or error}\n")
        sys.exit(CANNOT_START)


if __name__ == "__main__":
    main()
