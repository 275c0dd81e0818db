"""Warns where the installed TRL is not the one that the reward function was tested with."""

from __future__ import annotations

import logging
import re
from importlib.metadata import PackageNotFoundError, version

logger = logging.getLogger(__name__)

TESTED = (1, 16)


def warn_unless_tested() -> None:
    """Log a warning when the installed TRL is not 1.16.x; nothing where there is no TRL."""
    try:
        installed = version("trl")
    except PackageNotFoundError:
        return
    major_minor = tuple(int(number) for number in re.findall(r"\d+", installed)[:2])
    if major_minor < TESTED:
        logger.warning(
            "TRL %s does not await reward objects (tested: 1.16): pass GRMReward(...).blocking to its trainers, or "
            "install trl==1.16.0; ms-swift awaits them itself",
            installed,
        )
    elif major_minor > TESTED:
        logger.warning("TRL %s is newer than the one tested (1.16)", installed)
