"""The meta RM's training examples: rows of `meta-rm-data`, tokenised as the service tokenises them."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grm_plugin.engines.vllm import token_ids
from grm_plugin.errors import ConfigError
from grm_plugin.spct.training_files import read_rows
from grm_plugin.types import Message


@dataclass(frozen=True, slots=True)
class Example:
    """One critique: what the meta RM reads (4 bytes a token: all examples are in memory), and whether it is right."""

    ids: array[int]
    label: int
    item: str


def read_examples(paths: Iterable[Path], tokenizer: Any, max_length: int | None) -> tuple[list[Example], int]:
    """The examples of some files, and the number of those left out because they have more than `max_length` tokens.

    Nothing is cut: the service refuses what is too long, too.

    Raises:
        ConfigError: a row is none of `meta-rm-data`, or nothing is left.
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
                    f"{path} row {number} is none of `grm-plugin spct meta-rm-data` ({type(error).__name__}: {error})"
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
    """Training and held-out examples; all critiques of an item are on one side."""
    items = sorted({example.item for example in examples})
    random.Random(seed).shuffle(items)
    held_out = set(items[: round(share * len(items))])
    return (
        [example for example in examples if example.item not in held_out],
        [example for example in examples if example.item in held_out],
    )


def bundles_of(examples: Iterable[Example], size: int) -> list[list[Example]]:
    """Critiques of one item side by side, at most `size` in a bundle: a ranking needs them in one batch."""
    by_item: dict[str, list[Example]] = {}
    for example in examples:
        by_item.setdefault(example.item, []).append(example)
    return [members[start : start + size] for members in by_item.values() for start in range(0, len(members), size)]


def padding_id(tokenizer: Any, examples: Iterable[Example]) -> int:
    """A token to pad with that no example ends with.

    transformers reads the score at the last token that is no padding, vLLM at the last token. Where a critique ends
    with the token that the tokenizer pads with (often the end-of-text token is both), the two would differ.
    """
    last = {example.ids[-1] for example in examples}
    own = (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id)
    candidates = [each for each in own if each is not None] + list(range(len(last) + 1))
    return next(int(candidate) for candidate in candidates if candidate not in last)
