"""A process that dies while it loads leaves its log; the reason stands in it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ray")

from grm_plugin.serving.ray.last_words import MOST_CHARS, words_in


@pytest.mark.parametrize(
    ("err", "out", "said"),
    [
        (":actor_name:E\nterminate called after throwing c10::Error\n\n", ":job_id:01\n", "terminate called"),
        (
            "warning\n",
            "Traceback (most recent call last):\n  x\nValueError: the cause\nlater\n",
            "ValueError: the cause",
        ),
        ("\xff" * 999, "", ""),
    ],
)
def test_an_error_counts_before_the_last_line(err: str, out: str, said: str, tmp_path: Path) -> None:
    logs = [tmp_path / "worker-a-01-7.err", tmp_path / "worker-a-01-7.out"]
    for log, text in zip(logs, (err, out), strict=True):
        log.write_text(text, encoding="latin-1")
    words = words_in(logs, "elsewhere")
    assert words.startswith(f"it wrote last: {said}")
    assert str(logs[0]) in words
    assert len(words) < MOST_CHARS + 99 + 2 * len(str(logs[0]))


def test_a_log_that_cannot_be_read_here_is_named(tmp_path: Path) -> None:
    assert words_in([], "worker-*-7.* on its node") == "its log: worker-*-7.* on its node"
    assert str(tmp_path / "gone") in words_in([tmp_path / "gone"], "elsewhere")
