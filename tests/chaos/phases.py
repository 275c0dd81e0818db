"""The schedule of the faults, in phases that each end with everything mended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from damage import Damage

SLOW = "slow 0.5"
"""Ten times the delay of the fake engines."""

Step = tuple[float, Callable[[Damage], None]]
"""The share of the phase's load after which something is done, and what."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A load of `rewards` rewards with what is done meanwhile."""

    name: str
    rewards: int
    steps: tuple[Step, ...] = ()
    without: tuple[str, ...] = ()
    """Callers that take no part."""


def _at(share: float, method: Callable[..., None], *arguments: object) -> Step:
    return share, lambda damage: partial(method, damage)(*arguments)


def _spoilt(what: str, *faults: str) -> tuple[Step, ...]:
    """One replica after the other misbehaves, each in a way of its own, and is mended."""
    steps: list[Step] = []
    for turn, fault in enumerate(faults):
        steps += [
            _at(turn / len(faults), Damage.mend),
            _at(turn / len(faults), Damage.spoil, what, fault),
        ]
    return tuple(steps)


def fake_phases(rewards: int) -> list[Phase]:
    """The whole suite on fake engines, with `rewards` rewards in each phase."""
    kill, freeze, spoil = Damage.kill, Damage.freeze, Damage.spoil
    steps: dict[str, tuple[Step, ...]] = {
        "calm": (),
        "Engine writes no scores": _spoilt("Engine", "unparsable"),
        "Engine killed, twice": (_at(0.15, kill, "Engine"), _at(0.5, kill, "Engine")),
        "Engine frozen": (_at(0.2, freeze, "Engine"),),
        "Engine 10x slower": (_at(0.1, spoil, "Engine", SLOW),),
        "Engine never answers": (_at(0.2, spoil, "Engine", "hang"),),
        "Engine gives garbage": _spoilt("Engine", "garbage", "few", "many", "raise"),
        "Engine gives empty lists": _spoilt("Engine", "empty"),
        "MetaRM killed, then frozen": (_at(0.15, kill, "MetaRM"), _at(0.5, freeze, "MetaRM")),
        "MetaRM slow, silent, garbage": _spoilt("MetaRM", SLOW, "hang", "garbage", "nan", "empty", "few"),
        "RewardService killed": (_at(0.3, kill, "RewardService"),),
        "all Engines killed at once": (_at(0.3, kill, "Engine", 99),),
        "RewardService frozen": (_at(0.3, freeze, "RewardService"),),
        "everything at once": (
            _at(0.1, freeze, "Engine"),
            _at(0.2, spoil, "Engine", SLOW),
            _at(0.3, kill, "MetaRM"),
            _at(0.4, kill, "RewardService"),
            _at(0.6, kill, "Engine"),
            _at(0.7, spoil, "MetaRM", "hang"),
        ),
        # The last one, for nobody replaces the keeper.
        "keeper killed, then RewardService": (_at(0.1, kill, "keeper"), _at(0.4, kill, "RewardService")),
    }
    # OpenRLHF's own call gives up when connections are refused for five seconds. The keeper holds the socket that they
    # wait in; without it they are refused for longer. The other hooks wait.
    without = {"keeper killed, then RewardService": ("OpenRLHF http",)}
    return [Phase(name, rewards, done, without.get(name, ())) for name, done in steps.items()]


def short_phases(rewards: int) -> list[Phase]:
    """What `make test-all` runs."""
    steps: dict[str, tuple[Step, ...]] = {
        "Engine killed": (_at(0.2, Damage.kill, "Engine"),),
        "Engine frozen": (_at(0.1, Damage.freeze, "Engine"),),
        "Engine gives garbage": _spoilt("Engine", "garbage", "empty"),
        "RewardService killed": (_at(0.3, Damage.kill, "RewardService"),),
    }
    return [Phase(name, rewards, done) for name, done in steps.items()]


def vllm_phases(rewards: int) -> list[Phase]:
    """For real vLLM engines, two replicas."""
    steps: dict[str, tuple[Step, ...]] = {
        "vLLM calm": (),
        "vLLM Engine frozen": (_at(0.2, Damage.freeze, "Engine"),),
        "vLLM, RewardService killed": (_at(0.3, Damage.kill, "RewardService"),),
        "vLLM Engine killed": (_at(0.2, Damage.kill, "Engine"),),
        "vLLM's engine core killed": (_at(0.2, Damage.kill_vllm),),
    }
    # A real GRM's scores depend on the order of the responses, which single samples reach the service in by chance.
    single = ("OpenRLHF http", "OpenRLHF function", "/v1/sample")
    return [Phase(name, rewards, done, single) for name, done in steps.items()]
