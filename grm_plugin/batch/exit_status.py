"""The exit statuses of `grm-plugin`."""

from __future__ import annotations

FAILED, USAGE_ERROR, INTERRUPTED = 1, 2, 130
"""Exit statuses: the work is not (wholly) done; the command, the configuration or the input is wrong; Ctrl-C."""
