"""Trains the nano meta RM: a scalar model that tells good critiques of the nano GRM from bad ones.

    python -m examples.nano.train_meta_rm --grm examples/nano/models/grm --output examples/nano/models/meta_rm

It starts from the GRM with two more layers that begin as the identity, and learns how sound a critique is: whether its
criteria weigh what the prompt asks for, and whether its comments are true. The critiques are the synthetic critic's,
which cost nothing and of which everything is known. It is *not* told which critiques found the best response: a model
that learns that prefers one verdict and keeps the critiques that agree with it, mistaken or not, so that its errors do
not cancel in a vote. Throw-away heads make it look at each criterion and each comment.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Encoding
from torch import nn
from torch.nn import functional as F
from transformers import AutoTokenizer, Qwen2ForCausalLM, Qwen2ForSequenceClassification, Qwen2Tokenizer

from examples.nano.critiques import CheckedCritique, draw_critiques
from examples.nano.domain import ASPECTS, LEVELS
from examples.nano.model import Optimizers, save

EXTRA_LAYERS = 2


def from_grm(grm: Qwen2ForCausalLM, extra_layers: int) -> Qwen2ForSequenceClassification:
    """The GRM's weights under a scalar head; the extra layers add nothing until trained."""
    config = type(grm.config)(**{**grm.config.to_dict(), "layer_types": None, "num_labels": 1})
    config.architectures = None
    config.num_hidden_layers += extra_layers
    config.layer_types = ["full_attention"] * config.num_hidden_layers
    model = Qwen2ForSequenceClassification(config)
    model.model.load_state_dict(grm.model.state_dict(), strict=False)
    for layer in model.model.layers[grm.config.num_hidden_layers :]:
        nn.init.zeros_(layer.self_attn.o_proj.weight)
        nn.init.zeros_(layer.mlp.down_proj.weight)
    nn.init.zeros_(model.score.weight)
    return model


class Checks(nn.ModuleDict):
    """Throw-away heads that teach it what to look at; without them it only learns to spot shallow critiques.

    At each criterion: which aspect does the prompt emphasise, is it this one, and is this its weight? Before and at
    each comment: which level is true? At each comment: is it right? At the end: coverage and error of the critique.
    """

    def __init__(self, hidden: int, depth: int) -> None:
        # Name -> outputs, and the layer after which the answer has to be known; `depth` is the GRM's last.
        heads = {
            "emphasis": (len(ASPECTS) + 1, depth - 1),
            "criteria": (1, depth),
            "weights": (1, depth + 1),
            "expected": (len(LEVELS), depth),
            "remembered": (len(LEVELS), depth + 1),
            "comments": (1, depth + 1),
            "whole": (2, depth + 1),
        }
        super().__init__(
            {name: nn.Sequential(nn.RMSNorm(hidden), nn.Linear(hidden, n)) for name, (n, _) in heads.items()}
        )
        self._depth = {name: layer for name, (_, layer) in heads.items()}

    def loss(
        self, states: tuple[torch.Tensor, ...], encodings: Sequence[Encoding], critiques: Sequence[CheckedCritique]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The sum of the checks' losses, and how well true comments are told from wrong ones (balanced accuracy)."""
        last = [len(encoding.ids) - 1 for encoding in encodings]
        whole = self["whole"](states[self._depth["whole"]][torch.arange(len(last)), last])
        facts = torch.tensor([[critique.coverage, critique.error] for critique in critiques])
        losses = [F.mse_loss(whole, facts)]
        told = torch.tensor(0.0)
        for name, marks in {
            "emphasis": [[(place, critique.emphasis) for place, _ in critique.criteria] for critique in critiques],
            "criteria": [critique.criteria for critique in critiques],
            "weights": [critique.weights for critique in critiques],
            "expected": [critique.truths for critique in critiques],
            "remembered": [
                [(place, level) for (place, _), (_, level) in zip(c.comments, c.truths, strict=True)] for c in critiques
            ],
            "comments": [critique.comments for critique in critiques],
        }.items():
            answers, labels = self._marks(name, states, encodings, marks)
            if answers.shape[1] > 1:
                losses.append(0.5 * F.cross_entropy(answers, labels))
            else:
                losses.append(F.binary_cross_entropy_with_logits(answers.squeeze(-1), labels.float()))
                told = balanced_accuracy(answers.squeeze(-1) > 0, labels > 0)
        return torch.stack(losses).sum(), told

    def _marks(
        self,
        name: str,
        states: tuple[torch.Tensor, ...],
        encodings: Sequence[Encoding],
        marks: Sequence[Sequence[tuple[int, int]]],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The head's outputs [M, outputs] at all marks, and their labels [M]."""
        found = [
            (row, encoding.char_to_token(place), int(label))
            for row, (encoding, some) in enumerate(zip(encodings, marks, strict=True))
            for place, label in some
        ]
        rows, places, labels = zip(*found, strict=True)
        return self[name](states[self._depth[name]][list(rows), list(places)]), torch.tensor(labels)


def balanced_accuracy(said: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """The mean of the shares of right answers about true and about wrong comments: 0.5 for a guess."""
    return torch.stack([(said == true)[true == label].float().mean() for label in (True, False)]).nanmean()


def train(model: Qwen2ForSequenceClassification, tokenizer: Qwen2Tokenizer, args: argparse.Namespace) -> None:
    """The training loop; every step has fresh critiques. Prints the losses."""
    rng = random.Random(args.seed)
    checks = Checks(model.config.hidden_size, model.config.num_hidden_layers - EXTRA_LAYERS)
    optimizers = Optimizers((model, checks), args.steps, muon_lr=4e-3, adam_lr=2e-3)
    start = time.monotonic()
    for step in range(args.steps):
        critiques = draw_critiques(tokenizer, rng, args.rows)
        encodings = tokenizer.backend_tokenizer.encode_batch([c.text for c in critiques], add_special_tokens=False)
        ids = torch.full((len(critiques), max(len(e.ids) for e in encodings)), tokenizer.pad_token_id)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = torch.tensor(encoding.ids)
        output = model(ids, output_hidden_states=True, use_cache=False)
        checked, right = checks.loss(output.hidden_states, encodings, critiques)
        sound = torch.tensor([critique.soundness for critique in critiques])
        rating = F.mse_loss(output.logits.squeeze(-1), sound)
        optimizers.step(rating + checked)
        if step % 25 == 0 or step == args.steps - 1:
            took = time.monotonic() - start
            print(
                f"step {step} of {args.steps}, {took:.0f} s: rating {rating:.3f}, checks {checked:.3f}, "
                f"comments told apart {right:.3f}",
                flush=True,
            )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grm", type=Path, required=True, help="folder of the nano GRM")
    parser.add_argument("--output", type=Path, required=True, help="folder of the finished model")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--rows", type=int, default=30, help="critiques per step")
    parser.add_argument("--seed", type=int, default=4)
    args = parser.parse_args(arguments)
    torch.manual_seed(args.seed)
    tokenizer = AutoTokenizer.from_pretrained(args.grm)
    grm = Qwen2ForCausalLM.from_pretrained(args.grm, dtype=torch.float32)
    model = from_grm(grm, EXTRA_LAYERS)
    print(f"{model.num_parameters():,} parameters", flush=True)
    train(model, tokenizer, args)
    save(model, tokenizer, args.output)


if __name__ == "__main__":
    main()
