"""Writes the preference items of SPCT in miniature.

    python -m examples.nano.spct.items --output runs/spct/items

rft.jsonl, rl.jsonl and meta.jsonl have training prompts; held_out.jsonl has pairs and lists of four (its two subsets)
with prompts that no model was trained on.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

from examples.nano.groups import RankedGroup, draw_ranked_group
from grm_plugin.batch.items import Item, write_items
from grm_plugin.types import Message

SIZES, ODDS = (2, 3, 4), (0.5, 0.1, 0.4)
UNTIDY = (0.0, 0.3)
"""Shares of garbled responses in training items."""


def item_of(name: str, group: RankedGroup, subset: str = "") -> Item:
    """The item that asks which response of a group is best."""
    return Item(name, (Message("user", group.task.prompt),), group.responses, (group.best,), subset=subset)


def training_items(prefix: str, number: int, rng: random.Random) -> list[Item]:
    """Items of training prompts, with two to four responses."""
    return [
        item_of(
            f"{prefix}{index}",
            draw_ranked_group(rng, rng.choices(SIZES, ODDS)[0], held_out=False, untidy=rng.choice(UNTIDY)),
        )
        for index in range(number)
    ]


def held_out_items(pairs: int, fours: int, rng: random.Random) -> list[Item]:
    """Items of held-out prompts."""
    wanted = [("pairs", 2)] * pairs + [("fours", 4)] * fours
    return [
        item_of(f"{subset}{index}", draw_ranked_group(rng, n, held_out=True), subset)
        for index, (subset, n) in enumerate(wanted)
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of the four files")
    parser.add_argument("--rft", type=int, default=800)
    parser.add_argument("--rl", type=int, default=640)
    parser.add_argument("--meta", type=int, default=800)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--fours", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="of the training items; the held-out ones never change")
    args = parser.parse_args(arguments)
    args.output.mkdir(parents=True, exist_ok=True)
    rng = random.Random(args.seed)
    for name in ("rft", "rl", "meta"):
        write_items(args.output / f"{name}.jsonl", training_items(name, getattr(args, name), rng))
    write_items(args.output / "held_out.jsonl", held_out_items(args.pairs, args.fours, random.Random(0)))


if __name__ == "__main__":
    main()
