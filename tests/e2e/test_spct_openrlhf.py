"""SPCT's data and reward under an unmodified OpenRLHF: its data sets read our rows, and its trainer trains a GRM."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from spct_factories import nano_items
from typer.testing import CliRunner

from grm_plugin.cli import app
from grm_plugin.config_loading import load_config
from grm_plugin.engines.vllm import token_ids
from grm_plugin.evals.items import Item, write_items
from grm_plugin.integrations.openrlhf.progress import parse_step
from grm_plugin.prompts import PromptBuilder
from grm_plugin.showing import show
from grm_plugin.spct.presenting import TrainingPrompts, present
from grm_plugin.spct.rft import write_training_file
from grm_plugin.spct.selecting import Rules
from grm_plugin.spct.training_files import read_rows
from grm_plugin.spct.trajectories import Record, Trajectory

torch = pytest.importorskip("torch")
pytest.importorskip("openrlhf")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(400),
    pytest.mark.skipif(torch.cuda.is_available(), reason="the CPU profile is inert where CUDA is present"),
]

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs/nano_cpu.yaml"
STEPS, PROMPTS_PER_STEP, G = 3, 4, 4
JOB_DEADLINE_S = 300
VLLM_KL_LIMIT = 1e-2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`items.jsonl`, and `rl.jsonl` as the command makes it."""
    root = tmp_path_factory.mktemp("spct")
    write_items(root / "items.jsonl", nano_items(STEPS * PROMPTS_PER_STEP))
    files = [str(root / "items.jsonl"), "--config", str(CONFIG), "--output", str(root / "rl.jsonl")]
    result = CliRunner().invoke(app, ["spct", "rl-data", *files, "--max-prompt-tokens", "800"])
    assert result.exit_code == 0, result.output
    assert f"{STEPS * PROMPTS_PER_STEP} prompts" in result.output
    return root


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(load_config(CONFIG).engine.model)


def served(item: Item, tokenizer: Any) -> list[int]:
    """Token ids of what the service would send to vLLM for this item in its training order."""
    config = load_config(CONFIG)
    shown = present(item, config, 0)
    group, _ = show(item.group, tuple(range(len(item.responses))), config.judge)
    prompt = PromptBuilder(config.judge.template).listwise(group, shown.order, shown.marker)
    return token_ids(tokenizer, prompt.messages, add_generation_prompt=True)


def strategy(**data: Any) -> Any:
    options = SimpleNamespace(apply_chat_template=True, tokenizer_chat_template=None, **data)
    return SimpleNamespace(args=SimpleNamespace(data=options), is_rank_0=lambda: True)


def test_rl_prompts_are_those_of_serving(folder: Path, tokenizer: Any) -> None:
    from openrlhf.datasets import PromptDataset

    rows = list(read_rows(folder / "rl.jsonl"))
    dataset = PromptDataset(rows, tokenizer, strategy(input_key="prompt", label_key="label"))
    for index, item in enumerate(nano_items(len(rows))):
        _, prompt, label, _ = dataset[index]
        assert tokenizer(text=prompt, add_special_tokens=False)["input_ids"] == served(item, tokenizer)
        assert label == present(item, load_config(CONFIG), 0).target.to_json()


def test_sft_rows_are_those_of_serving_with_the_critique_behind(tmp_path: Path, tokenizer: Any) -> None:
    from datasets import load_dataset
    from openrlhf.datasets import SFTDataset

    config, items, critique = load_config(CONFIG), nano_items(4), "Scores: \\boxed{9, 1}"
    drawn = (Trajectory(kind="plain", text=critique, right=True, scores=(9, 1)),)
    records = [Record.of(item.id, present(item, config, 0), drawn) for item in items]
    write_training_file(tmp_path / "sft.jsonl", records, Rules(TrainingPrompts(config), rejection=False))
    rows = load_dataset("json", data_files=str(tmp_path / "sft.jsonl"), cache_dir=str(tmp_path / "cache"))["train"]
    keys = strategy(input_key="prompt", output_key="completion")
    dataset = SFTDataset(rows, tokenizer, 1024, keys, num_processors=1)
    for index, item in enumerate(items):
        ids, _, mask = dataset[index]
        prompt = served(item, tokenizer)
        assert ids[0, : len(prompt)].tolist() == prompt
        assert tokenizer.decode(ids[0, len(prompt) :]) == f"{critique}<|im_end|>"
        # The loss mask is shifted by one: it covers the critique and its end token, and nothing of the prompt.
        assert mask[0].tolist() == [0.0] * (len(prompt) - 1) + [1.0] * (ids.shape[1] - len(prompt)) + [0.0]


def test_the_grm_trains_on_its_outcome_reward(folder: Path, tmp_path: Path) -> None:
    flags = f"""
        --actor.num_nodes 1 --actor.num_gpus_per_node 1 --actor.model_name_or_path {load_config(CONFIG).engine.model}
        --ref.num_nodes 1 --ref.num_gpus_per_node 1 --actor.adam.lr 1e-4 --actor.lr_warmup_ratio 0
        --vllm.num_engines 1 --vllm.enforce_eager --vllm.sync_backend gloo
        --reward.remote_url {ROOT}/integrations/openrlhf/spct_reward.py
        --algo.advantage.estimator group_norm --algo.advantage.is_correction_level token
        --algo.kl.use_loss --algo.kl.estimator k3 --algo.kl.init_coef 0.08
        --data.prompt_dataset {folder}/rl.jsonl --data.input_key prompt --data.label_key label
        --data.apply_chat_template --data.max_len 512
        --rollout.batch_size {PROMPTS_PER_STEP} --rollout.n_samples_per_prompt {G} --rollout.max_new_tokens 160
        --rollout.temperature 1.0 --rollout.micro_batch_size 16 --train.batch_size 16 --train.micro_batch_size 16
        --ds.zero_stage 2 --ds.attn_implementation eager
        --ckpt.output_dir {tmp_path}/grm --ckpt.path {tmp_path}/checkpoints
    """
    environ = {**os.environ, "HF_HUB_OFFLINE": "1"}
    environ.pop("RAY_ADDRESS", None)
    openrlhf = [sys.executable, "-m", "openrlhf.cli.train_ppo_ray", *flags.split()]
    log = tmp_path / "job.log"
    with log.open("w") as out:
        job = subprocess.Popen(
            [sys.executable, "-m", "grm_plugin.cpu", "--", *openrlhf],
            env=environ, cwd=tmp_path, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            returncode = job.wait(JOB_DEADLINE_S)
        except subprocess.TimeoutExpired:
            os.killpg(job.pid, signal.SIGKILL)
            pytest.fail(f"the job did not end within {JOB_DEADLINE_S} s:\n{log.read_text()[-4000:]}")
    text = log.read_text()
    assert returncode == 0, text[-4000:]
    steps = [step for step in map(parse_step, text.splitlines()) if step is not None]
    assert [step.number for step in steps] == list(range(1, STEPS + 1))
    for step in steps:
        print(f"step {step.number}  reward {step.reward:+.3f}  {dict(step.values)}")
        # Every reward is +1 or -1, by the rule: the mean says how many verdicts were right.
        assert step.reward == pytest.approx(2 * step.values["spct_right"] - 1, abs=1e-3)
        assert step.values["spct_parsed"] > 0.8
        assert math.isfinite(step.values["spct_tie"])
    assert all(abs(step.vllm_kl) < VLLM_KL_LIMIT for step in steps[1:])
    assert (tmp_path / "grm" / "config.json").exists()
