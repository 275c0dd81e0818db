"""Responses without a sibling, where `normalize.method` compares siblings (`group`, `rank`): no reward says less.

A call that says, or leaves it at, one sample per prompt is refused: the trainer would get a constant. A response that
is left alone because its siblings did not come, or have no votes, gets the neutral reward, and is counted. So does one
of evaluation (`learn=false`), where one sample per prompt is what frameworks draw and nobody trains on the reward.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from grm_plugin._util.log_once import OncePerMinute
from grm_plugin.config import COMPARING_METHODS, Config, lone_response
from grm_plugin.errors import WireError
from grm_plugin.serving.counters import Counters
from grm_plugin.types import Judgement
from grm_plugin.wire.schemas import WireGroup

logger = logging.getLogger(__name__)


class LoneResponses:
    """Refuses them or counts them, for one service."""

    def __init__(self, config: Config, counters: Counters) -> None:
        self._method = config.normalize.method
        self._group = config.group
        self._counters = counters
        self._n_unsaid = OncePerMinute(logger)
        self._alone = OncePerMinute(logger)

    def samples_per_prompt(self, said: int | None, learn: bool) -> int:
        """Samples per prompt of a call that says `said`; `group.n` where it says nothing.

        Raises:
            WireError: it is one.
        """
        n = said or self._group.n
        problem = learn and lone_response(self._method, n)
        if problem:
            raise WireError(
                f"{problem}: say how many samples a prompt has, with ?n= in the URL or group.n in the configuration; "
                "or set normalize.method to unit"
            )
        if said is None and "n" not in self._group.model_fields_set:
            self._n_unsaid.warning(
                "a call did not say how many samples its prompt has, so each is judged alone: add ?n= to the URL, or "
                "set group.n (1 if that is what you want)"
            )
        return n

    def check(self, groups: Sequence[WireGroup], learn: bool) -> None:
        """Raises `WireError` where all that there is of a group is one response."""
        for index, group in enumerate(groups):
            problem = learn and lone_response(self._method, max(group.n or 1, len(group.responses)))
            if problem:
                raise WireError(
                    f"groups.{index}: {problem}: send all responses to the prompt together (or n, if only this one "
                    "came), or set normalize.method to unit"
                )

    def count(self, judgement: Judgement) -> None:
        """Count a response that was judged with nothing to compare it with."""
        if self._method in COMPARING_METHODS and sum(reward.mean is not None for reward in judgement.rewards) == 1:
            self._counters.alone += 1
            self._alone.warning(
                "normalize.method %s: a response had no sibling with votes to be compared with, and got the neutral "
                "reward (%d so far)",
                *(self._method, self._counters.alone),
            )
