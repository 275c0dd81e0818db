"""Finds items whose label is noise: no judge could give the right verdict by what it is shown.

`identical` ones have a best and a worse response that are one text as the GRM is shown them: the honest verdict is a
tie. `contradictory` ones say of two responses to one prompt the opposite of what another item says.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from grm_plugin._util.text import shows_nothing
from grm_plugin.batch.items import Item
from grm_plugin.config import JudgeConfig
from grm_plugin.judging.sanitizing import sanitize
from grm_plugin.types import Group

Fault = Literal["identical", "contradictory"]

NOISE = "noise"
"""Key of an item's `meta` that holds its fault, where it is judged all the same: a benchmark's own figure counts it."""


@dataclass(slots=True)
class Labels:
    """What all labels of a set say: first every item is added, then each can be asked for its fault.

    Which of two responses is better is kept as a digest of 16 bytes, not as text.
    """

    _said: set[bytes] = field(default_factory=set)

    def add(self, shown: Group, best: Collection[int], label: int | None = None) -> None:
        """Add an item.

        Args:
            shown: the item as the GRM is shown it.
            best: indices of its best responses; none for a single response.
            label: of a single response, 1 (right) or 0 (wrong).
        """
        if not _identical(shown, best):
            self._said.update(_digests(shown, best, label))

    def fault(self, shown: Group, best: Collection[int], label: int | None = None) -> Fault | None:
        """What is wrong with the label of an item, given as to `add`."""
        if _identical(shown, best):
            return "identical"
        opposed = any(each in self._said for each in _digests(shown, best, label, opposite=True))
        return "contradictory" if opposed else None


def faults(items: Iterable[Item], config: JudgeConfig) -> list[Fault | None]:
    """What is wrong with the label of each item, seen with all others; None where nothing is.

    Raises:
        GroupError: one of the texts is no text.
    """
    labels, all_shown = Labels(), [(item, _shown(item, config)) for item in items]
    for item, shown in all_shown:
        labels.add(shown, item.best, item.label)
    return [labels.fault(shown, item.best, item.label) for item, shown in all_shown]


def without_noise(items: Iterable[Item], config: JudgeConfig, left_out: Counter[str]) -> list[Item]:
    """The items whose labels can be learned from; the others are counted in `left_out`, by their fault.

    Raises:
        GroupError: one of the texts is no text.
    """
    items = list(items)
    found = faults(items, config)
    left_out.update(fault for fault in found if fault)
    return [item for item, fault in zip(items, found, strict=True) if fault is None]


def with_noise_marked(items: Iterable[Item], config: JudgeConfig) -> list[Item]:
    """The items, those whose label is noise with their fault under `NOISE` in `meta`.

    Raises:
        GroupError: one of the texts is no text.
    """
    items = list(items)
    return [
        replace(item, meta={**item.meta, NOISE: fault}) if fault else item
        for item, fault in zip(items, faults(items, config), strict=True)
    ]


def _shown(item: Item, config: JudgeConfig) -> Group:
    return sanitize(item.group, tuple(range(len(item.responses))), config)[0]


def _identical(shown: Group, best: Collection[int]) -> bool:
    texts = [_visible(text) for text in shown.responses]
    worse = {text for index, text in enumerate(texts) if index not in best}
    return any(texts[index] in worse for index in best)


def _digests(shown: Group, best: Collection[int], label: int | None, opposite: bool = False) -> Iterator[bytes]:
    """What an item says, one digest per pair of a better and a worse response; or the opposite of it."""
    prompt = _digest([[[turn.role, turn.content] for turn in shown.conversation], shown.reference, shown.rubric])
    texts = [_digest(_visible(text)) for text in shown.responses]
    if label is not None:
        yield _digest([prompt, texts[0], 1 - label if opposite else label])
        return
    for better in best:
        for worse in range(len(texts)):
            if worse not in best:
                pair = [texts[better], texts[worse]]
                yield _digest([prompt, pair[::-1] if opposite else pair])


def _visible(text: str) -> str:
    """Texts in which nothing can be seen are all the same."""
    return "" if shows_nothing(text) else text


def _digest(content: object) -> bytes:
    return hashlib.sha256(json.dumps(content, default=bytes.hex).encode()).digest()[:16]
