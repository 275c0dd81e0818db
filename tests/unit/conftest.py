"""Fixtures of several unit tests."""

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What a test starts can be interrupted: a shell's background jobs, and the tests may be one, ignore SIGINT,
    and so do their children; a handler is not inherited.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
