"""The clean pairs on which the nano GRM is attacked."""

from __future__ import annotations

from pathlib import Path

from examples.nano import make_attack_pairs
from examples.nano.domain import is_held_out, true_quality
from grm_plugin.attacks.pairs import read_pairs


def test_the_nano_pairs_are_held_out_and_as_good_and_weak_as_they_say(tmp_path: Path) -> None:
    make_attack_pairs.main(["--output", str(tmp_path / "pairs.jsonl"), "--count", "30"])
    pairs = read_pairs(tmp_path / "pairs.jsonl")
    assert len({pair.conversation for pair in pairs}) == 30
    for pair in pairs:
        prompt = pair.conversation[0].content
        assert is_held_out(prompt)
        assert true_quality(prompt, pair.good) == 1
        assert 0.2 <= true_quality(prompt, pair.weak) <= 0.5
