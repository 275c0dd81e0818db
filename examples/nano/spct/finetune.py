"""Fine-tunes the nano GRM on the file that `grm-plugin spct rft-data` makes.

    python -m examples.nano.spct.finetune --grm runs/spct/models/sft --data runs/spct/rft/sft.jsonl --output runs/rft

At real scale this is OpenRLHF's train_sft, see examples/spct; at this size its start would take longer than training.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn import functional as F
from transformers import AutoTokenizer, Qwen2ForCausalLM, Qwen2Tokenizer

from examples.nano.batches import Batch, collate
from examples.nano.model import descend, save
from grm_plugin.spct.training_files import TrainingRow, read_rows


def batch_of(tokenizer: Qwen2Tokenizer, rows: Sequence[TrainingRow]) -> Batch:
    """Prompt and completion through the chat template; the completion and its end token are what is learned."""
    prompts = [str(tokenizer.apply_chat_template(row["prompt"], tokenize=False)) for row in rows]
    texts = [
        p + row["completion"][0]["content"] + str(tokenizer.eos_token) for p, row in zip(prompts, rows, strict=True)
    ]
    encodings = tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
    return collate(encodings, tokenizer, [len(prompt) for prompt in prompts])


def train(
    model: Qwen2ForCausalLM, tokenizer: Qwen2Tokenizer, rows: list[TrainingRow], args: argparse.Namespace
) -> None:
    """`args.steps` steps over the rows in random order, AdamW, a learning rate that falls to zero; prints the loss.

    All variants take as many steps, however many rows their data has, so that they differ in the data alone.
    """
    rng = random.Random(args.seed)
    wanted, order = args.steps * args.batch_rows, list[int]()
    while len(order) < wanted:
        order += rng.sample(range(len(rows)), len(rows))
    batches = [order[start : start + args.batch_rows] for start in range(0, wanted, args.batch_rows)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.0)
    for step, chosen in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = args.lr * min(1.0, (step + 1) / 10) * (1 - step / len(batches))
        batch = batch_of(tokenizer, [rows[index] for index in chosen])
        learned = batch.weights[:, 1:] == 1.0
        logits = model(batch.ids[:, :-1], use_cache=False).logits
        loss = F.cross_entropy(logits[learned], batch.ids[:, 1:][learned])
        descend(loss, model.parameters(), step)
        optimizer.step()
        optimizer.zero_grad()
        if step % 20 == 0 or step == len(batches) - 1:
            print(f"step {step} of {len(batches)}: loss {loss:.3f}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grm", type=Path, required=True, help="folder of the GRM to start from")
    parser.add_argument("--data", type=Path, required=True, help="sft.jsonl of rft-data")
    parser.add_argument("--output", type=Path, required=True, help="folder of the finished model")
    parser.add_argument("--leave-out", choices=("hinted", "plain"), help="kind of trajectory to leave out")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch-rows", type=int, default=24)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(arguments)
    torch.manual_seed(args.seed)
    rows = [row for row in read_rows(args.data) if row["kind"] != args.leave_out]
    if not rows:
        parser.error(f"{args.data} has no row to train on")
    tokenizer = AutoTokenizer.from_pretrained(args.grm)
    model = Qwen2ForCausalLM.from_pretrained(args.grm, dtype=torch.float32)
    print(f"{len(rows)} trajectories", flush=True)
    train(model, tokenizer, rows, args)
    save(model, tokenizer, args.output)


if __name__ == "__main__":
    main()
