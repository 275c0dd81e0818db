"""The bias panel in a few lines for a terminal."""

from __future__ import annotations

from grm_plugin.batch.statistics.clusters import FEWEST_ITEMS
from grm_plugin.batch.statistics.shares import Difference, Share
from grm_plugin.evals.bias.panel import BiasPanel
from grm_plugin.evals.bias.traits import LENGTH, MARKDOWN, TraitBias


def bias_lines(panel: BiasPanel) -> list[str]:
    """What moved the judge besides quality, one measure per line; measures that cannot be made have no line."""
    lines = [
        *_trait(panel.trait(LENGTH), "length", "the longer response", "is longer", "is shorter"),
        *_trait(panel.trait(MARKDOWN), "Markdown", "the response with more of it", "has more", "has less"),
        *_position(panel),
        *_scale(panel),
        *_calibration(panel),
        *_critiques(panel),
    ]
    return [f"bias, over {panel.items:,} items (in brackets: 95 % intervals)", *lines] if lines else []


def _trait(found: TraitBias, name: str, subject: str, more: str, less: str) -> list[str]:
    if found.wins and found.is_right:
        line = (
            f"{name}: {subject} wins {_share(found.wins)} of the decided pairs, and is the right one in "
            f"{found.is_right.value:.1%}"
        )
        if found.right_has_more and found.right_has_less:
            line += (
                f"; accuracy {_share(found.right_has_more)} where the right one {more}, "
                f"{_share(found.right_has_less)} where it {less}"
            )
        return [f"{line}: {_verdict(found.effect, f'favours what {more}', f'favours what {less}')}"]
    if found.correlation:
        low, high = found.correlation.ci95
        return [
            f"{name}: rank correlation with the score {found.correlation.value:+.2f} [{low:+.2f}, {high:+.2f}] among "
            "the right responses and among the wrong ones (0: it makes no difference)"
        ]
    return []


def _position(panel: BiasPanel) -> list[str]:
    if (found := panel.position) is None:
        return []
    lines = [
        f"position: the response shown first wins {_share(found.first)} of the decided votes ({found.by_chance:.1%} by "
        f"chance): {_first(found.first, found.by_chance)}"
    ]
    if found.flips and found.flips.same and found.flips.effect:
        lines.append(
            f"order: two votes that saw different orders have different winners in {found.flips.different.value:.1%}, "
            f"two that saw the same order in {found.flips.same.value:.1%}; the order itself adds "
            f"{_points(found.flips.effect)}: {_verdict(found.flips.effect, 'the order matters', 'no bias shows')}"
        )
    elif found.flips:
        lines.append(
            f"order: two votes that saw different orders have different winners in {_share(found.flips.different)}; "
            "how much of it is noise is not known, since no item has several votes on one order"
        )
    return lines


def _scale(panel: BiasPanel) -> list[str]:
    if (found := panel.scale) is None:
        return []
    tied = f"; the first place is shared in {_share(found.tied)} of the votes" if found.tied else ""
    return [f"scale: {found.values:,} different scores, standard deviation {found.deviation:.2f}{tied}"]


def _calibration(panel: BiasPanel) -> list[str]:
    if (found := panel.calibration) is None:
        return []
    if found.expected_error is None or found.brier is None:
        steps = ", ".join(f"{each.predicted:.1f}: {each.right.value:.0%}" for each in found.bins)
        return [f"calibration: right responses by mean score: {steps}"]
    source = "agreement of the votes" if found.of == "votes" else "probability by the logits"
    return [
        f"calibration: {source} minus accuracy {_points(found.excess)}, expected calibration error "
        f"{found.expected_error:.1%}, Brier score {found.brier:.3f}: "
        f"{_verdict(found.excess, 'too sure', 'too unsure', 'as sure as it is right, on average')}"
    ]


def _critiques(panel: BiasPanel) -> list[str]:
    if (found := panel.critiques) is None or len(found.quarters) < 2:
        return []
    short, long = found.quarters[0], found.quarters[-1]
    line = (
        f"critiques: the shortest (about {short.tokens:,.0f} tokens) are right in {_share(short.right)}, the longest "
        f"({long.tokens:,.0f}) in {_share(long.right)}"
    )
    if found.effect is None:
        return [line]
    verdict = _verdict(found.effect, "long ones are better", "long ones are worse", "length makes no difference")
    return [f"{line}; within one item, longer minus shorter {_points(found.effect)}: {verdict}"]


def _verdict(found: Difference | None, above: str, below: str, neither: str = "no bias shows") -> str:
    if found is None or found.sign is None:
        return f"too few items ({found.items if found else 0}; {FEWEST_ITEMS} are needed)"
    return {1: above, -1: below, 0: neither}[found.sign]


def _first(first: Share, chance: float) -> str:
    low, high = first.ci95
    arms = (max(-1.0, low - chance), min(1.0, high - chance))
    return _verdict(Difference(first.value - chance, arms, first.items), "favours the first", "favours later ones")


def _share(found: Share) -> str:
    return f"{found.value:.1%} [{100 * found.ci95[0]:.1f}, {100 * found.ci95[1]:.1f}]"


def _points(found: Difference | None) -> str:
    if found is None:
        return ""
    low, high = (100 * end for end in found.ci95)
    return f"{100 * found.value:+.1f} points [{low:+.1f}, {high:+.1f}]"
