"""Summarises the jobs of a comparison: true quality over the steps under each reward, and the gains."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any


def summarise(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Per reward: true quality at each measured step (`runs`, one a seed, and their mean), and the gain over the first.

    `runs[reward][i]` is the demo's summary of seed i; all have the same steps. `gains[i]` is seed i's true quality
    minus that of the first reward with the same seed, averaged over the steps after the start: a paired comparison.
    """
    curves = {reward: [_curve(summary) for summary in summaries] for reward, summaries in runs.items()}
    baseline = next(iter(curves.values()))
    table = {}
    for reward, seeds in curves.items():
        gains = [
            statistics.fmean(curve[step] - other[step] for step in curve if step > 0)
            for curve, other in zip(seeds, baseline, strict=True)
        ]
        steps = [
            {"step": step, "mean": statistics.fmean(curve[step] for curve in seeds), "runs": [c[step] for c in seeds]}
            for step in sorted(seeds[0])
        ]
        table[reward] = {"steps": steps, "gain": statistics.fmean(gains), "gains": gains}
    return table


def _curve(summary: Mapping[str, Any]) -> dict[int, float]:
    return {int(step): float(quality["mean"]) for step, quality in summary["true_quality_by_step"].items()}
