"""`python -m grm_plugin.cli`: the command line, for launchers that start a module (torchrun, deepspeed)."""

from __future__ import annotations

from grm_plugin.cli.app import main

main()
