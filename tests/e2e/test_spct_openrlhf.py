"""SPCT's data and reward under an unmodified OpenRLHF: its data sets read our rows, and its trainer trains a GRM."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from grm_plugin.batch.items import Item, write_items
from grm_plugin.cli.app import app
from grm_plugin.config.loading import load_config
from grm_plugin.engines.vllm import token_ids
from grm_plugin.judging.prompts import PromptBuilder
from grm_plugin.judging.sanitizing import sanitize
from grm_plugin.spct.rejection import RejectionRules
from grm_plugin.spct.rft_data import write_training_file
from grm_plugin.spct.training_files import read_rows
from grm_plugin.spct.training_prompts import TrainingPrompts, present
from grm_plugin.spct.trajectories import ItemTrajectories, Trajectory
from support.item_factories import nano_items
from support.openrlhf_job import GONE_DEADLINE_S, PROMPTS_PER_STEP, ROOT, UNMODIFIED, VLLM_KL_LIMIT, run_job

torch = pytest.importorskip("torch")
pytest.importorskip("openrlhf")

JOB_DEADLINE_S = 300

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(JOB_DEADLINE_S + 2 * GONE_DEADLINE_S),
    pytest.mark.skipif(torch.cuda.is_available(), reason="the CPU profile is inert where CUDA is present"),
]

CONFIG = ROOT / "configs/nano_cpu.yaml"
STEPS = 3


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
    group, _ = sanitize(item.group, tuple(range(len(item.responses))), config.judge)
    prompt = PromptBuilder(config.judge.template).listwise(group, shown.order, shown.marker)
    return token_ids(tokenizer, prompt.messages, add_generation_prompt=True)


def strategy(**data: Any) -> Any:
    options = SimpleNamespace(apply_chat_template=True, tokenizer_chat_template=None, **data)
    return SimpleNamespace(args=SimpleNamespace(data=options), is_rank_0=lambda: True)


def test_rl_prompts_are_those_of_serving(folder: Path, tokenizer: Any) -> None:
    from openrlhf.datasets import PromptDataset

    rows = list(read_rows(folder / "rl.jsonl"))
    dataset = PromptDataset(rows, tokenizer, strategy(input_key="prompt", label_key="label"))
    drawn = [dataset[index] for index in range(len(rows))]  # in an order of their own
    found = sorted(
        (tokenizer(text=prompt, add_special_tokens=False)["input_ids"], label) for _, prompt, label, _ in drawn
    )
    assert found == sorted(
        (served(item, tokenizer), present(item, load_config(CONFIG), 0).target.to_json())
        for item in nano_items(len(rows))
    )


def test_sft_rows_are_those_of_serving_with_the_critique_behind(tmp_path: Path, tokenizer: Any) -> None:
    from datasets import load_dataset
    from openrlhf.datasets import SFTDataset

    config, items, critique = load_config(CONFIG), nano_items(4), "Scores: \\boxed{9, 1}"
    drawn = (Trajectory(kind="plain", text=critique, right=True, scores=(9, 1)),)
    records = [ItemTrajectories.of(item.id, present(item, config, 0), drawn) for item in items]
    write_training_file(tmp_path / "sft.jsonl", records, RejectionRules(TrainingPrompts(config), rejection=False))
    rows = load_dataset("json", data_files=str(tmp_path / "sft.jsonl"), cache_dir=str(tmp_path / "cache"))["train"]
    keys = strategy(input_key="prompt", output_key="completion")
    dataset = SFTDataset(rows, tokenizer, 1024, keys, num_processors=1)
    by_prompt = sorted((dataset[index] for index in range(len(items))), key=lambda row: row[0].tolist())
    for prompt, (ids, _, mask) in zip(sorted(served(item, tokenizer) for item in items), by_prompt, strict=True):
        assert ids[0, : len(prompt)].tolist() == prompt
        assert tokenizer.decode(ids[0, len(prompt) :]) == f"{critique}<|im_end|>"
        # The loss mask is shifted by one: it covers the critique and its end token, and nothing of the prompt.
        assert mask[0].tolist() == [0.0] * (len(prompt) - 1) + [1.0] * (ids.shape[1] - len(prompt)) + [0.0]


def test_the_grm_trains_on_its_outcome_reward(folder: Path, tmp_path: Path) -> None:
    flags = f"""
        --actor.model_name_or_path {load_config(CONFIG).engine.model} --actor.adam.lr 1e-4
        --ref.num_nodes 1 --ref.num_gpus_per_node 1
        --reward.remote_url {ROOT}/integrations/openrlhf/spct_reward.py
        --algo.kl.use_loss --algo.kl.estimator k3 --algo.kl.init_coef 0.08
        --data.prompt_dataset {folder}/rl.jsonl --data.input_key prompt --data.label_key label --data.max_len 512
        --rollout.max_new_tokens 160 --rollout.temperature 1.0
    """
    job = run_job(UNMODIFIED, flags, tmp_path, JOB_DEADLINE_S)
    assert job.returncode == 0, job.log[-4000:]
    assert [step.number for step in job.steps] == list(range(1, STEPS + 1))
    for step in job.steps:
        # Every reward is +1 or -1, by the rule: the mean says how many verdicts were right.
        assert step.reward == pytest.approx(2 * step.values["spct_right"] - 1, abs=1e-3)
        assert step.values["spct_parsed"] > 0.5
        assert math.isfinite(step.values["spct_tie"])
    assert all(abs(step.vllm_kl) < VLLM_KL_LIMIT for step in job.steps[1:])
    assert (tmp_path / "policy" / "config.json").exists()
