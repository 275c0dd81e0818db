"""The exit statuses of `grm-plugin`, besides 0."""

from __future__ import annotations

FAILED, USAGE_ERROR, INTERRUPTED = 1, 2, 130
"""1: not all of the work is done. 2: the command, the configuration or the input is wrong. 130: Ctrl-C."""
