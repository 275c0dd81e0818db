"""Turns series of numbers into small SVG charts: the numbers and paths that the template `charts.html` draws.

They hold no styles, which the page's Content-Security-Policy would not let apply.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from grm_plugin.trace.chart_data import ChartData, Step

WIDTH, HEIGHT = 200.0, 56.0
"""Size of a chart in SVG's units."""

Series = Sequence[float | None]
"""One value per step; None where there is none."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Slot:
    """The strip of a line chart over one step. The browser shows `tip` when the mouse is over it."""

    x: float
    width: float
    tip: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; `tip` as in `Slot`."""

    x: float
    y: float
    width: float
    height: float
    tip: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart of `WIDTH` x `HEIGHT`.

    Attributes:
        title: its name.
        about: what it shows, in a sentence.
        value: the newest value (for bars: the largest) as text.
        low, high: the ends of the scale as text.
        line: SVG path of a line chart.
        band: SVG path of the area around the line.
        slots: the strips over the line's steps.
        bars: bars instead of a line.
        zero: y of the horizontal axis.
    """

    title: str
    about: str
    value: str
    low: str
    high: str
    line: str = ""
    band: str = ""
    slots: tuple[Slot, ...] = ()
    bars: tuple[Bar, ...] = ()
    zero: float = HEIGHT


def charts(data: ChartData) -> list[Chart]:
    """The six charts of the page."""
    steps = data.steps
    names = [_groups(step) for step in steps]
    lows, highs = [step.reward_low for step in steps], [step.reward_high for step in steps]
    return [
        _line("Reward", "Mean reward of the groups; the band goes from their lowest to their highest.",
              [step.reward for step in steps], names, "{:.3g}".format, 1e-6, (lows, highs)),
        _line("Vote spread", "How far the votes disagree: their standard deviation, in points of 1 to 10.",
              [step.spread for step in steps], names, "{:.2f}".format, 1.0),
        _bias(data.bias),
        _line("Lost votes", "Critiques that could not be read, of all that were asked for.",
              [step.lost for step in steps], names, _percent, 0.02),
        _line("Fallbacks", "Rewards that the failure policy gave, because there was no vote.",
              [step.fallback for step in steps], names, _percent, 0.02),
        _line("Tokens / s", "Tokens that the GRM generated per second of wall clock, over time.",
              data.tokens_s, [""] * len(data.tokens_s), _short, 1.0),
    ]  # fmt: skip


def _line(
    title: str,
    about: str,
    values: Series,
    names: Sequence[str],
    words: Callable[[float], str],
    least_scale: float,
    band: tuple[Series, Series] | None = None,
) -> Chart:
    """A line chart.

    Args:
        title, about: see `Chart`.
        values: the line.
        names: the name of each step, for its tip.
        words: writes a value as text.
        least_scale: the scale spans at least this much, so that noise around a constant does not fill the chart.
        band: lower and upper border of the area around the line. Without one the scale starts at 0.
    """
    known = [value for series in (values, *(band or ())) for value in series if value is not None]
    if not known:
        return Chart(title, about, "–", "", "")
    low = min(known) if band else 0.0
    high = max(*known, low + least_scale)
    width = WIDTH / len(values)

    def place(index: int, value: float | None) -> Point | None:
        if value is None:
            return None
        return (index + 0.5) * width, 2 + (HEIGHT - 4) * (1 - (value - low) / (high - low))

    lows, highs = ([place(*item) for item in enumerate(series)] for series in band or ((), ()))
    return Chart(
        title=title,
        about=about,
        value=words(next(value for value in reversed(values) if value is not None)),
        low=words(low),
        high=words(high),
        line=_path([place(*item) for item in enumerate(values)]),
        band=_area(lows, highs),
        slots=tuple(
            Slot(index * width, width, f"{name} {'–' if value is None else words(value)}".strip())
            for index, (name, value) in enumerate(zip(names, values, strict=True))
        ),
    )


def _bias(bias: Sequence[float]) -> Chart:
    title, about = "Position bias", "Points that a response wins or loses by its position in the list."
    if not bias:
        return Chart(title, about, "–", "", "")
    reach = max(1.0, max(map(abs, bias)))
    width = WIDTH / len(bias)
    bars = []
    for place, value in enumerate(bias):
        height = max(1.0, abs(value) / reach * (HEIGHT / 2 - 2))
        top = HEIGHT / 2 - height if value > 0 else HEIGHT / 2
        bars.append(Bar(place * width + width * 0.2, top, width * 0.6, height, f"position {place + 1}: {value:+.2f}"))
    largest = max(bias, key=abs)
    return Chart(title, about, f"{largest:+.2f}", f"{-reach:g}", f"+{reach:g}", bars=tuple(bars), zero=HEIGHT / 2)


def _path(points: Sequence[Point | None]) -> str:
    """The SVG path of a line through the points, broken where one is missing; a point between gaps is a short dash."""
    parts: list[str] = []
    for index, point in enumerate(points):
        if point is None:
            continue
        joined = index > 0 and points[index - 1] is not None
        lone = not joined and (index + 1 == len(points) or points[index + 1] is None)
        parts.append(f"{'L' if joined else 'M'}{point[0]:.1f} {point[1]:.1f}{'h3' if lone else ''}")
    return "".join(parts)


def _area(lows: Sequence[Point | None], highs: Sequence[Point | None]) -> str:
    """The SVG path of the area between two borders."""
    forth = [f"{x:.1f} {y:.1f}" for x, y in filter(None, lows)]
    back = [f"{x:.1f} {y:.1f}" for x, y in filter(None, reversed(highs))]
    return f"M{'L'.join(forth + back)}Z" if len(forth) > 1 else ""


def _groups(step: Step) -> str:
    return f"#{step.first}:" if step.first == step.last else f"#{step.first} to #{step.last}:"


def _percent(value: float) -> str:
    return f"{value:.1%}" if 0 < value < 0.1 else f"{value:.0%}"


def _short(value: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
