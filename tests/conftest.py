"""Settings for all tests; a check that they leave nothing behind; and an end of their process that does not take its
native libraries down."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.leftovers import end_processes, take_folder, take_mark

try:
    from hypothesis import settings
except ImportError:  # the environments of verl and of GPU machines do without
    pass
else:
    # The same examples in every run. Speed is not asserted: pytest-timeout guards against what hangs.
    settings.register_profile("suite", deadline=None, derandomize=True, database=None, max_examples=40)
    # To hunt for new ones: pytest --hypothesis-profile=hunt
    settings.register_profile("hunt", deadline=None, derandomize=False, max_examples=400)
    settings.load_profile("suite")

STATUS = pytest.StashKey[int]()
FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker has that of the process that started it
        config.stash[FOLDER] = take_folder()
    # Or a cluster starts a Python process for each CPU that it claims, ten of them for an OpenRLHF job on two cores.
    os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
    # Newer versions of Ray would write a token into the user's home, for which all later clusters ask.
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Set up first and torn down last: no process that a test has started is there after the last test."""
    mark = take_mark()
    yield
    left = end_processes(mark)
    assert not left, f"left behind, and killed now: {left}"


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    if FOLDER in config.stash:
        shutil.rmtree(config.stash[FOLDER], ignore_errors=True)
    # Ray, gRPC and torch in one process were seen to crash while Python finalises, after the last test had passed.
    if "ray" in sys.modules and STATUS in config.stash:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[STATUS])
