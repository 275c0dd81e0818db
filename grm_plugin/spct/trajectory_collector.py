"""Asks a GRM for the trajectories of an item: some critiques sampled without a hint, and one with it."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from grm_plugin._util.deadline import Deadline
from grm_plugin._util.text import encodable
from grm_plugin.batch.engine_failures import failure_of
from grm_plugin.batch.items import Item
from grm_plugin.batch.resumable_run import EngineFailed
from grm_plugin.config import Config
from grm_plugin.errors import EngineError
from grm_plugin.judging.outcome import verdict_of
from grm_plugin.judging.sampling import Sampled, sample_all, sampling_of
from grm_plugin.judging.seams import Generator
from grm_plugin.spct.training_prompts import Presentation, TrainingPrompts, present
from grm_plugin.spct.trajectories import ItemTrajectories, Kind, Trajectory
from grm_plugin.types import Prompt, Sampling, Unparsed

UNREADABLE_TRAJECTORIES = 50
"""A run ends when none of its first trajectories, this many, can be read: such a GRM gives no training data."""


@dataclass(slots=True)
class TrajectoryCollector:
    """Asks for the trajectories of items.

    Attributes:
        config: of the GRM.
        prompts: renders the prompts.
        generator: the GRM.
        samples: trajectories without a hint per item (N_RFT; 3 in the paper).
        hinted: trajectories with a hint per item (1 in the paper).
        seed: of the orders and markers, and of sampling unless `sampling.seed` is set. An `openai` engine is given a
            seed only by `sampling.seed`.
        timeout_s: longest wait for one item, in seconds.
    """

    config: Config
    prompts: TrainingPrompts
    generator: Generator
    samples: int = 3
    hinted: int = 1
    seed: int = 0
    timeout_s: float = 1800.0
    _unread: Counter[str] = field(default_factory=Counter, init=False)
    _readable: bool = field(default=False, init=False)

    async def trajectories_of(self, item: Item) -> ItemTrajectories | EngineFailed:
        """The trajectories of an item, or what the engine failed with on one of them.

        Raises:
            GroupError: the item has more responses than the service ever shows together.
            PromptError: a template cannot be rendered.
        """
        shown = present(item, self.config, self.seed)
        requests: list[tuple[Kind, Prompt, Sampling]] = []
        if self.samples:
            requests.append(("plain", self.prompts.plain(shown), self._sampling(item, self.samples, 0)))
        if self.hinted:
            requests.append(("hinted", self.prompts.hinted(shown), self._sampling(item, self.hinted, 1)))
        deadline = Deadline.after(self.timeout_s)
        answers = await sample_all(self.generator, [(prompt, how) for _, prompt, how in requests], deadline)
        sampled = [(kind, each) for (kind, _, _), answer in zip(requests, answers, strict=True) for each in answer]
        if failure := failure_of(each for _, each in sampled if isinstance(each, Unparsed)):
            return EngineFailed(failure)
        return ItemTrajectories.of(item.id, shown, tuple(self._trajectory(shown, kind, each) for kind, each in sampled))

    def check_readable(self, record: ItemTrajectories) -> None:
        """Stop a run in which no trajectory can be read.

        Raises:
            EngineError: none of the first `UNREADABLE_TRAJECTORIES` trajectories could be read.
        """
        if self._readable:
            return
        self._readable = any(trajectory.scores is not None for trajectory in record.trajectories)
        self._unread.update(str(trajectory.reason) for trajectory in record.trajectories)
        if not self._readable and self._unread.total() >= UNREADABLE_TRAJECTORIES:
            reasons = ", ".join(f"{reason} {count}" for reason, count in self._unread.most_common())
            example = record.trajectories[-1].text[-200:]
            raise EngineError(
                f"none of the first {self._unread.total()} critiques could be read ({reasons}): use the GRM's own "
                f"prompt template (judge.template), and enough sampling.max_tokens. One ends: {example!r}"
            )

    def _sampling(self, item: Item, n: int, request: int) -> Sampling:
        options = self.config.sampling
        seed = options.seed
        if seed is None and self.config.engine.type != "openai":  # some servers return n equal samples for a seed
            seed = self.seed
        mixed = None if seed is None else _seed_of(f"{seed} {item.id} {request}")
        return sampling_of(options, n, mixed)

    def _trajectory(self, shown: Presentation, kind: Kind, sampled: Sampled) -> Trajectory:
        if isinstance(sampled, Unparsed):
            return Trajectory(kind=kind, text=sampled.text, right=False, reason=sampled.reason, tokens=sampled.tokens)
        verdict = verdict_of(sampled, shown.target, self.config.judge.decimals, self.config.sampling.max_tokens)
        return Trajectory(
            kind=kind,
            text=encodable(sampled.text),
            right=verdict.right,
            scores=verdict.scores,
            reason=verdict.reason,
            tie=verdict.tie,
            tokens=sampled.tokens,
        )


def _seed_of(text: str) -> int:
    """A seed computed from a text, the same in every process."""
    return random.Random(text).getrandbits(31)
