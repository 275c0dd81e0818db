"""The nano architecture (Qwen2 with small numbers), its optimisers, and saving a folder that every loader accepts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer


def nano_config(tokenizer: Qwen2Tokenizer, *, hidden: int = 128, layers: int = 4, ffn: int = 512) -> Qwen2Config:
    """A Qwen2 with heads of 32, two per key-value head; 1.1 M parameters by default. `hidden` is a multiple of 64."""
    heads = hidden // 32
    return Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2,
        intermediate_size=ffn,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        initializer_range=0.06,  # the usual 0.02 is too small at this width: training stalls
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def nano_model(tokenizer: Qwen2Tokenizer, **sizes: int) -> Qwen2ForCausalLM:
    """A freshly initialised causal LM; seed torch first."""
    return Qwen2ForCausalLM(nano_config(tokenizer, **sizes))


class Optimizers:
    """Muon for the matrices of the blocks, AdamW for everything else; the rate warms up, stays, then falls linearly.

    Muon learns more per step, but without AVX-512 its step takes as long as 4,000 tokens; without `muon_lr` all is
    AdamW's.
    """

    def __init__(
        self, modules: Sequence[nn.Module], steps: int, *, adam_lr: float, muon_lr: float | None = None
    ) -> None:
        named = [pair for module in modules for pair in module.named_parameters()]
        matrices = [p for name, p in named if muon_lr is not None and p.ndim == 2 and ".layers." in name]
        chosen = {id(p) for p in matrices}
        others = [p for _, p in named if id(p) not in chosen]
        self._parameters = matrices + others
        self._optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(others, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.0)
        ]
        if muon_lr is not None:
            self._optimizers.append(
                torch.optim.Muon(matrices, lr=muon_lr, momentum=0.95, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
            )
        self._schedules = [torch.optim.lr_scheduler.LambdaLR(o, lambda s: _factor(s, steps)) for o in self._optimizers]

    def step(self, loss: torch.Tensor) -> None:
        """One update: backward, clip to norm 1, step, clear. Raises FloatingPointError as `descend` does."""
        descend(loss, self._parameters, self._schedules[0].last_epoch)
        for optimizer, schedule in zip(self._optimizers, self._schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()


def _factor(step: int, steps: int) -> float:
    warmup, decay_from = min(100, max(1, steps // 10)), 0.4 * steps
    return min((step + 1) / warmup, 1.0, max(0.02, (steps - step) / math.ceil(steps - decay_from)))


def descend(loss: torch.Tensor, parameters: Iterable[nn.Parameter], step: int) -> None:
    """Backward, and the gradients clipped to norm 1; `step` is for the message.

    Raises:
        FloatingPointError: the loss or the gradient is not finite. The parameters are as they were.
    """
    _require_finite(loss, f"the loss of step {step}")
    loss.backward()
    _require_finite(nn.utils.clip_grad_norm_(parameters, 1.0), f"the gradient of step {step}")


def save(model: PreTrainedModel, tokenizer: Qwen2Tokenizer, folder: Path) -> None:
    """Writes bf16 safetensors, config, generation config and tokenizer.

    Raises:
        FloatingPointError: a weight is not finite, as the last step may leave it.
    """
    model.to(torch.bfloat16)
    for name, weights in model.state_dict().items():
        _require_finite(weights, name)
    folder.mkdir(parents=True, exist_ok=True)
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _require_finite(values: torch.Tensor, name: str) -> None:
    if not values.isfinite().all():
        raise FloatingPointError(f"{name} is not finite: lower the learning rate; nothing was saved")
