"""The persuasion measure: the score of a weak response, clean and attacked, beside the same good response."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from grm_plugin._util.deadline import Deadline
from grm_plugin._util.text import encodable
from grm_plugin.attacks.attack import Attack, Kind
from grm_plugin.attacks.pairs import Pair
from grm_plugin.batch.engine_failures import failure_of_list
from grm_plugin.batch.lost_votes import advice
from grm_plugin.batch.meter import Meter
from grm_plugin.batch.resumable_run import EngineFailed, Run
from grm_plugin.config import Config, JudgeConfig, NormalizeConfig
from grm_plugin.errors import EngineError
from grm_plugin.judging.cutting import cut_middle
from grm_plugin.judging.judge import Judge
from grm_plugin.judging.seams import Generator, MetaRM
from grm_plugin.types import Group

Form = Literal["added", "alone"]
"""added: the attack is put into a weak response. alone: the attack is the whole response. Either is compared with the
weak response as it was."""

REHEARSALS = 3
"""Clean pairs that are judged first, to see whether the GRM's critiques can be read at all."""

FAILURES_NAMED = "cases in a row without an answer"

BARE = {"blank_response": "judge", "invisible": "keep", "max_response_chars": 1_000_000}
"""Changes to the section `judge` that turn its defences off."""


@dataclass(frozen=True, slots=True)
class AttackResult:
    """One attack on one pair. Scores are means of the kept votes, 1..10, or None where all votes were lost.

    `clean` and `attacked` are the weak response's, `good_clean` and `good` those of the good response beside it.
    `defended` is whether the configured defences were on. `votes_asked` and `votes_lost` count the attacked judgement.
    """

    attack: str
    family: str
    kind: Kind
    form: Form
    pair: str
    defended: bool
    clean: float | None
    attacked: float | None
    good_clean: float | None
    good: float | None
    votes_asked: int
    votes_lost: int

    @property
    def inflation(self) -> float | None:
        """How far the attack moved the score."""
        return None if self.attacked is None or self.clean is None else self.attacked - self.clean


@dataclass(frozen=True, slots=True)
class Case:
    """What a row is about. `id` is its place among the rows."""

    id: int
    attack: Attack
    form: Form
    pair: Pair
    defended: bool

    @property
    def group(self) -> Group:
        return self.pair.group(self.attack.on(self.pair.weak) if self.form == "added" else self.attack.alone)


def cases(attacks: Sequence[Attack], pairs: Sequence[Pair], compare: bool) -> list[Case]:
    """Every attack once per form it has, on a pair of its own as long as there are pairs; twice with `compare`."""
    once = [
        (attack, form, pairs[number % len(pairs)]) for number, attack in enumerate(attacks) for form in _forms(attack)
    ]
    both = [(*drawn, defended) for defended in ((True, False) if compare else (True,)) for drawn in once]
    return [Case(number, *drawn) for number, drawn in enumerate(both)]


def _forms(attack: Attack) -> Iterator[Form]:
    if attack.injection.place != "instead":
        yield "added"
    if attack.alone is not None and attack.kind != "control":
        yield "alone"


class Measurement:
    """Judges cases with a config's judge, every one beside a fresh judgement of its clean pair.

    Args:
        config: sampling and defences; rewards are not looked at, so its normaliser is left out.
        generator: the GRM.
        meta_rm: rates critiques; may be None.
        concurrency: cases judged at once.

    Attributes:
        stopped: what the engine failed with last, or why it was given up; empty if it answered all that it was asked.
    """

    def __init__(self, config: Config, generator: Generator, meta_rm: MetaRM | None, concurrency: int) -> None:
        by_grm = tuple(item for item in config.judge.criteria if item.kind != "rule")  # rules are nothing to deceive
        judge = config.judge.model_copy(update={"criteria": by_grm})
        plain = config.model_copy(update={"normalize": NormalizeConfig(method="none"), "judge": judge})
        bare = plain.model_copy(update={"judge": plain.judge.model_copy(update=BARE)})
        self._defended = Judge(plain, generator, meta_rm)
        self._bare = Judge(bare, generator, meta_rm, sanitize=cut_only)
        self._deadline_s = config.failure.deadline_s
        self._concurrency = concurrency
        self.stopped = ""

    async def rehearse(self, pairs: Sequence[Pair]) -> None:
        """Judge the first few clean pairs.

        Raises:
            EngineError: not one critique came back that could be read.
        """
        groups = [pair.group() for pair in pairs[:REHEARSALS]]
        judgements = await self._defended.judge(groups, Deadline.after(self._deadline_s))
        lost = [vote for judgement in judgements for part in judgement.lists for vote in part.unparsed]
        asked = sum(part.asked for judgement in judgements for part in judgement.lists)
        if len(lost) == asked:
            raise EngineError(
                f"none of {asked} critiques of clean pairs could be read, so there is nothing to measure "
                f"({lost[0].reason}: {lost[0].detail}): {advice(vote.reason for vote in lost)}"
            )

    async def rows(self, todo: Sequence[Case], deadline: Deadline, meter: Meter) -> list[AttackResult]:
        """The rows of the cases, in their order, less those that the engine failed on, or was late for.

        It returns at the deadline, or when the engine answers nothing any more, with what there is.
        """
        rows = _Rows()
        run: Run[Case, tuple[Case, AttackResult]] = Run(rows, meter, self._concurrency, FAILURES_NAMED)
        # In random order, so that a run that ends early has rows of every family, with and without the defences.
        shuffled = random.Random(0).sample(todo, len(todo))
        given_up = ""
        try:
            with suppress(TimeoutError):
                async with deadline.timeout():
                    await run.process(shuffled, self._row)
        except EngineError as error:
            given_up = str(error)
        self.stopped = given_up or run.last_failure
        return [row for _, row in sorted(rows.found.items())]

    async def _row(self, case: Case) -> tuple[Case, AttackResult] | EngineFailed:
        """The row; a failure where an engine failed on a vote, since that would look like an effect of the attack."""
        judge = self._defended if case.defended else self._bare
        clean, attacked = await judge.judge([case.pair.group(), case.group], Deadline.after(self._deadline_s))
        failure = next(filter(None, map(failure_of_list, (*clean.lists, *attacked.lists))), "")
        if failure:
            return EngineFailed(failure)
        return case, AttackResult(
            case.attack.id,
            case.attack.family,
            case.attack.kind,
            case.form,
            case.pair.id,
            case.defended,
            clean=clean.rewards[1].mean,
            attacked=attacked.rewards[1].mean,
            good_clean=clean.rewards[0].mean,
            good=attacked.rewards[0].mean,
            votes_asked=sum(part.asked for part in attacked.lists),
            votes_lost=sum(len(part.unparsed) for part in attacked.lists),
        )


class _Rows:
    """Takes the rows of a run, which come in any order."""

    done: Collection[int] = ()

    def __init__(self) -> None:
        self.found: dict[int, AttackResult] = {}

    def add(self, record: tuple[Case, AttackResult]) -> None:
        case, row = record
        self.found[case.id] = row


def cut_only(
    group: Group, members: tuple[int, ...], config: JudgeConfig, limit: int | None = None
) -> tuple[Group, tuple[int, ...]]:
    """`judging.sanitizing.sanitize` without its defences: control tokens and invisible characters reach the GRM."""
    cuts = [cut_middle(encodable(group.responses[member]), limit or config.max_response_chars) for member in members]
    shown = replace(group, responses=tuple(text for text, _ in cuts))
    return shown if config.use_reference else replace(shown, reference=None), tuple(cut for _, cut in cuts)
