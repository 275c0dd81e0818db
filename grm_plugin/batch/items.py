"""Labelled items, for evaluation and for training: a prompt, its responses, and which of them is the best.

Our own format is JSONL with one item per line:

    {"prompt": TEXT or MESSAGES, "responses": [TEXT, TEXT, ...], "best": INDEX or [INDEX, ...]}
    {"prompt": TEXT or MESSAGES, "responses": [TEXT], "label": 0 or 1}
    {"prompt": TEXT or MESSAGES, "chosen": TEXT or [TEXT, ...], "rejected": TEXT or [TEXT, ...]}

MESSAGES is a list of [{"role", "content"}, ...] as in OpenAI's chat API, with calls of tools; it may stand under
"messages" too. Wherever a response is a TEXT, it may also be a message, or a list of messages. Those of "chosen" and
"rejected" may repeat the prompt, which may then be absent, as in preference data sets on the Hugging Face hub.

A line may also have "id", "subset", "cluster", "reference", "rubric", "criteria", "source" and "meta" (an object of
anything else, which only hint templates of `grm-plugin spct rft-data` look at). Beside "chosen" and "rejected" further
columns are kept in "meta". `grm_plugin.evals.benchmarks.suites` reads benchmarks in the formats that they were
published in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from grm_plugin._util.digests import digest
from grm_plugin.batch.input_lines import parse_line, read_lines
from grm_plugin.batch.item_lines import PreferenceLine, item_line
from grm_plugin.conversation.messages import to_conversation, to_response
from grm_plugin.errors import ConfigError, WireError
from grm_plugin.judging.voting import lead
from grm_plugin.types import Conversation, Criterion, Group, Message, message_dicts


@dataclass(frozen=True, slots=True)
class Item:
    """One labelled item: n >= 2 responses of which some are the best, or one response that is right or wrong.

    Attributes:
        id: unique in its file or benchmark.
        conversation: what the responses answer.
        responses: n texts.
        best: for n >= 2, the indices of the best responses: at least one, mostly one, never all. Empty for n = 1.
        label: for n = 1, whether the response is right (1) or wrong (0); else None.
        subset: the part of the benchmark that it belongs to; may be empty.
        reference: a right answer that may be shown to the GRM.
        rubric: grading notes that may be shown to the GRM.
        criteria: what the responses are scored by, one by one.
        source: the task that the prompt comes from.
        meta: whatever else the source says; only a hint template of `grm-plugin spct rft-data` may look at it.
        cluster: what intervals treat as one draw: items with the same cluster stand or fall together. Empty: the items
            on the same prompt.

    Raises:
        WireError: there is no turn or no response, or `best` or `label` is missing, out of range, or not for this n.
    """

    id: str
    conversation: Conversation
    responses: tuple[str, ...]
    best: tuple[int, ...] = ()
    label: int | None = None
    subset: str = ""
    reference: str | None = None
    rubric: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    cluster: str = ""
    criteria: tuple[Criterion, ...] = ()
    source: str | None = None

    def __post_init__(self) -> None:
        n = len(self.responses)
        if not self.conversation or not n:
            raise WireError("an item needs a conversation of at least one turn and at least one response")
        if n == 1:
            _check_single(self)
        else:
            _check_best(self, n)

    @property
    def group(self) -> Group:
        """What the judge gets: everything but the label."""
        return Group(self.conversation, self.responses, self.reference, self.rubric, self.criteria, self.source)

    def is_right(self, scores: Sequence[float]) -> bool:
        """Whether every best response is strictly ahead of every other one (Eq. 10 of the paper; a tie is wrong).

        Args:
            scores: n >= 2 scores, or sums of scores, in the order of `responses`.
        """
        return lead(scores, self.best) > 0

    def to_json(self) -> dict[str, Any]:
        """This item as a line of our own format; `item_from_json` reads it back."""
        row: dict[str, Any] = {
            "id": self.id,
            "messages": message_dicts(self.conversation),
            "responses": list(self.responses),
        }
        if self.best:
            row["best"] = self.best[0] if len(self.best) == 1 else list(self.best)
        optional = {
            "label": self.label,
            "subset": self.subset or None,
            "cluster": self.cluster or None,
            "reference": self.reference,
            "rubric": self.rubric,
            "criteria": [asdict(criterion) for criterion in self.criteria] or None,
            "source": self.source,
            "meta": dict(self.meta) or None,
        }
        return row | {key: value for key, value in optional.items() if value is not None}


def item_from_json(row: Any, read_before: bool = False) -> Item:
    """The item that a line of our own format describes.

    Args:
        row: the line's JSON value.
        read_before: the line was made by `Item.to_json`: its texts are taken as they are, fences of tool calls too.

    Raises:
        WireError: a field is missing, unknown or wrong; the message names it.
    """
    line = item_line(row)
    if isinstance(line, PreferenceLine):
        conversation, responses, better = line.exchange()
        best, label, meta = list(range(better)), None, line.further
    else:
        best, label, meta = _indices(line.best), line.label, line.meta
        if read_before:
            conversation = tuple(Message(turn["role"], turn["content"]) for turn in line.messages or ())
            responses = tuple(map(str, line.responses))
        else:
            conversation = to_conversation(line.messages or [{"role": "user", "content": line.prompt}])
            responses = tuple(map(to_response, line.responses))
    return Item(
        id=digest(line.content()) if line.id is None else str(line.id),
        conversation=conversation,
        responses=responses,
        best=tuple(best),
        label=label,
        subset=line.subset,
        reference=line.reference,
        rubric=line.rubric,
        criteria=line.criteria,
        source=line.source,
        meta=meta,
        cluster=line.cluster,
    )


def read_items(path: Path) -> list[Item]:
    """The items of a file in our own format, in its order.

    Raises:
        WireError: a line is not an item, or has the id of an earlier one; the message names line and field.
        ConfigError: the file cannot be read, or is empty.
    """

    def parsed() -> Iterator[Item]:
        for number, text in read_lines(path):
            try:
                yield item_from_json(parse_line(text))
            except WireError as error:
                raise WireError(f"{path} line {number}: {error}") from None

    return check_items(parsed(), str(path))


def write_items(path: Path, items: Iterable[Item]) -> None:
    """Write items to a file in our own format.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8") as stream:
            for item in items:
                stream.write(json.dumps(item.to_json(), ensure_ascii=False, allow_nan=False) + "\n")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from None


