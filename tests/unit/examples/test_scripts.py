"""Every script once, at a tiny size."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Qwen2ForCausalLM

from examples.nano import make_prompts, train_criteria, train_grm, train_meta_rm, train_policy
from examples.nano.model import descend, save
from examples.nano.spct import finetune

TINY = ("--hidden", "64", "--layers", "2", "--ffn", "64")


pytestmark = pytest.mark.usefixtures("one_thread")


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


def test_criteria_go_on_from_a_grm(tiny_grm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ("--steps", "3", "--batch-tokens", "512")
    train_criteria.main(["--grm", str(tiny_grm), "--output", str(tmp_path), *sizes])
    assert "step 2" in capsys.readouterr().out
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


def test_the_nano_scripts_save_nothing_after_training_diverged(tiny_grm: Path, tmp_path: Path) -> None:
    row = {"prompt": [{"role": "user", "content": "?"}], "completion": [{"role": "assistant", "content": "Scores: 1"}]}
    (tmp_path / "sft.jsonl").write_text(json.dumps(row | {"kind": "plain", "group_id": "a"}) + "\n")
    flags = ["--grm", str(tiny_grm), "--data", str(tmp_path / "sft.jsonl"), "--output", str(tmp_path / "tuned")]
    with pytest.raises(FloatingPointError, match=r"of step 1 is not finite: lower the learning rate; nothing"):
        finetune.main([*flags, "--lr", "1e30", "--steps", "3", "--batch-rows", "1"])
    sizes = ("--steps", "3", "--batch-tokens", "512", *TINY)
    with pytest.raises(FloatingPointError, match=r"step \d is not finite"):
        train_grm.main(["--output", str(tmp_path / "grm"), "--lr", "1e30", *sizes])
    assert {path.name for path in tmp_path.iterdir()} == {"sft.jsonl"}


@pytest.mark.parametrize(("value", "what"), [(math.nan, "loss of step 0"), (0.0, "gradient of step 0")])
def test_a_loss_and_a_gradient_that_are_not_finite_are_refused(value: float, what: str) -> None:
    weights = torch.nn.Parameter(torch.zeros(1))
    with pytest.raises(FloatingPointError, match=what):
        descend(weights.sum().sqrt() + value, [weights], 0)  # the root's slope at 0 is infinite


def test_the_gradient_is_clipped_to_norm_one() -> None:
    weights = torch.nn.Parameter(torch.zeros(2))
    descend((weights * torch.tensor([30.0, 40.0])).sum(), [weights], 0)
    assert weights.grad is not None
    assert weights.grad.tolist() == pytest.approx([0.6, 0.8])


def test_weights_that_the_last_step_spoilt_are_not_saved(tiny_grm: Path, tmp_path: Path) -> None:
    model = Qwen2ForCausalLM.from_pretrained(tiny_grm)
    with torch.no_grad():
        model.model.norm.weight[0] = math.inf
    with pytest.raises(FloatingPointError, match=r"model\.norm\.weight is not finite"):
        save(model, AutoTokenizer.from_pretrained(tiny_grm), tmp_path / "out")
    assert not (tmp_path / "out").exists()


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
