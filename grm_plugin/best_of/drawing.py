"""The run of `grm-plugin sample`: draws the samples that a store lacks from the policy of a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from grm_plugin._util.concurrency import all_of, unless_cancelled_within
from grm_plugin._util.deadline import Deadline, working_until
from grm_plugin.batch.local_engines import running_engines
from grm_plugin.batch.meter import Meter
from grm_plugin.batch.resumable_run import EngineFailed, Run
from grm_plugin.best_of.problems import Problem, Sample
from grm_plugin.best_of.reading import FILE_NAME
from grm_plugin.best_of.sample_store import SampleStore
from grm_plugin.config import Config
from grm_plugin.engines.fingerprint import model_name, policy_fingerprint
from grm_plugin.errors import EngineError
from grm_plugin.judging.seams import CountsTokens, Generator, check_completions
from grm_plugin.types import Completion, Prompt, Sampling

PER_REQUEST = 32
"""Most samples that one request asks for."""

DEADLINE_S = 3600.0
"""Longest wait for the samples of one problem. What comes later is lost, and the next run draws them again."""


class DrawMeter(Meter):
    """Counts problems and the samples and tokens drawn for them."""

    def __init__(self, console: Console, total: int, done_before: int) -> None:
        super().__init__(console, "problems", total, done_before)
        self.samples = self.tokens = self.cut = 0

    def count(self, record: Problem) -> None:
        self.samples += len(record.samples)
        self.tokens += sum(sample.tokens or 0 for sample in record.samples)
        self.cut += sum(sample.finish == "length" for sample in record.samples)
        super().count(record)

    @property
    def rates(self) -> str:
        return f"{self.samples / self.seconds:,.1f} samples/s  {self.tokens / self.seconds:,.0f} tokens/s"

    @property
    def summary(self) -> str:
        parts = [self.counts]
        if self.done_now:
            parts.append(f"{self.samples:,} samples now, {self.rates.replace('  ', ', ')}")
        if self.cut:
            parts.append(f"{self.cut:,} of them cut at sampling.max_tokens")
        return "; ".join(parts)


def draw_samples(config: Config, problems: Sequence[Problem], folder: Path, n: int, concurrency: int) -> int:
    """Draw samples until every problem has n, and say on stderr how far it got.

    Args:
        config: `engine` is the policy, `sampling` says how it is sampled.
        problems: what to sample; the samples that they bring are not looked at.
        folder: of the store.
        n: samples per problem. A store with fewer gets the missing ones; one with more stays as it is.
        concurrency: problems worked on at once.

    Returns:
        The exit status of the command.

    Raises:
        ConfigError: the store is in use, cannot be written, or is one of another policy or of other prompts.
    """
    console = Console(stderr=True)
    with SampleStore(folder, model_name(config.engine), policy_fingerprint(config), n) as store:
        store.require_same(problems)
        meter = DrawMeter(console, len(problems), sum(problem.id in store.done for problem in problems))
        run: Run[Problem, Problem] = Run(store, meter, concurrency, "problems in a row without samples")
        ended = run.carry_out(partial(_draw_all, config, run, problems, store))
    summary = f"{folder / FILE_NAME}: {meter.summary}"
    if ended.missing:
        summary += f"; {ended.missing:,} problems have fewer than {n} samples: {ended.reason}. The same command goes on"
    console.print(summary, soft_wrap=True, markup=False, highlight=False)
    return ended.status


async def _draw_all(
    config: Config, run: Run[Problem, Problem], problems: Sequence[Problem], store: SampleStore
) -> None:
    with running_engines(config.model_copy(update={"meta_rm": None})) as (generator, _):
        await run.process(problems, Drawer(config, generator, store).draw)


class Drawer:
    """Draws the samples that a problem lacks.

    Args:
        config: of the policy.
        generator: the policy.
        store: says how many samples each problem has.
    """

    def __init__(self, config: Config, generator: Generator, store: SampleStore) -> None:
        self._config = config.sampling
        self._generator = generator
        self._store = store

    async def draw(self, problem: Problem) -> Problem | EngineFailed:
        """The problem with its new samples only, or what the engine failed with."""
        deadline, first = Deadline.after(DEADLINE_S), self._store.drawn(problem.id)
        starts = range(first, self._store.n, PER_REQUEST)
        try:
            with working_until(deadline):
                async with deadline.timeout():
                    parts = await all_of(
                        self._ask(problem, start, min(PER_REQUEST, self._store.n - start)) for start in starts
                    )
                    counted = await self._prompt_tokens(problem) if not first else None
        except TimeoutError:
            return EngineFailed(f"problem {problem.id!r} was not sampled within {DEADLINE_S:g} s")
        except EngineError as error:
            return EngineFailed(f"problem {problem.id!r}: {type(error).__name__}: {error}")
        samples = [Sample(it.text, tokens=it.tokens, finish=it.finish_reason) for part in parts for it in part]
        return replace(problem, samples=tuple(samples), prompt_tokens=counted or problem.prompt_tokens)

    async def _ask(self, problem: Problem, start: int, n: int) -> list[Completion]:
        """Samples `start` to `start + n` of a problem. Each has a seed of its own, whatever was drawn before."""
        seed = None if self._config.seed is None else self._config.seed + start
        sampling = Sampling(n, self._config.temperature, self._config.top_p, self._config.max_tokens, seed)
        asking = self._generator.generate(Prompt(problem.asked, ()), sampling)
        completions = await unless_cancelled_within(asking, "the policy")
        check_completions(completions, n)
        return completions

    async def _prompt_tokens(self, problem: Problem) -> int | None:
        """How long the prompt is, where the engine can tell."""
        if not isinstance(self._generator, CountsTokens):
            return None
        return await self._generator.count_tokens(problem.asked)
