"""Trains the nano GRM on synthetic judgements, from scratch.

    python -m examples.nano.train_grm --output examples/nano/models/grm

It first learns to see (to comment on all aspects without mistakes), then to judge (to write criteria, analysis and
scores). Throw-away linear heads on the lower layers teach it what to look at; without them it only learns to repeat the
most frequent comment.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import torch
from torch import nn
from torch.nn import functional as F
from transformers import Qwen2ForCausalLM, Qwen2Tokenizer

from examples.nano import teacher
from examples.nano.batches import PIECE_HEADS, Batch, draw_batch, emphasise_levels
from examples.nano.domain import ASPECTS, LEVELS
from examples.nano.model import Optimizers, nano_model, save
from examples.nano.tokenizer import JUDGE_TEMPLATE, build_tokenizer

SEEING_SHARE = 0.18
SEEING_MIX = (0.45, 0.4, 0.05, 0.1)
JUDGING_MIX = (0.15, 0.35, 0.15, 0.35)
"""Odds of n = 1, 2, 3, 4 responses."""


class Guides(nn.ModuleDict):
    """Throw-away linear heads: they read facts about pieces after layer 2, and a response's levels after layer 3.

    `further` names more facts to be read after layer 3, with their number of classes.
    """

    def __init__(self, hidden: int, layers: int, further: Mapping[str, int] = MappingProxyType({})) -> None:
        classes = {**PIECE_HEADS, **dict.fromkeys(ASPECTS, len(LEVELS)), **further}
        super().__init__({name: nn.Linear(hidden, number) for name, number in classes.items()})
        self._layer = {name: min(2 if name in PIECE_HEADS else 3, layers) for name in classes}

    def loss(self, states: tuple[torch.Tensor, ...], batch: Batch) -> torch.Tensor:
        """Mean cross-entropy over the heads that have a mark in this batch; `states[l]` [B, T, H] follows layer l."""
        losses = []
        for name, triples in batch.marks.items():
            rows, positions, labels = torch.tensor(triples).T
            losses.append(F.cross_entropy(self[name](states[self._layer[name]][rows, positions]), labels))
        return torch.stack(losses).mean()


def train(tokenizer: Qwen2Tokenizer, args: argparse.Namespace) -> Qwen2ForCausalLM:
    """The training loop; prints losses and how many of the teacher's (noisy) level words the model predicts."""
    rng = random.Random(args.seed)
    torch.manual_seed(args.seed)
    if args.base is None:
        model = nano_model(tokenizer, hidden=args.hidden, layers=args.layers, ffn=args.ffn)
    else:
        model = Qwen2ForCausalLM.from_pretrained(args.base, dtype=torch.float32)
    seeing = 0 if args.base else int(SEEING_SHARE * args.steps)
    guides = Guides(args.hidden, args.layers)
    optimizers = Optimizers((model, guides), args.steps, muon_lr=args.lr, adam_lr=args.lr / 2)
    print(f"{model.num_parameters():,} parameters, {len(tokenizer)} tokens", flush=True)
    start = time.monotonic()
    for step in range(args.steps):
        judging = step >= seeing
        n = rng.choices((1, 2, 3, 4), JUDGING_MIX if judging else SEEING_MIX)[0]
        lesson = args.lesson if judging else "see"
        batch = draw_batch(tokenizer, rng, n, args.batch_tokens, lesson=lesson, shallow=args.shallow)
        level_words = emphasise_levels(batch, tokenizer)[:, 1:]
        # No attention mask: padding stands at the right, and attention is causal.
        output = model(batch.ids[:, :-1], output_hidden_states=True, use_cache=False)
        targets, weights = batch.ids[:, 1:], batch.weights[:, 1:]
        token_losses = F.cross_entropy(output.logits.flatten(0, 1), targets.flatten(), reduction="none")
        loss = (token_losses * weights.flatten()).sum() / weights.sum()
        guide = guides.loss(output.hidden_states, batch)
        optimizers.step(loss + (0.5 if step < 0.7 * args.steps else 0.15) * guide)
        if step % 50 == 0 or step == args.steps - 1:
            right = (output.logits.argmax(-1) == targets)[level_words].float().mean()
            took = time.monotonic() - start
            print(f"step {step} {took:.0f} s: loss {loss:.3f}, guides {guide:.3f}, comments {right:.3f}", flush=True)
    return model


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of the finished model")
    parser.add_argument(
        "--lesson", choices=("judge", "score"), default="judge", help="score: no principles, no critique"
    )
    parser.add_argument("--base", type=Path, help="folder of a GRM to go on from, instead of from scratch")
    parser.add_argument("--shallow", type=float, default=teacher.SHALLOW, help="share of shallow judgements")
    parser.add_argument("--lr", type=float, default=4e-3, help="peak rate of Muon; AdamW's is half of it")
    parser.add_argument("--steps", type=int, default=2200)
    parser.add_argument("--batch-tokens", type=int, default=3072, help="tokens per step, about")
    parser.add_argument("--hidden", type=int, default=128, help="width, a multiple of 64")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--ffn", type=int, default=512)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(arguments)
    tokenizer = build_tokenizer(JUDGE_TEMPLATE)
    save(train(tokenizer, args), tokenizer, args.output)


if __name__ == "__main__":
    main()
