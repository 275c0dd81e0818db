"""Preference items in the language of the nano GRM (examples/nano), with one clearly good response each."""

from __future__ import annotations

import random

from grm_plugin.batch.items import Item
from grm_plugin.types import Message

FRUITS = ("plum", "fig", "apple", "pear", "mango", "kiwi", "lemon", "grape")
SEPARATORS = {"commas": ", ", "dashes": " - ", "slashes": " / ", "plus signs": " + "}


def nano_items(number: int, sizes: tuple[int, ...] = (2, 3, 4)) -> list[Item]:
    """Items i0, i1, ...; the same ones every time."""
    rng = random.Random(0)
    items = []
    for index in range(number):
        count, name = rng.choice((2, 3, 4)), rng.choice(list(SEPARATORS))
        good = SEPARATORS[name].join(rng.sample(FRUITS, count)) + ". Enjoy!"
        bad = [f"{fruit}, cat - {fruit}. Whatever." for fruit in rng.sample(FRUITS, rng.choice(sizes) - 1)]
        best = rng.randrange(len(bad) + 1)
        responses = (*bad[:best], good, *bad[best:])
        request = Message("user", f"Name {count} fruits, use {name}.")
        items.append(Item(f"i{index}", (request,), responses, (best,)))
    return items
