"""Pins: what the official code of a benchmark says of small inputs, or of published files, kept as numbers.

A pin is a file tests/official/NAME.json:

    suite     the benchmark's name here
    code      the repository of the official code; `version` and `commit` of it, and the `date` on which it was run
    verified  whether the official code was run; false: its published formulas were applied
    judge     "generative" or "scalar"
    pairs     true where the judge reads nothing but pairs; left out else
    note      how votes became what the official code takes
    files     name of a file -> its rows, in the benchmark's published columns; or instead of files and votes
    data      {"files": published files below GRM_BENCH_DATA, "judge": NAME of a pseudo judge}, or "judge": "recorded"
              with "recorded": the published file of a judge's answers
    votes     id of an item -> its votes, {"scores": numbers or null for a lost vote, "order": as in a vote store}
    figures   part of the benchmark -> the official figure in [0, 1] (`Ties margin size`: in [-1, 1]); "" is all of it

`python tests/official` compares them with ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from grm_plugin.batch.items import Item
from grm_plugin.batch.vote_store import ItemVotes, Manifest, StoredVote
from grm_plugin.config import JudgeConfig
from grm_plugin.errors import ConfigError
from grm_plugin.evals.analysis import analyse
from grm_plugin.evals.benchmarks.suites import load_items
from grm_plugin.evals.official.rules import RULES
from grm_plugin.evals.voting_methods import SCALAR
from support.paths import ROOT
from support.pseudo_judges import PSEUDO_JUDGES
from support.recorded_outputs import REAL
from support.score_files import write_lines

PINS = ROOT / "tests" / "official"

RECORDED_SCORES = {"A>B": (10.0, 1.0), "B>A": (1.0, 10.0), "A=B": (5.5, 5.5)}
"""What a recorded decision counts as, in the order that was shown: as `judge.answer: verdict` reads it."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One pin; the fields are described at the head of this file."""

    name: str
    suite: str
    code: str
    version: str
    commit: str
    date: str
    verified: bool
    judge: Literal["generative", "scalar"]
    note: str
    figures: Mapping[str, float]
    pairs: bool = False
    files: Mapping[str, list[dict[str, Any]]] | None = None
    votes: Mapping[str, list[dict[str, Any]]] | None = None
    data: Mapping[str, Any] | None = None

    @property
    def at_hand(self) -> bool:
        """Whether everything that the pin needs is here: published files are no part of the project."""
        paths = [*self.data["files"], self.data.get("recorded", "")] if self.data else []
        return all((REAL / path).exists() for path in paths)


def read_pin(path: Path) -> Pin:
    """The pin in a file.

    Raises:
        ConfigError: it is no pin; the message names file and field.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from None
    known = {field.name for field in fields(Pin)} - {"name"}
    needed = known - {"pairs", "files", "votes", "data"}
    if faults := (needed - set(content)) | (set(content) - known):
        raise ConfigError(
            f"{path}: missing or unknown: {', '.join(sorted(faults))}. Each pin has {', '.join(sorted(needed))}"
        )
    if ("data" in content) == ("files" in content and "votes" in content):
        raise ConfigError(f"{path}: give either data, or files and votes")
    return Pin(path.stem, **content)


def all_pins(folder: Path = PINS) -> list[Pin]:
    """The pins in a folder, by name."""
    return [read_pin(path) for path in sorted(folder.glob("*.json"))]


def figures_of(manifest: Manifest, records: list[ItemVotes]) -> dict[str, float]:
    """Part -> our official figure, of the method that uses all votes."""
    method = SCALAR if manifest.judge == "scalar" else f"@{manifest.k}"
    return {row.part: row.value for row in analyse(manifest, records).official if row.method == method}


def require_version(pin: Pin) -> None:
    """Check that a pin's numbers come from the version of the code whose rule the product follows.

    Args:
        pin: the pin.

    Raises:
        ConfigError: they come from another code or version, or there is no rule for the suite.
    """
    if pin.suite not in RULES:
        raise ConfigError(f"pin {pin.name} is of suite {pin.suite}, for which there is no official rule")
    code, version = RULES[pin.suite].code, RULES[pin.suite].version
    if (pin.code, pin.version) != (code, version):
        of = f"{code} {version}" if pin.code != code else version
        raise ConfigError(
            f"pin {pin.name} of {pin.code} {pin.version}, but the rule is of {of}: run the official code again"
        )


def records_of(pin: Pin, folder: Path) -> tuple[Manifest, list[ItemVotes]]:
    """A pin as a vote store: what `grm_plugin.evals.analysis.analyse` takes.

    Args:
        pin: a pin that is `at_hand`.
        folder: an empty folder for the pin's rows.

    Raises:
        ConfigError: the items that are read from the rows are not those that have votes.
    """
    items = list(_items(pin, folder))
    votes = _votes(pin, items)
    ids = {item.id for item in items}
    if ids != set(votes):
        strays = {"votes without an item": set(votes) - ids, "items without votes": ids - set(votes)}
        named = "; ".join(f"{what}: {', '.join(sorted(found)[:3])}" for what, found in strays.items() if found)
        raise ConfigError(f"pin {pin.name}: {named}")
    sizes = {len(given) for given in votes.values()}
    if len(sizes) != 1:
        raise ConfigError(f"pin {pin.name}: all items must have the same number of votes, not {sorted(sizes)}")
    manifest = Manifest(pin.suite, pin.name, sizes.pop(), None, {}, pin.judge)
    return manifest, [ItemVotes(item, (), votes[item.id], (0,) * len(item.responses)) for item in items]


def _items(pin: Pin, folder: Path) -> Iterator[Item]:
    judge = JudgeConfig(answer="verdict", list_size=2) if pin.pairs else None
    if pin.data is not None:
        for path in pin.data["files"]:
            yield from load_items(pin.suite, REAL / path, judge=judge).items
        return
    for name, rows in (pin.files or {}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_lines(path, *rows)
    yield from load_items(pin.suite, folder, judge=judge).items


def _votes(pin: Pin, items: list[Item]) -> dict[str, tuple[StoredVote, ...]]:
    if pin.data is None:
        return {
            name: tuple(_vote(vote["scores"], vote["order"]) for vote in given)
            for name, given in (pin.votes or {}).items()
        }
    if pin.data["judge"] == "recorded":
        return dict(_recorded(pin, REAL / pin.data["recorded"], items))
    score = PSEUDO_JUDGES[pin.data["judge"]]
    return {item.id: (_vote([score(text) for text in item.responses], range(len(item.responses))),) for item in items}


def _recorded(pin: Pin, path: Path, items: list[Item]) -> Iterator[tuple[str, tuple[StoredVote, ...]]]:
    """The published answers of a judge: a generative one was asked in both orders, a scalar one has logits."""
    rows = {row["pair_id"]: row for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    for item in items:
        there, back = rows[item.id.rpartition("/")[2]]["judgments"]
        if pin.judge == "scalar":
            yield item.id, (_vote(there["judgment"]["scores"], (0, 1)),)
        else:
            first, second = (RECORDED_SCORES.get(game and game["decision"]) for game in (there, back))
            yield item.id, (_vote(first, (0, 1)), _vote(second and second[::-1], (1, 0)))


def _vote(scores: Any, order: Any) -> StoredVote:
    if scores is None:
        return StoredVote(None, tuple(order), reason="no_scores")
    return StoredVote(tuple(map(float, scores)), tuple(order))
