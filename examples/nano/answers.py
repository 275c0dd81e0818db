"""Draws answers to a task: clean ones damaged aspect by aspect, and garbled ones that no careful writer would produce.

The garbled kind is what a policy writes while it explores: spliced closings, junk words, missing full stops, cut, empty
or repeated answers. A GRM that never saw them can be fooled by them.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Mapping

from examples.nano.domain import ASPECTS, CATEGORIES, COUNTS, KIND, NEUTRAL, RUDE, SEPARATORS, VERBS, Task

CLOSINGS = (*KIND, *NEUTRAL, *RUDE)
ALL_ITEMS = tuple(item for items in CATEGORIES.values() for item in items)
OTHER_WORDS = (*CATEGORIES, *ASPECTS, *VERBS, "use", "matters", "most", "commas", "dashes", "slashes", "plus", "signs")
CLOSING_WORDS = tuple(word for closing in CLOSINGS for word in re.findall(r"\w+", closing))
_PIECE = re.compile(r"\s*(?:\w+|[^\w\s])")


def even_damage(probability: float) -> dict[str, float]:
    """The same damage probability for every aspect."""
    return dict.fromkeys(ASPECTS, probability)


def draw_answer(task: Task, rng: random.Random, damage: Mapping[str, float]) -> str:
    """An answer whose aspects are spoilt independently with these probabilities; `even_damage(0)` makes it perfect."""
    spoilt = {aspect: rng.random() < damage[aspect] for aspect in ASPECTS}
    count = task.count
    if spoilt["Length"]:
        count = rng.choice([c for c in range(1, max(COUNTS) + 3) if c != task.count and abs(c - task.count) <= 3])
    items = rng.sample(CATEGORIES[task.category], count)
    if spoilt["Accuracy"]:
        foreign = [item for item in ALL_ITEMS if item not in CATEGORIES[task.category]]
        for place in rng.sample(range(count), rng.randint(1, count)):
            items[place] = rng.choice(foreign)
    if spoilt["Variety"] and count > 1:
        for place in rng.sample(range(1, count), rng.randint(1, min(3, count - 1))):
            items[place] = items[rng.randrange(place)]
    signs = [SEPARATORS[task.separator]] * (count - 1)
    if spoilt["Format"] and signs:
        wrong = [sign for name, sign in SEPARATORS.items() if name != task.separator]
        one = rng.choice(wrong)
        for place in rng.sample(range(len(signs)), rng.randint(1, len(signs))):
            signs[place] = one if rng.random() < 0.7 else rng.choice(wrong)
    closing = rng.choice((*NEUTRAL, "", *RUDE)) if spoilt["Courtesy"] else rng.choice(KIND)
    body = items[0] + "".join(sign + item for sign, item in zip(signs, items[1:], strict=True))
    return f"{body}. {closing}".rstrip()


def garble(answer: str, rng: random.Random) -> str:
    """Applies one to three random faults of an untidy writer to an answer."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        answer = rng.choice(_FAULTS)(answer, rng)
    return answer


def _splice_closing(answer: str, rng: random.Random) -> str:
    head, tail = (re.findall(_PIECE, rng.choice(CLOSINGS)) for _ in range(2))
    closing = "".join(head[: rng.randint(1, len(head))] + tail[rng.randrange(len(tail)) :])
    return f"{answer.partition('.')[0]}. {closing}"


def _invent_closing(answer: str, rng: random.Random) -> str:
    vocabulary = rng.choice((CLOSING_WORDS, CLOSING_WORDS, (*CLOSING_WORDS, *OTHER_WORDS, *ALL_ITEMS)))
    words = rng.choices(vocabulary, k=rng.randint(1, 5))
    return f"{answer.partition('.')[0]}. {' '.join(words)}{rng.choice(('!', '.', ''))}"


def _second_closing(answer: str, rng: random.Random) -> str:
    return f"{answer} {rng.choice(CLOSINGS)}"


def _junk_item(answer: str, rng: random.Random) -> str:
    junk = rng.choice((*OTHER_WORDS, *CLOSING_WORDS, "".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 7)))))
    return _edit(answer, rng, lambda pieces, at: [*pieces[:at], " " * (at > 0) + junk, *pieces[at + 1 :]])


def _drop_piece(answer: str, rng: random.Random) -> str:
    return _edit(answer, rng, lambda pieces, at: pieces[:at] + pieces[at + 1 :])


def _double_piece(answer: str, rng: random.Random) -> str:
    return _edit(answer, rng, lambda pieces, at: [*pieces[: at + 1], *pieces[at:]])


def _swap_piece(answer: str, rng: random.Random) -> str:
    other = rng.choice([*(f" {word}" for word in (*ALL_ITEMS, *CLOSING_WORDS)), *".!,", " +", " -", " /"])
    return _edit(answer, rng, lambda pieces, at: [*pieces[:at], other, *pieces[at + rng.randint(0, 1) :]])


def _cut(answer: str, rng: random.Random) -> str:
    return _edit(answer, rng, lambda pieces, at: pieces[: at + 1])


def _drop_stop(answer: str, _: random.Random) -> str:
    return answer.replace(".", "", 1)


def _repeat(answer: str, rng: random.Random) -> str:
    return rng.choice((" ", ", ", " + ", "")).join([answer] * rng.choice((2, 2, 3)))


def _empty(_: str, rng: random.Random) -> str:
    return rng.choice(("", "", ".", " ", rng.choice(CLOSINGS)))


def _shuffle_pieces(answer: str, rng: random.Random) -> str:
    pieces = re.findall(_PIECE, answer)
    rng.shuffle(pieces)
    return "".join(pieces).strip()


def _edit(answer: str, rng: random.Random, change: Callable[[list[str], int], list[str]]) -> str:
    pieces = re.findall(_PIECE, answer)
    return "".join(change(pieces, rng.randrange(len(pieces)))).strip() if pieces else answer


_FAULTS: tuple[Callable[[str, random.Random], str], ...] = (
    _splice_closing,
    _splice_closing,
    _invent_closing,
    _invent_closing,
    _second_closing,
    _junk_item,
    _drop_piece,
    _double_piece,
    _swap_piece,
    _swap_piece,
    _cut,
    _drop_stop,
    _repeat,
    _empty,
    _shuffle_pieces,
)
