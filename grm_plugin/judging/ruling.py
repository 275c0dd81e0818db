"""The user's rules for a group: which decide that the GRM is not asked, and what each says of every response."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from grm_plugin._util.concurrency import let_go
from grm_plugin._util.deadline import Deadline
from grm_plugin.config import JudgeConfig
from grm_plugin.judging.seams import Rules
from grm_plugin.types import Criterion, Group, RuleScore

LATE = RuleScore(problem="it had not answered by the deadline")


def asks_grm(group: Group, judge: JudgeConfig) -> bool:
    """Whether the GRM is asked about those responses of a group that no gate stops.

    Args:
        group: with the criteria that it is judged by (`judging.applying`).
        judge: says for which samples the GRM is asked for an overall score.
    """
    return bool(group.criteria) or judge.asks_overall(group.source)


@dataclass(slots=True)
class Ruling:
    """What the rules say of the responses of one group, as far as they have answered.

    `said[index][name]` is what the rule of that name says of response `index`.
    """

    judge: JudgeConfig
    rules: Rules | None
    deadline: Deadline
    said: dict[int, dict[str, RuleScore]] = field(default_factory=dict)

    async def let_through(self, group: Group, members: Iterable[int]) -> tuple[int, ...]:
        """Those of the members that no gate stops."""
        members = tuple(members)
        gates = [rule for rule in self.judge.rules_for(group.source) if rule.name in self.judge.gates]
        await self._ask(group, members, gates)
        return tuple(index for index in members if not self.stopped(index))

    async def ask_rest(self, group: Group, members: Iterable[int]) -> None:
        """Have the members ruled by all that are no gates."""
        rest = [rule for rule in self.judge.rules_for(group.source) if rule.name not in self.judge.gates]
        await self._ask(group, tuple(members), rest)

    def stopped(self, index: int) -> bool:
        """Whether a gate says 0 of this response."""
        said = self.said.get(index, {})
        return any(name in self.judge.gates and score.value == 0 for name, score in said.items())

    async def _ask(self, group: Group, members: tuple[int, ...], rules: list[Criterion]) -> None:
        if self.rules is None or not rules or not members:
            return
        tasks = {
            (index, rule.name): asyncio.create_task(
                self.rules.score(
                    *(rule.name, group.conversation, group.responses[index], group.reference, group.source),
                    deadline=self.deadline,
                )
            )
            for index in members
            for rule in rules
        }
        try:
            await asyncio.wait(tasks.values(), timeout=self.deadline.left_s)
            for (index, name), task in tasks.items():
                self.said.setdefault(index, {})[name] = _score_of(task) if task.done() else LATE
        finally:
            let_go(*tasks.values())


def _score_of(task: asyncio.Task[RuleScore]) -> RuleScore:
    error = task.exception()
    return RuleScore(problem=f"{type(error).__name__}: {error}") if error else task.result()
