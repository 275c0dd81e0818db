"""The policy's true quality on held-out prompts, by the rule of the domain and without the GRM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from examples.nano.domain import all_tasks, is_held_out, true_quality
from examples.nano.measure import bootstrap


@dataclass(frozen=True, slots=True)
class Quality:
    """Mean true quality in [0, 1] with a 95 % bootstrap interval over prompts; `n` responses."""

    mean: float
    ci95: tuple[float, float]
    n: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"ci95": list(self.ci95)}

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.ci95[0]:.3f}, {self.ci95[1]:.3f}]"


def held_out_prompts(limit: int) -> list[str]:
    """The first `limit` prompts of the held-out tenth of the domain, spread over all kinds of tasks."""
    prompts = [task.prompt for task in all_tasks() if is_held_out(task.prompt)]
    return prompts[:: max(1, len(prompts) // limit)][:limit]


def measure(policy: Path, prompts: Sequence[str], samples: int, seed: int = 0) -> Quality:
    """Sample the policy at temperature 1, `samples` responses per prompt, and rate them by the rule."""
    estimate = bootstrap(by_prompt(policy, prompts, samples, seed))
    return Quality(estimate.mean, (estimate.low, estimate.high), len(prompts) * samples)


def by_prompt(policy: Path, prompts: Sequence[str], samples: int, seed: int = 0) -> list[float]:
    """The mean true quality of `samples` responses to each prompt, 0 to 1, in the order of the prompts."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(policy, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32).eval()
    chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
    inputs = tokenizer.apply_chat_template(
        chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
    )
    with torch.inference_mode():
        generated = model.generate(
            **inputs, do_sample=True, temperature=1.0, top_k=0, max_new_tokens=64, num_return_sequences=samples
        )
    responses = tokenizer.batch_decode(generated[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return [
        fmean(true_quality(prompt, response) for response in responses[index * samples : (index + 1) * samples])
        for index, prompt in enumerate(prompts)
    ]
