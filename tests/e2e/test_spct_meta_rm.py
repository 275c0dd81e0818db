"""The meta RM's trainer: what it saves is what the service loads; and the same under DeepSpeed's ZeRO 3."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from grm_plugin.cli.app import app
from grm_plugin.config import MetaRMConfig
from grm_plugin.config.loading import load_config
from grm_plugin.engines.vllm import VLLMMetaRM, token_ids
from grm_plugin.spct.meta_rm_data import rows_of_folder
from grm_plugin.spct.training_files import read_rows, write_rows
from grm_plugin.spct.training_prompts import TrainingPrompts, present
from grm_plugin.spct.trajectories import ItemTrajectories, Trajectory, TrajectoryStore
from grm_plugin.types import Message
from support.item_factories import nano_items
from support.marked_jobs import run_marked
from support.paths import ROOT

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

GRM = ROOT / "examples/nano/models/grm"
CONFIG = ROOT / "configs/nano_cpu_meta_rm.yaml"
LOGIT_TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Critiques whose verdict can be seen: the right ones say good and give the best response a 9, the others a 1."""
    config = load_config(CONFIG)
    records = []
    for item in nano_items(40, sizes=(2,)):
        shown = present(item, config, 0)
        drawn = []
        for right in (True, False):
            scores = [9 if (position in shown.target.best) == right else 1 for position in range(2)]
            analysis = f"Analysis:\nResponse 1: Format {'good' if right else 'bad'}"
            text = f"{analysis}\nScores: \\boxed{{{scores[0]}, {scores[1]}}}"
            drawn.append(Trajectory(kind="plain", text=text, right=right, scores=(scores[0], scores[1])))
        records.append(ItemTrajectories.of(item.id, shown, tuple(drawn)))
    folder = tmp_path_factory.mktemp("meta")
    with TrajectoryStore(folder / "drawn", {}) as store:
        for record in records:
            store.add(record)
    write_rows(folder / "meta.jsonl", rows_of_folder(folder / "drawn", config, TrainingPrompts(config), Counter()))
    return folder / "meta.jsonl"


@pytest.fixture(scope="module")
def trained(data: Path) -> Path:
    """A meta RM from the command, on the CPU without DeepSpeed."""
    return train(data, data.parent / "meta_rm", "--epochs", "10")


def train(data: Path, output: Path, *flags: str) -> Path:
    command = ["spct", "meta-rm", "--model", str(GRM), "--data", str(data), "--output", str(output), "--lr", "3e-3"]
    sizes = ["--batch", "16", "--micro-batch", "8", "--eval-share", "0.2", "--ranking-weight", "0.5", "--bundle", "2"]
    result = CliRunner().invoke(app, [*command, *sizes, *flags])
    assert result.exit_code == 0, result.output
    return output


def head_of(model: Path) -> Any:
    from safetensors.torch import load_file

    return load_file(model / "model.safetensors")["score.weight"]


def test_the_seed_alone_decides_the_weights(data: Path, tmp_path: Path) -> None:
    heads = []
    for before, seed in ((1, "0"), (2, "0"), (2, "5")):
        torch.manual_seed(before)  # what the process drew before must not matter
        heads.append(head_of(train(data, tmp_path / f"{before}-{seed}", "--epochs", "1", "--seed", seed)))
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[1], heads[2])


def test_it_learns_what_can_be_seen(trained: Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["critiques"] == 16
    assert metrics["auc"] > 0.9
    assert metrics["within_auc"] > 0.9
    assert not list(trained.glob("*.bin"))


def test_the_command_measures_it_again(trained: Path, data: Path) -> None:
    output = trained / "again.json"
    result = CliRunner().invoke(
        app, ["spct", "meta-rm-eval", "--model", str(trained), "--data", str(data), "--output", str(output)]
    )
    assert result.exit_code == 0, result.output
    assert json.loads(output.read_text())["critiques"] == 80
    assert "AUC" in result.output


async def test_the_service_rates_as_the_trainer_does(trained: Path, data: Path) -> None:
    pytest.importorskip("vllm")
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    conversations = [
        tuple(Message(turn["role"], turn["content"]) for turn in row["messages"]) for row in list(read_rows(data))[:8]
    ]
    tokenizer: Any = AutoTokenizer.from_pretrained(trained)
    model: Any = AutoModelForSequenceClassification.from_pretrained(trained, dtype=torch.float32).eval()
    expected = []
    for conversation in conversations:
        ids = torch.tensor([token_ids(tokenizer, conversation, add_generation_prompt=False)])
        with torch.no_grad():
            expected.append(model(ids, attention_mask=torch.ones_like(ids)).logits.item())
    meta_rm = VLLMMetaRM(MetaRMConfig(model=str(trained), max_model_len=1024, dtype="float32"))
    try:
        assert await meta_rm.rate(conversations) == pytest.approx(expected, abs=LOGIT_TOLERANCE)
    finally:
        meta_rm.shutdown()
    assert max(expected) - min(expected) > 1000 * LOGIT_TOLERANCE


@pytest.mark.timeout(560)
def test_two_processes_under_deepspeed_zero_3_compile_nothing_and_save_whole_weights(
    data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("deepspeed")
    from safetensors.torch import load_file

    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"),
        *("-m", "grm_plugin.cli", "spct", "meta-rm", "--model", str(GRM)),
        *("--data", str(data), "--output", str(tmp_path / "out"), "--lr", "1e-3"),
        *("--batch", "16", "--micro-batch", "8"),
        *("--deepspeed", str(ROOT / "configs/spct/zero3.json")),
    ]
    compiled = tmp_path / "compiled"
    job = run_marked(command, 500, {"OMP_NUM_THREADS": "1", "TORCH_EXTENSIONS_DIR": str(compiled)})
    assert job.returncode == 0, job.stderr[-3000:]
    assert not compiled.exists()
    start, trained = load_file(GRM / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert trained.pop("score.weight").shape == (1, 128)
    assert {name: (values.shape, values.dtype) for name, values in trained.items()} == {
        name: (values.shape, torch.bfloat16) for name, values in start.items()
    }
    # Adam moves a weight by about the learning rate in each of five steps; gathered from memory that was not yet
    # filled, weights would be anything.
    assert all((trained[name].float() - start[name].float()).abs().max() < 0.02 for name in start)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["critiques"] == 4
