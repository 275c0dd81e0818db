"""The batches and the loss of the meta RM's training, on transformers' Trainer.

The loss is the binary cross-entropy of the label (paper, section 3.3). `ranking_weight` adds a term that compares right
and wrong critiques of the same item. The filter compares critiques of one item only, and a model can have a low
cross-entropy by telling hard items from easy ones alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from transformers import Trainer

from grm_plugin.errors import ConfigError
from grm_plugin.spct.meta_rm_checkpoints import explain_write_errors
from grm_plugin.spct.meta_rm_examples import Example


class MetaRMTrainer(Trainer):  # type: ignore[misc]
    """Trainer whose training set is a list of bundles of examples."""

    def __init__(self, ranking_weight: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.ranking_weight = ranking_weight
        self.model_accepts_loss_kwargs = False  # the loss is a mean: Trainer divides it by the accumulated batches

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        loss = loss_of(outputs.logits.squeeze(-1).float(), inputs["labels"], inputs["bundles"], self.ranking_weight)
        if not torch.isfinite(loss):  # Trainer would go on and hide it from its log
            raise ConfigError(
                f"the loss of step {self.state.global_step + 1} is {loss.item()}: training has diverged; lower --lr or "
                "raise --warmup-ratio"
            )
        return (loss, outputs) if return_outputs else loss

    def prediction_step(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> Any:
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad():
            logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
        return None, logits.squeeze(-1).float(), inputs["labels"]

    def _save_checkpoint(self, *arguments: Any, **options: Any) -> None:
        with explain_write_errors(Path(self.args.output_dir)):
            super()._save_checkpoint(*arguments, **options)


def loss_of(logits: torch.Tensor, labels: torch.Tensor, bundles: torch.Tensor, ranking_weight: float) -> torch.Tensor:
    """Binary cross-entropy plus `ranking_weight` times the mean of softplus(wrong - right) over pairs of a bundle.

    `logits`, `labels` (0 or 1) and `bundles` (the number of each critique's bundle) are [B].
    """
    loss = F.binary_cross_entropy_with_logits(logits, labels)
    if ranking_weight:
        pairs = (labels[:, None] > labels[None, :]) & (bundles[:, None] == bundles[None, :])
        if pairs.any():
            loss = loss + ranking_weight * F.softplus(logits[None, :] - logits[:, None])[pairs].mean()
    return loss


class Collator:
    """Makes right-padded tensors of bundles; `bundles` has the number of each critique's bundle."""

    def __init__(self, padding: int) -> None:
        self.padding = padding

    def __call__(self, batch: Sequence[Sequence[Example]]) -> dict[str, torch.Tensor]:
        examples = [example for bundle in batch for example in bundle]
        width = max(len(example.ids) for example in examples)
        ids = torch.full((len(examples), width), self.padding)
        mask = torch.zeros_like(ids)
        for row, example in enumerate(examples):
            ids[row, : len(example.ids)] = torch.tensor(example.ids)
            mask[row, : len(example.ids)] = 1
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": torch.tensor([float(example.label) for example in examples]),
            "bundles": torch.tensor([number for number, bundle in enumerate(batch) for _ in bundle]),
        }