def check_items(items: Iterable[Item], source: str) -> list[Item]:
    """The items as a list, after checking that their ids are unique.

    Args:
        items: in any order.
        source: where they come from, for the messages.

    Raises:
        WireError: two items have the same id.
        ConfigError: there is no item.
    """
    found: dict[str, Item] = {}
    for number, item in enumerate(items, start=1):
        if item.id in found:
            raise WireError(f"{source}: item {number} has the id {item.id!r} of an earlier one; ids must be unique")
        found[item.id] = item
    if not found:
        raise ConfigError(f"{source} holds no item")
    return list(found.values())


def _indices(best: int | list[int] | None) -> list[int]:
    if best is None:
        return []
    return best if isinstance(best, list) else [best]


def _check_single(item: Item) -> None:
    if item.best:
        raise WireError("best needs at least two responses; a single response has a label, 0 or 1")
    if item.label is None:
        raise WireError("label is missing: an item with one response needs 1 (right) or 0 (wrong)")
    if item.label not in (0, 1):
        raise WireError(f"label must be 0 or 1, not {item.label}")


def _check_best(item: Item, n: int) -> None:
    if item.label is not None:
        raise WireError("label is for a single response; name the best of several with best")
    if not item.best:
        raise WireError(f"best is missing: name the best of the {n} responses by its index, 0..{n - 1}")
    wrong = [index for index in item.best if not 0 <= index < n]
    if wrong:
        raise WireError(f"best must be an index in 0..{n - 1}, not {wrong[0]}")
    if len(set(item.best)) < len(item.best):
        raise WireError(f"best names a response twice: {list(item.best)}")
    if len(item.best) == n:
        raise WireError("best names all responses: at least one must be worse")
