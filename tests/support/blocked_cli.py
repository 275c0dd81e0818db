"""The command line where packages are missing: one interpreter has it imported, and forks for each command.

To import it takes longer than all that such a command does.

    python -m support.blocked_cli        # then lines of JSON: [missing packages, arguments, folder, variables, outputs]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Said(NamedTuple):
    """How a command ended, and what it wrote."""

    status: int
    out: str
    err: str


class BlockedCli:
    """Runs commands of grm-plugin, as in processes of their own. To be closed."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.blocked_cli"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def run(self, without: Sequence[str], arguments: Sequence[str], folder: Path, outputs: Path, **env: str) -> Said:
        """Run a command in `folder` for at most a minute, without these packages.

        Args:
            outputs: a folder for what it writes to stdout and stderr.
        """
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps([without, arguments, str(folder), env, str(outputs)]), file=self._process.stdin, flush=True)
        status = int(self._process.stdout.readline())
        return Said(status, (outputs / "out").read_text(), (outputs / "err").read_text())

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(60)


def _serve() -> None:
    from grm_plugin.cli.app import main  # imports nothing that a test says is missing: checked below

    for line in sys.stdin:
        without, arguments, folder, env, outputs = json.loads(line)
        child = os.fork()
        if not child:
            _become(without, arguments, folder, env, outputs, main)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(without: list[str], arguments: list[str], folder: str, env: dict[str, str], outputs: str, main) -> None:  # type: ignore[no-untyped-def]
    status = 1
    try:
        import signal

        signal.alarm(60)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(Path(outputs, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
        os.environ.update(env)
        os.chdir(folder)
        for name in without:
            assert name not in sys.modules, f"the command line imports {name}"
            sys.modules[name] = None  # type: ignore[assignment]
        sys.argv = ["grm-plugin", *arguments]
        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve()
