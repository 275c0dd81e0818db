"""The meta RM's training examples: rows made by `meta-rm-data`, tokenised as the service tokenises them."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grm_plugin.engines.chat_tokens import token_ids
from grm_plugin.errors import ConfigError
from grm_plugin.spct.training_files import read_rows
from grm_plugin.types import Message


@dataclass(frozen=True, slots=True)
class Example:
    """One critique.

    Attributes:
        ids: the tokens that the meta RM reads, 4 bytes each, as all examples are in memory.
        label: 1 for a right critique, 0 for a wrong one.
        item: the id of its item.
    """

    ids: array[int]
    label: int
    item: str


def read_examples(paths: Iterable[Path], tokenizer: Any, max_length: int | None) -> tuple[list[Example], int]:
    """The examples in some files, and how many were left out because they have more than `max_length` tokens.

    Examples are not cut, since the service does not cut what the meta RM reads either.

    Raises:
        ConfigError: a row was not made by `meta-rm-data`, or no example is left.
    """
    examples, too_long = [], 0
    for path in paths:
        for number, row in enumerate(read_rows(path), start=1):
            try:
                conversation = tuple(Message(str(turn["role"]), str(turn["content"])) for turn in row["messages"])
                label, item = row["label"], str(row["id"])
                if label not in (0, 1):
                    raise ValueError(f"label is {label!r}, not 0 or 1")
            except (KeyError, TypeError, ValueError) as error:
                raise ConfigError(
                    f"{path} row {number} was not made by `grm-plugin spct meta-rm-data` "
                    f"({type(error).__name__}: {error})"
                ) from None
            ids = token_ids(tokenizer, conversation, add_generation_prompt=False)
            if max_length is not None and len(ids) > max_length:
                too_long += 1
            else:
                examples.append(Example(array("i", ids), int(label), item))
    if not examples:
        raise ConfigError(f"no critique of at most {max_length} tokens in {', '.join(map(str, paths))}")
    return examples, too_long


def split_by_item(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples. All critiques of an item are on the same side."""
    items = sorted({example.item for example in examples})
    random.Random(seed).shuffle(items)
    held_out = set(items[: round(share * len(items))])
    return (
        [example for example in examples if example.item not in held_out],
        [example for example in examples if example.item in held_out],
    )


def bundles_of(examples: Iterable[Example], size: int) -> list[list[Example]]:
    """Bundles of at most `size` critiques of the same item, so that a batch holds critiques to rank."""
    by_item: dict[str, list[Example]] = {}
    for example in examples:
        by_item.setdefault(example.item, []).append(example)
    return [members[start : start + size] for members in by_item.values() for start in range(0, len(members), size)]


def padding_id(tokenizer: Any, examples: Iterable[Example]) -> int:
    """A token for padding that no example ends with.

    transformers reads the score at the last token that is not padding, vLLM at the last token. If a critique ended with
    the padding token (the end-of-text token is often used for both), the two would read it at different places.
    """
    last = {example.ids[-1] for example in examples}
    own = (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id)
    candidates = [each for each in own if each is not None] + list(range(len(last) + 1))
    return next(int(candidate) for candidate in candidates if candidate not in last)
