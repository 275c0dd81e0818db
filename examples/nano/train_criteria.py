"""Teaches the nano GRM to judge by criteria, and keeps what it can do without them.

    python -m examples.nano.train_criteria --grm examples/nano/models/grm --output examples/nano/models/grm_criteria

One set of weights for both tasks. On lists with criteria it learns the critic's judgements; on lists without, it is
held to what the GRM that it started from would have said next.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn import functional as F
from transformers import AutoTokenizer, Qwen2ForCausalLM, Qwen2Tokenizer

from examples.nano.batches import Batch, draw_batch, emphasise_levels
from examples.nano.criteria_batches import ANSWER_HEADS, draw_criteria_batch, emphasise_answers
from examples.nano.criteria_teacher import CARELESS
from examples.nano.model import Optimizers, save
from examples.nano.train_grm import JUDGING_MIX, Guides

CRITERIA_SHARE = 0.75
"""Share of steps on lists with criteria."""
CAREFUL_SHARE = 0.5
"""Share of steps at the beginning in which no judgement is careless: wrong comments teach nothing about responses."""


def train(model: Qwen2ForCausalLM, grm: Qwen2ForCausalLM, tokenizer: Qwen2Tokenizer, args: argparse.Namespace) -> None:
    """The training loop; `grm` is the GRM as it was. Prints losses, and how it predicts comments and answers."""
    rng = random.Random(args.seed)
    guides = Guides(model.config.hidden_size, model.config.num_hidden_layers, ANSWER_HEADS)
    optimizers = Optimizers((model, guides), args.steps, adam_lr=args.lr)
    began = time.monotonic()
    for step in range(args.steps):
        n = rng.choices((1, 2, 3, 4), JUDGING_MIX)[0]
        by_criteria = rng.random() < CRITERIA_SHARE
        if by_criteria:
            careless = CARELESS if step >= CAREFUL_SHARE * args.steps else 0.0
            batch = draw_criteria_batch(tokenizer, rng, n, args.batch_tokens, careless=careless)
        else:
            batch = draw_batch(tokenizer, rng, n, args.batch_tokens, lesson="judge")
        level_words, answers = (mark(batch, tokenizer)[:, 1:] for mark in (emphasise_levels, emphasise_answers))
        # No attention mask: padding stands at the right, and attention is causal.
        output = model(batch.ids[:, :-1], output_hidden_states=True, use_cache=False)
        loss = imitation(output.logits, batch) if by_criteria else loyalty(output.logits, batch, grm)
        guide = guides.loss(output.hidden_states, batch)
        optimizers.step(loss + (0.5 if step < 0.7 * args.steps else 0.15) * guide)
        if step % 25 == 0 or step == args.steps - 1:
            right = (output.logits.argmax(-1) == batch.ids[:, 1:]).float()
            task = "criteria" if by_criteria else "no criteria"
            took = time.monotonic() - began
            print(
                f"step {step} {took:.0f} s, {task}: loss {loss:.3f}, guides {guide:.3f}, "
                f"comments {right[level_words].mean():.3f}, answers {right[answers].mean():.3f}",
                flush=True,
            )


def imitation(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Weighted cross-entropy of the tokens of a batch; `logits` is [B, T - 1, V]."""
    targets, weights = batch.ids[:, 1:].flatten(), batch.weights[:, 1:].flatten()
    return (F.cross_entropy(logits.flatten(0, 1), targets, reduction="none") * weights).sum() / weights.sum()


def loyalty(logits: torch.Tensor, batch: Batch, grm: Qwen2ForCausalLM) -> torch.Tensor:
    """Mean KL divergence, in nats, of `grm` from the model at each token of a judgement."""
    learned = batch.weights[:, 1:] >= 1.0
    with torch.no_grad():
        wanted = grm(batch.ids[:, :-1], use_cache=False).logits[learned].log_softmax(-1)
    return F.kl_div(logits[learned].log_softmax(-1), wanted, log_target=True, reduction="batchmean")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--grm", type=Path, required=True, help="folder of the GRM, to which it is held without criteria"
    )
    parser.add_argument("--begin", type=Path, help="folder of weights to begin with, instead of the GRM's own")
    parser.add_argument("--output", type=Path, required=True, help="folder of the finished model")
    parser.add_argument("--lr", type=float, default=1.5e-3, help="peak rate of AdamW")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch-tokens", type=int, default=2048, help="tokens per step, about")
    parser.add_argument("--seed", type=int, default=6)
    args = parser.parse_args(arguments)
    torch.manual_seed(args.seed)
    tokenizer = AutoTokenizer.from_pretrained(args.grm)
    model, grm = (
        Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32) for folder in (args.begin or args.grm, args.grm)
    )
    train(model, grm, tokenizer, args)
    save(model, tokenizer, args.output)


if __name__ == "__main__":
    main()
