"""Run a command under the CPU profile: `python -m grm_plugin.cpu -- COMMAND ...`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from grm_plugin.cpu.profile import environment


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command in place of this process, with the environment of the CPU profile; or print that environment."""
    parser = argparse.ArgumentParser(prog="python -m grm_plugin.cpu", description=main.__doc__)
    parser.add_argument("--env", action="store_true", help="print KEY=VALUE lines, for env(1), and exit")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- COMMAND [ARG ...]")
    args = parser.parse_args(argv)
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if args.env == bool(command):
        parser.error(
            "give either --env or a command: python -m grm_plugin.cpu -- python -m openrlhf.cli.train_ppo_ray ..."
        )
    if args.env:
        print(*(f"{key}={value}" for key, value in environment().items()), sep="\n")
    else:
        os.execvpe(command[0], command, {**os.environ, **environment()})


if __name__ == "__main__":
    main()
