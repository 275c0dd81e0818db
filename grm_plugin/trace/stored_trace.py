"""What the store keeps of a judged group: a row of numbers, the whole judgement as compressed JSON, and search text."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter
from pydantic_core import PydanticSerializationError

from grm_plugin._util.text import encodable
from grm_plugin.config import FailureConfig
from grm_plugin.errors import RewardError
from grm_plugin.judging.fallback import Settled, settle
from grm_plugin.types import Judgement, ListJudgement

PREVIEW_CHARS = 200
"""Length of the piece of the prompt that a list of groups shows."""

INDEXED_CHARS = 20_000
"""So much of each text can be searched for; the judgement holds all of it."""

_UNSPACED = re.compile(r"([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff])")
"""Characters of scripts that are written without spaces between words."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A judgement on its way to the store; `time` is in seconds since the epoch, `service` the service's name."""

    time: float
    service: str
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Trace:
    """The part of a trace that is kept as JSON.

    Attributes:
        judgement: the whole judgement.
        settled: what the trainer got for each response; empty if it got an error (`failure.policy` is `raise`, and a
            reward is missing).
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        alias_generator=lambda field: "unit" if field == "unit_mean" else field  # its name in every store so far
    )

    judgement: Judgement
    settled: tuple[Settled, ...]


_JSON = TypeAdapter(Trace)

_NOT_KEPT: Any = {"judgement": {"lists": {"__all__": {"grm_s", "meta_rm_s", "judged_by"}}}}
"""How a list was judged, not what came of it: for metrics, and to judge it again elsewhere."""


def settled_or_empty(judgement: Judgement, policy: FailureConfig) -> tuple[Settled, ...]:
    """What the failure policy makes of a judgement's rewards; empty if it raises."""
    try:
        return tuple(settle(judgement.rewards, policy))
    except RewardError:
        return ()


def pack(trace: Trace) -> bytes:
    """Compressed JSON. Lone surrogates, which JSON cannot carry, become U+FFFD."""
    try:
        text = _JSON.dump_json(trace, by_alias=True, exclude=_NOT_KEPT)
    except PydanticSerializationError:
        cleaned = _JSON.validate_python(_encodable(_JSON.dump_python(trace, by_alias=True)))
        text = _JSON.dump_json(cleaned, by_alias=True, exclude=_NOT_KEPT)
    return zlib.compress(text, 1)  # level 1: three times as fast as the default level, and a tenth larger


def unpack_json(body: bytes) -> bytes:
    """The JSON of a packed trace, which is also the form in which it is exported."""
    return zlib.decompress(body)


def unpack(body: bytes) -> Trace:
    """The trace that `pack` has packed."""
    return _JSON.validate_json(zlib.decompress(body))


def tells_stopped(body: bytes) -> bool:
    """Whether a packed trace says why its votes ended (`ListJudgement.stopped`). Those of 0.1.0 do not."""
    return b'"stopped":' in unpack_json(body)  # inside a text the quotes are escaped


def summary_row(entry: Entry, settled: tuple[Settled, ...]) -> dict[str, Any]:
    """The row of a judgement in the table `traces`: the value of each column (see `store_file.SCHEMA`).

    `reward_min`, `reward_max` and `reward_mean` are of the settled rewards, `spread` is the mean over the responses of
    the population standard deviation of their votes, and `bias` is `position_bias` as JSON, such as "[0.25,-0.25]".
    """
    judgement = entry.judgement
    rewards = [row.value for row in settled] or [row.value for row in judgement.rewards if row.value is not None]
    spreads = [row.spread for row in judgement.rewards if row.spread is not None and row.status == "ok"]
    bias = position_bias(judgement.lists)
    return {
        "time": entry.time,
        "service": _storable(entry.service),
        "preview": _storable(_question(judgement))[:PREVIEW_CHARS],
        "responses": len(judgement.rewards),
        "reward_min": min(rewards, default=None),
        "reward_max": max(rewards, default=None),
        "reward_mean": fmean(rewards) if rewards else None,
        "spread": fmean(spreads) if spreads else None,
        "asked": sum(judged.asked for judged in judgement.lists),
        "parsed": sum(len(judged.critiques) for judged in judgement.lists),
        "kept": sum(critique.kept for judged in judgement.lists for critique in judged.critiques),
        "fallbacks": sum(row.value is None for row in judgement.rewards),
        "latency_s": judgement.latency_s,
        "tokens": sum(judged.tokens for judged in judgement.lists),
        "bias": f"[{','.join(f'{value:.4f}' for value in bias)}]" if bias else None,
    }


def position_bias(lists: tuple[ListJudgement, ...]) -> list[float]:
    """How much a response wins or loses by its position in the list that the GRM reads.

    Per position: the mean of (the score given there - the mean score that this response has over all votes), in points
    of the 1..10 scale. 0 at every position for a GRM that does not mind the order. Empty without a list of two or more.
    """
    sums: dict[int, list[float]] = {}
    for judged in lists:
        if len(judged.members) < 2 or not judged.critiques:
            continue
        means = [fmean(scores) for scores in zip(*(critique.scores for critique in judged.critiques), strict=True)]
        for critique in judged.critiques:
            for position, index in enumerate(critique.order):
                sums.setdefault(position, []).append(critique.scores[index] - means[index])
    return [fmean(sums[position]) for position in sorted(sums)]


def searchable(judgement: Judgement) -> str:
    """The text that the search index holds of a judgement. Part of the store's format: see `store_file.VERSION`."""
    return spaced(" \n".join(_storable(text[:INDEXED_CHARS]) for text in _texts(judgement)))


def spaced(text: str) -> str:
    """Text with spaces around each Chinese, Japanese and Korean character: the index then finds words in a sentence."""
    return _UNSPACED.sub(r" \1 ", text)


def size_of(judgement: Judgement) -> int:
    """Characters of text in a judgement."""
    return sum(map(len, _texts(judgement)))


def _texts(judgement: Judgement) -> Iterator[str]:
    group = judgement.group
    yield from (turn.content for turn in group.conversation)
    yield from group.responses
    yield from (text for text in (group.reference, group.rubric) if text)
    for judged in judgement.lists:
        yield from (critique.whole for critique in judged.critiques)
        yield from (vote.text for vote in judged.unparsed)


def _question(judgement: Judgement) -> str:
    turns = judgement.group.conversation
    last = next((turn for turn in reversed(turns) if turn.role == "user"), turns[-1] if turns else None)
    return " ".join(last.content[: 4 * PREVIEW_CHARS].split()) if last else ""


def _storable(text: str) -> str:
    """Text that SQLite can hold and index."""
    return encodable(text).replace("\0", " ")


def _encodable(value: Any) -> Any:
    """The value with lone surrogates in all of its texts replaced."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {key: _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    return value
