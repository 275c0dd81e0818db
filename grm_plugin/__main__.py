"""`python -m grm_plugin`: the command line `grm-plugin`."""

from __future__ import annotations

from grm_plugin.cli.app import main

if __name__ == "__main__":
    main()
