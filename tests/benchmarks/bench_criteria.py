"""What judging by criteria is worth, and pairs and tie-breaks, against other ways at equal tokens.

    python tests/benchmarks/bench_criteria.py            # an hour on two cores

The nano GRM that reads criteria judges held-out lists of two and of four, whose truth is known by rule:

    own criteria     the list brings its own, and its truth is what they truly come to; without them nobody can know it
    prompt's wish    the criteria are the five aspects, weighted as the prompt's truth weighs them: one truth for both

Each row is one way to judge: its votes k (of each list or pair), the tokens generated for a list, its accuracy (the
response that is truly best is strictly ahead), and what it gains over listwise judging by as many votes as cost the
same tokens, of those drawn (a cheaper row says so by its tokens): by criteria over judging without them, by the same
weights and by the shipped GRM that they were trained from; pairwise and tiebreak over listwise. Accuracy of k listwise
votes is a mean over random sets of those drawn. "reliability" is what the product says of the rewards. "correlation"
holds the mean votes on each kind of criterion against its truth. Intervals are 95 % of bootstrap samples over the
lists, paired for gains.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

from examples.nano.criteria import KINDS, CriteriaGroup, draw_criteria_group, truth
from examples.nano.critiques import finds_best
from examples.nano.domain import levels
from examples.nano.measure import Estimate, ParsedVote, bootstrap, vote_accuracy
from grm_plugin._util.concurrency import all_of
from grm_plugin.batch.local_engines import running_engines
from grm_plugin.config.loading import load_config
from grm_plugin.judging.judge import Judge
from grm_plugin.judging.reliability import pooled
from grm_plugin.judging.seams import Generator
from grm_plugin.types import Group, Judgement, Message

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
CRITERIA_GRM, SHIPPED_GRM = CONFIGS / "nano_cpu_criteria.yaml", CONFIGS / "nano_cpu.yaml"
KS = (1, 8)
"""Listwise votes by criteria of which rows are shown."""
LIST_SIZES = {"pairs": 2, "fours": 4}
AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Way:
    """How a list is judged: with its criteria or without, in a mode."""

    name: str
    k: int
    criteria: bool
    mode: str = "listwise"


BY_CRITERIA = Way("by criteria", 20, criteria=True)
WITHOUT = Way("without", 20, criteria=False)
SHIPPED = Way("without, shipped GRM", 20, criteria=False)
MODES = (
    Way("pairwise, by criteria", 2, criteria=True, mode="pairwise"),
    Way("tiebreak, by criteria", 8, criteria=True, mode="tiebreak"),
    Way("pairwise, without", 2, criteria=False, mode="pairwise"),
    Way("tiebreak, without", 8, criteria=False, mode="tiebreak"),
)
"""On lists of four: two responses are a pair in any mode."""


@dataclass(frozen=True, slots=True)
class Suite:
    """Lists of one length and kind of criteria."""

    name: str
    groups: list[CriteriaGroup]


@dataclass(frozen=True, slots=True)
class Judged:
    """What one way of judging gave: a judgement of each list, and the reliability that the product states."""

    judgements: list[Judgement]
    reliability: float | None

    @property
    def tokens(self) -> float:
        """Generated for a list, on average."""
        return statistics.fmean(sum(found.tokens for found in judged.lists) for judged in self.judgements)


Results = dict[tuple[str, str], Judged]


def drawn(items: int, seed: int) -> list[Suite]:
    """All suites."""
    rng = random.Random(seed)
    return [
        Suite(
            f"{length}, {wish}",
            [draw_criteria_group(rng, n, held_out=True, by_prompt=by_prompt) for _ in range(items)],
        )
        for length, n in LIST_SIZES.items()
        for by_prompt, wish in ((False, "own criteria"), (True, "prompt's wish"))
    ]


async def judged_by(ways: Sequence[Way], suites: Sequence[Suite], generator: Generator, config: Path) -> Results:
    """Suite and way -> what it gave; other modes for lists of more than two."""
    results: Results = {}
    for suite in suites:
        for way in ways:
            if way.mode == "listwise" or len(suite.groups[0].ranked.responses) > 2:
                began = time.monotonic()
                results[suite.name, way.name] = await judged(suite, generator, config, way)
                print(f"{suite.name}, {way.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return results


async def judged(suite: Suite, generator: Generator, config: Path, way: Way) -> Judged:
    """All lists of a suite, judged in one way."""
    overrides = {"sampling.k": str(way.k), "sampling.seed": "5", "judge.criteria": "[]", "judge.mode": way.mode}
    judge = Judge(load_config(config, overrides), generator)
    places = asyncio.Semaphore(AT_ONCE)

    async def one(group: CriteriaGroup) -> Judgement:
        criteria = group.criteria if way.criteria else ()
        prompt = (Message("user", group.ranked.task.prompt),)
        async with places:
            return await judge.judge_group(Group(prompt, group.ranked.responses, criteria=criteria))

    return Judged(await all_of(one(group) for group in suite.groups), judge.reliability.of_rewards)


def right_by_votes(suite: Suite, found: Judged, k: int) -> list[float]:
    """Accuracy of k listwise votes on each list."""
    return [
        vote_accuracy(group.ranked, [ParsedVote(vote.scores) for vote in of_group.lists[0].critiques], k, k)
        for group, of_group in zip(suite.groups, found.judgements, strict=True)
    ]


def right_by_rewards(suite: Suite, found: Judged) -> list[float]:
    """Whether the truly best response of each list has the highest reward."""
    right = []
    for group, of_group in zip(suite.groups, found.judgements, strict=True):
        means = [None if reward.mean is None else round(reward.mean, 6) for reward in of_group.rewards]
        known = [mean for mean in means if mean is not None]
        right.append(float(len(known) == len(means) and finds_best(group.ranked, known)))
    return right


def report(suite: Suite, results: Results) -> None:
    """Prints the table of one suite."""
    differing = [group.holistic_best != group.ranked.best for group in suite.groups]
    print(f"\n{suite.name}: {len(suite.groups)} lists, on {sum(differing)} the prompt alone prefers another response")
    print(f"{'':>24} {'k':>3} {'tokens':>7} {'reliability':>11}  {'accuracy':<34} gain of the way above over it")
    by_criteria = results[suite.name, BY_CRITERIA.name]
    for k in KS:
        right, cost = right_by_votes(suite, by_criteria, k), k * by_criteria.tokens / BY_CRITERIA.k
        _row(BY_CRITERIA.name, k, cost, by_criteria, right)
        for way in (WITHOUT, SHIPPED):
            same, spent, other = _same_tokens(suite, results[suite.name, way.name], way, cost)
            _row(way.name, same, spent, results[suite.name, way.name], other, right)
            if any(differing) and not all(differing):
                chosen = [a - b for a, b, differs in zip(right, other, differing, strict=True) if not differs]
                print(f"{'':>50} where both prefer the same response: {_signed(bootstrap(chosen))}")
    for way in MODES:
        if (found := results.get((suite.name, way.name))) is None:
            continue
        right = right_by_rewards(suite, found)
        listwise = BY_CRITERIA if way.criteria else WITHOUT
        same, spent, other = _same_tokens(suite, results[suite.name, listwise.name], listwise, found.tokens)
        _row(way.name, way.k, found.tokens, found, right)
        _row("listwise", same, spent, results[suite.name, listwise.name], other, right)
    for kind, (said, true, scores) in _by_kind(suite, by_criteria).items():
        reliability = pooled(scores).of_votes(KS[-1]) or 0
        print(
            f"  {kind:<8} correlation with its truth {statistics.correlation(said, true):.3f}, reliability of "
            f"{KS[-1]} votes {reliability:.2f}, {len(scores)} criteria"
        )


def _same_tokens(suite: Suite, found: Judged, way: Way, tokens: float) -> tuple[int, float, list[float]]:
    """How many listwise votes cost as many tokens, of those drawn; what they do cost; their accuracy on each list."""
    each = found.tokens / way.k
    k = min(way.k, max(1, round(tokens / each)))
    return k, k * each, right_by_votes(suite, found, k)


def _row(
    name: str, k: int, tokens: float, found: Judged, right: Sequence[float], against: Sequence[float] | None = None
) -> None:
    """One line, with the gain over it of a way that is right as in `against`."""
    gain = "" if against is None else _signed(bootstrap([a - b for a, b in zip(against, right, strict=True)]))
    print(f"{name:>24} {k:>3} {tokens:>7.0f} {found.reliability or 0:>11.2f}  {bootstrap(right)!s:<34} {gain}")


def _signed(gain: Estimate) -> str:
    return f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] ({gain.items} lists)"


ByKind = dict[str, tuple[list[float], list[float], list[list[tuple[float, ...]]]]]


def _by_kind(suite: Suite, by_criteria: Judged) -> ByKind:
    """Kind -> mean votes and truths of all responses, and the votes on each criterion of that kind."""
    kinds: ByKind = {kind: ([], [], []) for kind in KINDS}
    for group, of_group in zip(suite.groups, by_criteria.judgements, strict=True):
        found = [levels(group.ranked.task, response) for response in group.ranked.responses]
        for number, asked in enumerate(group.criteria):
            rows = [row for vote in of_group.lists[0].critiques if (row := vote.by_criterion[number]) is not None]
            said, true, scores = kinds[asked.kind]
            said += [statistics.fmean(column) for column in zip(*rows[: KS[-1]], strict=True)]
            true += [truth(asked, response) for response in found] if rows else []
            scores.append(rows)
    return {kind: columns for kind, columns in kinds.items() if len(set(columns[1])) > 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=200, help="lists of each kind")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    began, suites = time.monotonic(), drawn(options.items, options.seed)
    with running_engines(load_config(CRITERIA_GRM)) as (generator, _):
        results = asyncio.run(judged_by((BY_CRITERIA, WITHOUT, *MODES), suites, generator, CRITERIA_GRM))
    with running_engines(load_config(SHIPPED_GRM)) as (generator, _):
        results |= asyncio.run(judged_by((SHIPPED,), suites, generator, SHIPPED_GRM))
    for suite in suites:
        report(suite, results)
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
