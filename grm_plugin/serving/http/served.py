"""What the HTTP routes ask of a service, be it one process (`RewardService`) or several (`processes.front.Front`)."""

from __future__ import annotations

from typing import Protocol

from grm_plugin.config import Config
from grm_plugin.judging.fallback import SettledReward
from grm_plugin.serving.read_prompts import ReadPrompts
from grm_plugin.serving.refusals import Refusals
from grm_plugin.trace.recorder import Recorder
from grm_plugin.types import Sample
from grm_plugin.wire.schemas import GetRewardReply, GetRewardRequest, Info, ScoreReply, ScoreRequest


class Served(Protocol):
    """See the methods of `RewardService`."""

    @property
    def config(self) -> Config: ...
    @property
    def prompts(self) -> ReadPrompts: ...
    @property
    def refusals(self) -> Refusals: ...
    @property
    def traces(self) -> Recorder | None: ...
    async def get_reward(
        self, request: GetRewardRequest, n: int | None = None, learn: bool = True
    ) -> GetRewardReply: ...
    async def reward_sample(
        self, sample: Sample, n: int | None = None, request_id: str | None = None, learn: bool = True
    ) -> SettledReward: ...
    async def judge_groups(self, request: ScoreRequest) -> ScoreReply: ...
    async def whole_info(self) -> Info: ...
    async def exposition(self, accept: str) -> tuple[bytes, str]: ...
    async def problem(self) -> str: ...
    async def drain(self, patience_s: float) -> None: ...
