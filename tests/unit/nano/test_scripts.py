"""Every script once, at a tiny size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Qwen2ForCausalLM

from examples.nano import make_prompts, train_grm, train_meta_rm, train_policy

TINY = ("--hidden", "64", "--layers", "2", "--ffn", "64")


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """On a busy machine OpenMP threads wait for each other far longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tiny_grm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nano") / "grm"
    train_grm.main(["--output", str(folder), "--steps", "8", "--batch-tokens", "512", *TINY])
    return folder


def test_grm_folder_loads_in_bf16_without_a_missing_key(tiny_grm: Path) -> None:
    model, info = Qwen2ForCausalLM.from_pretrained(tiny_grm, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(tiny_grm))
    with safe_open(tiny_grm / "model.safetensors", "pt") as weights:
        assert {weights.get_tensor(key).dtype for key in weights.keys()} == {torch.bfloat16}  # noqa: SIM118


def test_grm_without_principles(tmp_path: Path) -> None:
    sizes = ("--steps", "8", "--batch-tokens", "512", *TINY)
    train_grm.main(["--output", str(tmp_path), "--lesson", "score", *sizes])
    assert (tmp_path / "model.safetensors").exists()


def test_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_policy.main(["--output", str(tmp_path), "--steps", "8", "--batch-rows", "8", *TINY])
    assert "step 7" in capsys.readouterr().out
    assert Qwen2ForCausalLM.from_pretrained(tmp_path).generation_config.eos_token_id == 2


def test_meta_rm(tiny_grm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_meta_rm.main(["--grm", str(tiny_grm), "--output", str(tmp_path), "--steps", "3", "--rows", "6"])
    assert "comments told apart" in capsys.readouterr().out
    model, info = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert model.config.num_labels == 1
    assert model.config.num_hidden_layers == 2 + train_meta_rm.EXTRA_LAYERS


def test_same_seed_same_weights(tmp_path: Path) -> None:
    for name in "ab":
        train_policy.main(["--output", str(tmp_path / name), "--steps", "3", "--batch-rows", "4", *TINY])
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in "ab")
    assert first == second


def test_prompts(tmp_path: Path) -> None:
    make_prompts.main(["--output", str(tmp_path), "--train", "20", "--held-out", "5"])
    rows = {
        name: [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        for name in ("train", "held_out")
    }
    assert {name: len(found) for name, found in rows.items()} == {"train": 20, "held_out": 5}
    assert all(row["label"] == "" and row["input"][0]["role"] == "user" for row in rows["train"])
    contents = [{row["input"][0]["content"] for row in found} for found in rows.values()]
    assert not contents[0] & contents[1]
