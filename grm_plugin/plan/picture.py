"""A plan as a picture: seconds of a step over the number of replicas."""

from __future__ import annotations

from pathlib import Path

from grm_plugin._util.pictures import new_axes, save
from grm_plugin.plan.planning import Plan

BURST, WAITED, LIMIT = "#2f6f9f", "#c1752c", "#8a8a8a"


def draw(plan: Plan, path: Path) -> None:
    """Write a picture of a plan that has a speed; its format is that of the file's ending.

    Raises:
        ConfigError: Matplotlib is not installed, or the file cannot be written.
    """
    figure, axes = new_axes("the picture of a plan")
    from matplotlib.ticker import FuncFormatter

    replicas = [row.replicas for row in plan.rows]
    axes.plot(replicas, [row.burst_s for row in plan.rows], "o-", color=BURST, label="a step that comes all at once")
    axes.plot(
        replicas,
        [row.simulated.waited_s for row in plan.rows],
        "s--",
        color=WAITED,
        label=f"waited after a rollout of {plan.rollout_s:,.0f} s" if plan.rollout_s else "the same, simulated",
    )
    axes.axhline(plan.deadline_s, color=LIMIT, linestyle=":", label=f"failure.deadline_s ({plan.deadline_s:,.0f} s)")
    axes.axvline(plan.now, color=LIMIT, linewidth=0.8, label=f"configured ({plan.now:,})")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(replicas)
    axes.minorticks_off()
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.set_xlabel("replicas of the GRM")
    axes.set_ylabel("seconds")
    axes.set_title(f"{plan.step.critiques:,} critiques, {plan.step.generated:,.0f} tokens per step", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    save(figure, path)
