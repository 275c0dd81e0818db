"""Settings for all tests, and an end of their process that does not take its native libraries down."""

from __future__ import annotations

import os
import sys

import pytest

try:
    from hypothesis import settings
except ImportError:  # the environments of verl and of GPU machines do without
    pass
else:
    # The same examples in every run. Speed is not asserted: pytest-timeout guards against what hangs.
    settings.register_profile("suite", deadline=None, derandomize=True, database=None)
    # To hunt for new ones: pytest --hypothesis-profile=hunt
    settings.register_profile("hunt", deadline=None, derandomize=False)
    settings.load_profile("suite")

STATUS = pytest.StashKey[int]()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    # Ray, gRPC and torch in one process were seen to crash while Python finalises, after the last test had passed.
    if "ray" in sys.modules and STATUS in config.stash:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[STATUS])
