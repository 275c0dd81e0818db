"""The GRM as a scorer of many samples: in lists, and in rounds, as it reads only a few together.

All samples are put into lists, and the better half of each list goes on to the next round, until one list is left.
Scores of one list say most about one another, so that nobody is left out because of another list. A sample's score is
the last round that it was in, and its mean vote there.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from grm_plugin._util.concurrency import all_of
from grm_plugin.batch.group_judges import JudgeGroup, failure_of_judgement, in_process
from grm_plugin.batch.resumable_run import EngineFailed
from grm_plugin.best_of.cost import CHARS_PER_TOKEN
from grm_plugin.best_of.problems import Problem
from grm_plugin.best_of.scores import Score, Scored, Scorer
from grm_plugin.config import Config
from grm_plugin.engines.fingerprint import reward_fingerprint
from grm_plugin.errors import GroupError, WireError
from grm_plugin.types import MAX_SCORE, message_dicts
from grm_plugin.wire.schemas import WireGroup


def grm_scorer(config: Config, seed: int) -> Scorer:
    """The GRM of a configuration, loaded in this process.

    Args:
        config: of the GRM. Only mean votes are looked at, so that `normalize` does not matter.
        seed: of the lists.
    """
    unit = config.model_copy(update={"normalize": config.normalize.model_copy(update={"method": "none"})})

    @asynccontextmanager
    async def opened() -> AsyncIterator[Score]:
        async with in_process(unit) as judge:
            yield Rounds(judge, unit.judge.list_size, seed).score

    return Scorer("grm", reward_fingerprint(unit) | {"rounds": f"half, {seed}"}, opened)


@dataclass(slots=True)
class _Found:
    """What the rounds of one problem have found so far: per text."""

    scores: dict[str, float]
    weights: dict[str, float]
    read: float = 0.0
    written: float = 0.0
    unread: int = 0


class Rounds:
    """Scores the samples of a problem with what judges a group.

    Args:
        judge: judges one list as a group.
        list_size: most samples of a list; 1 scores each by itself, in one round.
        seed: of the lists; the same problem always gets the same ones.
    """

    def __init__(self, judge: JudgeGroup, list_size: int, seed: int) -> None:
        self._judge = judge
        self._size = list_size
        self._seed = seed

    async def score(self, problem: Problem) -> Scored | EngineFailed:
        """The scores of a problem's samples, or what the engine failed with. Equal texts are judged once.

        Raises:
            GroupError, WireError: the GRM cannot judge it; the message names the problem.
        """
        left = list(dict.fromkeys(sample.text for sample in problem.samples))
        rng, found, number = random.Random(f"{self._seed} {problem.id}"), _Found({}, {}), 0
        while len(left) > 1 or not number:
            rng.shuffle(left)
            lists = split(left, self._size)
            answers = await all_of(self._judge_list(problem, texts) for texts in lists)
            if failed := next((answer for answer in answers if isinstance(answer, EngineFailed)), None):
                return failed
            left = []
            for texts, answer in zip(lists, answers, strict=True):
                assert not isinstance(answer, EngineFailed)
                means, tokens = answer
                self._note(found, problem, texts, means, tokens, number)
                known = [(mean, text) for mean, text in zip(means, texts, strict=True) if mean is not None]
                best = sorted(known, key=lambda pair: -pair[0])[: math.ceil(len(texts) / 2)]
                left += [text for _, text in best]
            number += 1
            if len(lists) == 1 or self._size == 1:
                break
        texts = [sample.text for sample in problem.samples]
        return Scored(
            problem.id,
            problem.digest,
            tuple(map(found.scores.get, texts)),
            tuple(map(found.weights.get, texts)),
            found.read,
            found.written,
            {"no vote of the GRM could be read": found.unread} if found.unread else {},
        )

    def _note(
        self, found: _Found, problem: Problem, texts: list[str], means: list[float | None], tokens: float, number: int
    ) -> None:
        chars = sum(len(turn.content) for turn in problem.question) + sum(map(len, texts))
        found.read += chars / CHARS_PER_TOKEN
        found.written += tokens
        for text, mean in zip(texts, means, strict=True):
            if mean is None:
                found.unread += 1
                continue
            found.scores[text] = number * MAX_SCORE + mean
            found.weights.setdefault(text, mean)

    async def _judge_list(self, problem: Problem, texts: list[str]) -> tuple[list[float | None], float] | EngineFailed:
        """The mean vote on each text, and the tokens that it took."""
        # Without the reference: whoever knows the right answer needs nobody to pick.
        group = WireGroup.model_validate({"messages": message_dicts(problem.question), "responses": texts})
        try:
            judgement = await self._judge(group)
        except (GroupError, WireError) as error:
            raise type(error)(f"problem {problem.id!r}: {error}") from None
        if reason := failure_of_judgement(judgement):
            return EngineFailed(f"problem {problem.id!r}: {reason}")
        means = [None if reward.mean is None else float(reward.mean) for reward in judgement.rewards]
        return means, sum(reward.tokens for reward in judgement.rewards)


def split(texts: Sequence[str], size: int) -> list[list[str]]:
    """Lists of at most `size`, nearly equally long, in order. With size 2 one list of three, rather than of one text:
    a GRM that reads pairs has nothing to say of that."""
    count = max(1, len(texts) // 2) if size == 2 else math.ceil(len(texts) / size)
    ends = [round(len(texts) * number / count) for number in range(count + 1)]
    return [list(texts[start:end]) for start, end in itertools.pairwise(ends)]
