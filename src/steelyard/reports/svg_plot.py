"""Lines over two axes as inline SVG: no script, no network, and the same in light and dark.

Axes have a handful of round marks: steps of 1, 2 or 5 times a power of ten, as a person would choose them.
"""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 760, 280
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 24, 46
MARKS = 5  # about as many on an axis
COLOURS = ("#4269d0", "#e09f00", "#e5484d", "#12a594", "#2f9e44", "#e26d9b", "#8e5bd6", "#6b9bd8")

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """low to high, in the data's own unit. marked: whether its marks are written at all."""

    low: float
    high: float
    label: str
    logarithmic: bool = False
    marked: bool = True

    def place(self, value: float) -> float:
        """Where on the axis a value lies, 0..1; values beyond it lie at its ends."""
        value = min(self.high, max(self.low, value))
        if self.logarithmic:
            return math.log(value / self.low) / (math.log(self.high / self.low) or 1.0)
        return (value - self.low) / ((self.high - self.low) or 1.0)

    def marks(self) -> list[float]:
        """Round values within it, ascending."""
        if not self.marked:
            return []
        if self.logarithmic:
            return self._decades()
        step = _round_step((self.high - self.low) / MARKS)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    def _decades(self) -> list[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        # Over three powers of ten the twos and fives would stand in each other's way.
        parts = (1, 2, 5) if len(powers) <= 4 else (1,)
        marks = [part * 10.0**power for power in powers for part in parts]
        return [mark for mark in marks if self.low <= mark <= self.high]


def from_zero(high: float, label: str) -> Axis:
    """From 0 to a little over the highest value."""
    return Axis(0.0, 1.04 * high if high > 0 else 1.0, label)


def _round_step(least: float) -> float:
    """The smallest of 1, 2 or 5 times a power of ten that is not below `least`."""
    if least <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next((part * power for part in (1, 2, 5) if part * power >= least), 10 * power)


def written(value: float) -> str:
    """A mark: thousands apart, no more places than it has."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"


def plot(lines: Sequence[tuple[str, Points]], x: Axis, y: Axis) -> str:
    """A plot with its key. lines: names and points in the axes' units."""
    body = [_across(y, mark) for mark in y.marks()] + [_below(x, mark) for mark in x.marks()]
    body += [
        f'<path class="axis" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>',
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{html.escape(x.label)}</text>',
        f'<text x="0" y="12">{html.escape(y.label)}</text>',
    ]
    for (_, points), colour in zip(lines, _colours(len(lines)), strict=True):
        path = " ".join(f"{_x(x.place(at)):.1f},{_y(y.place(value)):.1f}" for at, value in points)
        body.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.6" points="{path}"/>')
    title = html.escape(f"{y.label}, by {x.label}")
    picture = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{"".join(body)}</svg>'
    return f"<figure>{picture}{keys([name for name, _ in lines])}</figure>"


def keys(names: Sequence[str]) -> str:
    """Which colour is whose."""
    return (
        '<figcaption class="keys">'
        + "".join(
            f'<span><i style="background:{colour}"></i>{html.escape(name)}</span>'
            for name, colour in zip(names, _colours(len(names)), strict=True)
        )
        + "</figcaption>"
    )


def _colours(count: int) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(count)]


def _across(y: Axis, mark: float) -> str:
    at = _y(y.place(mark))
    return (
        f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>'
        f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{written(mark)}</text>'
    )


def _below(x: Axis, mark: float) -> str:
    at = _x(x.place(mark))
    return (
        f'<path class="axis" d="M{at:.1f} {HEIGHT - BOTTOM}v4"/>'
        f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{written(mark)}</text>'
    )


def _x(unit: float) -> float:
    return LEFT + unit * (WIDTH - LEFT - RIGHT)


def _y(unit: float) -> float:
    return TOP + (1 - unit) * (HEIGHT - TOP - BOTTOM)
