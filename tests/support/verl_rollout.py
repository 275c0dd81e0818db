"""verl's configuration, rollout side and reward workers, with a policy that says what a test wants."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from string import Template
from typing import Any

import numpy as np
import ray
import torch
import transfer_queue
from hydra import compose, initialize_config_module
from omegaconf import DictConfig
from tensordict import TensorDict
from transformers import AutoTokenizer, GPT2Config
from verl.experimental.reward_loop import RewardLoopManager
from verl.protocol import DataProto
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopWorkerTQ
from verl.utils import tensordict_utils
from verl.workers.rollout.replica import TokenOutput

from support.paths import ROOT

N, VALIDATION_N, WORKERS = 4, 2, 3
EXAMPLE = ROOT / "examples" / "verl" / "reward_manager.sh"
Rows = list[dict[str, Any]]


def example_config(url: str, *further: str, policy: str) -> DictConfig:
    """verl's own configuration with all lines of the example, then what a test wants otherwise."""
    command = EXAMPLE.read_text().split("python -m verl.trainer.main_ppo")[1]
    values = {"GRM_URL": url, "POLICY": policy, "TRAIN": "train.parquet", "VAL": "test.parquet", "GPUS": "8"}
    lines = shlex.split(Template(command.replace("\\\n", " ").replace('"$@"', "")).substitute(values))
    rollout = "actor_rollout_ref.rollout"
    overrides = [
        *lines,
        *(f"reward.num_workers={WORKERS}", "data.train_batch_size=8"),
        *(f"{rollout}.n={N}", f"{rollout}.val_kwargs.n={VALIDATION_N}"),
        *(f"{rollout}.prompt_length=128", f"{rollout}.response_length=64"),
        "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
        *further,
    ]
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("ppo_trainer", overrides=overrides)


def row(uid: str, asked: str = "How many?", **extra_info: Any) -> dict[str, Any]:
    """A row as verl's dataset gives it."""
    return {
        "uid": uid,
        "raw_prompt": [{"role": "system", "content": "Count."}, {"role": "user", "content": asked}],
        "data_source": "plums",
        "reward_model": {"style": "rule", "ground_truth": "10"},
        "extra_info": extra_info,
        "index": 0,
    }


def sample(text: str, fields: Mapping[str, Any], tokenizer: Any) -> Any:
    """A sample as verl's agent loop hands it to a reward worker (`AgentLoopWorker._compute_score`), padded."""
    prompt, response = torch.tensor([tokenizer.encode("How many?")]), torch.tensor([tokenizer.encode(text)])
    padding = torch.zeros(1, 3, dtype=torch.int64)
    mask = torch.cat([torch.ones_like(prompt), torch.ones_like(response), padding], dim=1)
    tensors = {"prompts": prompt, "responses": torch.cat([response, padding], dim=1), "attention_mask": mask}
    columns = {key: np.array([value]) for key, value in fields.items()}
    return DataProto(batch=TensorDict(tensors, batch_size=1), non_tensor_batch=columns)


def save_policy(tokenizer: Any, folder: str) -> str:
    """A folder with a tokenizer and the configuration of a model, but no weights: nothing runs it."""
    tokenizer.save_pretrained(folder)
    model = GPT2Config(
        vocab_size=len(tokenizer), bos_token_id=None, eos_token_id=None, architectures=["GPT2LMHeadModel"]
    )
    model.save_pretrained(folder)
    loaded = AutoTokenizer.from_pretrained(folder)
    assert loaded.decode(loaded.encode("7 plums")) == "7 plums"
    return folder


async def score(manager: Any, *samples: Any) -> Rows:
    async with asyncio.timeout(60):
        return await asyncio.gather(*(manager.run_single(sample) for sample in samples))


def rewards(rows: Rows) -> dict[str, float]:
    return {row["text"]: row["reward"] for row in rows}


class ScriptedPolicy:
    """verl's LLM client as far as agent loops call it: says the texts in turn, later ones first; raises exceptions."""

    def __init__(self, tokenizer: Any) -> None:
        self.texts: list[str | Exception] = []
        self.tokenizer = tokenizer

    async def generate(self, **_: Any) -> Any:
        text = self.texts.pop(0)
        await asyncio.sleep(0.02 * len(self.texts))
        if isinstance(text, Exception):
            raise text
        return TokenOutput(token_ids=self.tokenizer.encode(text), stop_reason="completed")


class Rollout:
    """verl's V1 agent loop and reward loop: the worker here, the reward workers on Ray."""

    def __init__(self, config: DictConfig, tokenizer: Any) -> None:
        transfer_queue.init(config.transfer_queue)
        self.manager = RewardLoopManager(config)
        ray.get([worker.__ray_ready__.remote() for worker in self.manager.reward_loop_workers], timeout=250)
        self.policy = ScriptedPolicy(tokenizer)
        worker_class = AgentLoopWorkerTQ.__ray_metadata__.modified_class
        self.worker = worker_class(
            config, self.policy, reward_loop_worker_handles=self.manager.reward_loop_worker_handles
        )

    async def run(self, texts: Sequence[str | Exception], rows: Sequence[Mapping[str, Any]], validate: bool) -> Rows:
        """One dictionary per sample that came through: uid, session, reward, info."""
        partition = "val" if validate else "train"
        columns = {key: np.array([row[key] for row in rows] + [None], dtype=object)[:-1] for key in rows[0]}
        batch = tensordict_utils.get_tensordict({**columns, "dummy_tensor": torch.zeros(len(rows), 1)})
        tensordict_utils.assign_non_tensor_data(batch, "global_steps", 1)
        tensordict_utils.assign_non_tensor_data(batch, "validate", validate)
        self.policy.texts = list(texts)
        async with asyncio.timeout(60):
            await self.worker.generate_sequences(batch)
            await asyncio.gather(*self.worker.background_tasks)
        stored = transfer_queue.kv_list(partition_id=partition)[partition]
        keys = [key for key in stored if "_" in key]
        fields = transfer_queue.kv_batch_get(keys=keys, partition_id=partition)
        transfer_queue.kv_clear(keys=list(stored), partition_id=partition)
        return [
            {
                "uid": fields["uid"][index],
                "text": self.policy.tokenizer.decode(fields["responses"][index]),
                "reward": float(fields["rm_scores"][index].sum()),
                "info": fields["extra_fields"][index]["reward_extra_info"],
            }
            for index in range(len(keys))
        ]
