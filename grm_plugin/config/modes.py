"""The modes (`judge.mode`): how a group is put before the GRM, and what a mode cannot do with a judge or a sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from grm_plugin.config.fields import Section
from grm_plugin.config.patterns import compiled
from grm_plugin.config.presets import PRESETS

if TYPE_CHECKING:
    from grm_plugin.config.judge import JudgeConfig
    from grm_plugin.config.sections import SamplingConfig

Mode = Literal["listwise", "pairwise", "tiebreak"]

Comparisons = Literal["all", "circular"]

PairRewards = Literal["bradley_terry", "borda"]


class TiebreakConfig(Section):
    """Which responses are compared once more, and how often."""

    flip: float = Field(default=0.2, ge=0.001, lt=0.5)
    """Two neighbours in a list's ranking are compared unless their votes put one ahead of the other with at most this
    probability of being wrong (Student's t on the differences inside each critique). Less compares more of them."""
    k: int | None = Field(default=None, ge=2, le=1024)
    """Critiques of each pair that is compared, in both orders; null takes `sampling.k`."""


def mode_problem(judge: JudgeConfig) -> str:
    """What the mode cannot do with the other keys of the section, and what to do; an empty text where nothing is."""
    if judge.mode == "pairwise":
        return _problem_of_pairs(judge) or _unused(judge, "tiebreak")
    if judge.mode == "tiebreak":
        if judge.pairs:
            return (
                "mode tiebreak begins with scores of whole lists, and this GRM reads nothing but pairs: set mode: "
                "pairwise"
            )
        if judge.list_size == 1:
            return "mode tiebreak compares the responses of a list, and list_size is 1: raise it, or set mode: listwise"
        preset = PRESETS.get(str(judge.preset))
        if preset is not None and preset.largest < 2:
            return _one_at_a_time(judge)
        return _unused(judge, "comparisons", "pair_rewards")
    return _unused(judge, "comparisons", "pair_rewards", "tiebreak")


def sampling_problem(judge: JudgeConfig, sampling: SamplingConfig) -> str:
    """What the mode cannot do with this sampling, and what to do; an empty text where nothing is."""
    if judge.mode == "listwise":
        return ""
    if sampling.k < 2 or sampling.orders == 1:
        key = "k" if sampling.k < 2 else "orders"
        return (
            f"sampling.{key} is 1, and judge.mode {judge.mode} shows each pair in both orders: set at least 2, "
            "or judge.mode: listwise"
        )
    if judge.mode == "tiebreak" and sampling.temperature == 0:
        return (
            "judge.mode tiebreak tells by how votes scatter which responses are tied, and with sampling.temperature 0 "
            "those of an order are all the same: raise it, or set judge.mode: pairwise"
        )
    return ""


def _problem_of_pairs(judge: JudgeConfig) -> str:
    preset = PRESETS.get(str(judge.preset))
    if preset is not None and preset.largest < 2:
        return _one_at_a_time(judge)
    if judge.answer == "regex" and judge.pattern and preset is None:
        groups = compiled(judge.pattern).groups
        if groups != 2:
            return f"mode pairwise shows two responses, and pattern has {groups} group(s): give one for each of two"
    return ""


def _one_at_a_time(judge: JudgeConfig) -> str:
    return (
        f"mode {judge.mode} shows two responses side by side, and preset {judge.preset} reads one at a time: choose a "
        "preset that reads pairs (prometheus_2_pairs, rm_r1, any_instruct ...), or set mode: listwise"
    )


def _unused(judge: JudgeConfig, *keys: str) -> str:
    for key in keys:
        if getattr(judge, key) != type(judge).model_fields[key].default:
            users = "tiebreak" if key == "tiebreak" else "pairwise"
            return f"mode {judge.mode} does not use {key}, only mode {users} does: leave it out, or set mode: {users}"
    return ""
