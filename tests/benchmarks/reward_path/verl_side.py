"""verl's reward loop with a reward function that asks the engine itself: a request per sample for k critiques.

Runs in verl's own environment (`make test-verl` makes it). The reward workers are verl's, on a Ray cluster of this
process; only the samples are made here, as its agent loop hands them over.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Sequence
from typing import Any

from reward_path.callers import mean_rewards
from reward_path.texts import K, Question, wrong

WORKERS = 8
"""`reward.num_workers`, verl's default."""

_session: Any = None


async def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict[str, Any], **_: Any
) -> float:
    """verl's custom reward function; `ground_truth` holds the engine's address, `extra_info["prompt"]` the prompt."""
    global _session
    import aiohttp

    if _session is None:
        _session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1024))
    content = "\n\n".join(["Rate the response.", extra_info["prompt"], solution_str])
    body = {"model": "simulated", "messages": [{"role": "user", "content": content}], "n": K}
    async with _session.post(f"{ground_truth}/v1/chat/completions", json=body) as reply:
        [reward] = mean_rewards(await reply.json())
    return reward


class VerlCaller:
    """Sends samples to verl's reward workers: one by one in turns, as its agent loop does, or as one batch."""

    def __init__(self, url: str, whole_batch: bool) -> None:
        import ray
        from verl.experimental.reward_loop import RewardLoopManager

        from reward_path.openrlhf_side import make_tokenizer
        from support.verl_rollout import example_config, save_policy

        self._url = url
        self._whole_batch = whole_batch
        self._tokenizer = make_tokenizer()
        ray.init(address="local", num_cpus=2 * WORKERS, include_dashboard=False, log_to_driver=False)
        config = example_config(
            url,
            "reward.reward_manager.source=register",
            "reward.reward_manager.name=naive",
            f"reward.num_workers={WORKERS}",
            f"reward.custom_reward_function.path={__file__}",
            policy=save_policy(self._tokenizer, tempfile.mkdtemp(prefix="bench-policy-")),
        )
        self._manager = RewardLoopManager(config)
        ray.get([worker.__ray_ready__.remote() for worker in self._manager.reward_loop_workers], timeout=250)

    def prepare(self, asked: Sequence[Question]) -> None:
        self._asked = asked
        self._samples = [self._sample(each, response) for each in asked for response in each.responses]
        if self._whole_batch:
            self._batch = self._joined(self._samples)

    async def run(self) -> None:
        if self._whole_batch:
            batch = await asyncio.to_thread(self._manager.compute_rm_score, self._batch)
            self._rewards = [float(reward) for reward in batch.batch["rm_scores"].sum(dim=-1)]
            return
        workers = itertools.cycle(self._manager.reward_loop_workers)
        calls = (next(workers).compute_score.remote(sample) for sample in self._samples)
        self._rewards = [answer["reward_score"] for answer in await asyncio.gather(*calls)]

    def wrong(self) -> int:
        rights = [reward for each in self._asked for reward in each.rewards]
        if self._whole_batch:  # a float32 tensor holds them
            return sum(abs(right - got) > 1e-6 for right, got in zip(rights, self._rewards, strict=True))
        return wrong(rights, self._rewards)

    def _sample(self, question: Question, response: str) -> Any:
        from support.verl_rollout import sample

        fields = {
            "data_source": "benchmark",
            "reward_model": {"style": "rule", "ground_truth": self._url},
            "extra_info": {"prompt": question.prompt},
        }
        return sample(response, fields, self._tokenizer)

    def _joined(self, samples: Sequence[Any]) -> Any:
        """One batch of all samples, their responses padded to one length."""
        import torch
        from verl.protocol import DataProto

        longest = max(sample.batch["responses"].shape[1] for sample in samples)
        for sample in samples:
            missing = longest - sample.batch["responses"].shape[1]
            padding = torch.zeros(1, missing, dtype=torch.int64)
            for key in ("responses", "attention_mask"):
                sample.batch[key] = torch.cat([sample.batch[key], padding], dim=1)
        return DataProto.concat(list(samples))
