"""A warning of one kind is logged once a minute."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from grm_plugin._util import log_once
from grm_plugin._util.log_once import PERIOD_S, OncePerMinute


def test_one_line_a_minute_with_the_number_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    monkeypatch.setattr(log_once, "time", SimpleNamespace(monotonic=lambda: now))
    warnings = OncePerMinute(logging.getLogger("grm_plugin.test"))
    for now in (0.0, 1.0, PERIOD_S - 1, PERIOD_S, PERIOD_S + 1, 3 * PERIOD_S, 9 * PERIOD_S):
        warnings.warning("refused at %g s: 100%%", now)
    assert caplog.messages == [
        "refused at 0 s: 100%",
        "refused at 60 s: 100% (2 more of this kind since the last such line)",
        "refused at 180 s: 100% (1 more of this kind since the last such line)",
        "refused at 540 s: 100%",
    ]
    assert {record.filename for record in caplog.records} == {"test_log_once.py"}


def test_kinds_do_not_silence_each_other(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("one", "two"):
        OncePerMinute(logging.getLogger("grm_plugin.test")).warning(name)
    assert caplog.messages == ["one", "two"]
