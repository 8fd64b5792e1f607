"""Axes of SVG charts: round ticks that never touch, up to the largest numbers, and the plane between two axes."""

import math
from collections.abc import Callable, Iterable
from itertools import pairwise

from minidl.plotting.svg import LARGEST, LEADING, WIDTH, Drawing, magnitude, number_text, text_width


class Axis:
    """An axis around some values: its round ticks, and where a value lies, from 0 to 1.

    Parameters
    ----------
    values : iterable of float
    most : int
        How many ticks there is room for, at least 3.
    log : bool
    whole : bool
        Ticks are whole numbers, and the axis ends at the values; otherwise at the ticks around them.
    """

    def __init__(self, values: Iterable[float], most: int, *, log: bool = False, whole: bool = False) -> None:
        smallest = 1 / LARGEST if log else -LARGEST
        finite = [min(max(value, smallest), LARGEST) for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        self.log = log = log and low < high
        self._scale: Callable[[float], float] = math.log10 if log else float
        if whole:
            self.ticks, self.decimals = _ticks(low, high, most, 1.0)
            self.ticks = [tick for tick in self.ticks if low <= tick <= high]
            self.low, self.high = (low, high) if low < high else (low - 0.5, high + 0.5)
        else:
            low, high = (low, high) if log else _widened(low, high)
            self.ticks, self.decimals = _log_ticks(low, high, most) if log else _ticks(low, high, most)
            self.low, self.high = min(low, self.ticks[0]), max(high, self.ticks[-1])
        # The halves keep the difference of the largest numbers finite.
        self._start, self._end = self._scale(self.low) / 2, self._scale(self.high) / 2

    def at(self, value: float) -> float:
        """Return where `value` lies; what lies outside is put on the edge."""
        place = self._scale(min(max(value, self.low), self.high)) / 2
        return (place - self._start) / (self._end - self._start)

    def label(self, tick: float) -> str:
        return number_text(tick, max(0, -magnitude(tick)) if self.log else self.decimals)


def fitted(values: list[float], width: float, *, whole: bool = False) -> Axis:
    """Return a horizontal axis of this width, with as many ticks as have room side by side, at most 7."""
    for most in range(7, 2, -1):
        axis = Axis(values, most, whole=whole)
        if (most - 1) * (8 + 1.5 * max(map(text_width, map(axis.label, axis.ticks)), default=0.0)) <= width:
            return axis
    axis.ticks = axis.ticks[:1]
    return axis


def _widened(low: float, high: float) -> tuple[float, float]:
    """Return limits that are far enough apart for ticks of few digits: noise is not worth an axis of its own."""
    size = max(abs(low), abs(high))
    if size < 1e-290:
        return 0.0, 1.0
    missing = max(0.0, 2e-3 * size - (high - low))
    return low - missing / 2, high + missing / 2


def _ticks(low: float, high: float, most: int, smallest: float = 0.0) -> tuple[list[float], int]:
    """Return equally spaced round numbers around `low` and `high`, and their decimals."""
    power = magnitude(max(high / most - low / most, smallest / 2))
    for exponent in range(power, power + 4):
        for factor in (1, 2, 5):
            step = factor * 10.0**exponent
            first, last = math.floor(low / step), math.ceil(high / step)
            if last - first < most and step >= smallest:
                return [k * step for k in range(first, last + 1)], max(0, -exponent)
    raise AssertionError("three ticks always suffice")


def _log_ticks(low: float, high: float, most: int) -> tuple[list[float], int]:
    """Return round numbers around `low` and `high`, no two closer than if so many divided a logarithmic axis."""
    bottom, top = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = [((1,), every) for every in (1, 2, 5, 10, 20, 50, 100, 200)]
    for factors, every in [((1, 2, 3, 5), 1), ((1, 3), 1), *powers]:
        exponents = range(bottom // every * every, min(top + every, 306), every)
        around = [factor * 10.0**exponent for exponent in exponents for factor in factors]
        first = max((tick for tick in around if tick <= low), default=around[0])
        last = min((tick for tick in around if tick >= high), default=around[-1])
        ticks = [tick for tick in around if first <= tick <= last]
        gaps = [math.log10(b / a) for a, b in pairwise(ticks)]
        if min(gaps, default=0.0) * most >= math.log10(max(high, last)) - math.log10(min(low, first)):
            break
    return ticks, 0


class Plane:
    """The plane of two axes at the bottom of a drawing, with its grid and ticks, up to `right` and so high."""

    def __init__(
        self, drawing: Drawing, x: list[float], y: Axis, right: float, height: float, label: str, *, whole: bool = False
    ) -> None:
        self.left, self.right = 12 + max(text_width(y.label(tick)) for tick in y.ticks), right
        self.top, self.bottom = drawing.bottom + 8, drawing.bottom + 8 + height
        self.x_axis, self.y_axis = fitted(x, right - self.left, whole=whole), y
        drawing.path("".join(f"M{self.left:.1f} {self.y(tick):.1f}H{right:.1f}" for tick in y.ticks), "grid")
        for tick in y.ticks:
            drawing.text(self.left - 6, self.y(tick), y.label(tick), "quiet", "end")
        drawing.bottom = self.bottom
        mark_ticks(drawing, self.x_axis, self.x, label)

    def x(self, value: float) -> float:
        """Return where a value of the horizontal axis lies."""
        return self.left + (self.right - self.left) * self.x_axis.at(value)

    def y(self, value: float) -> float:
        """Return where a value of the vertical axis lies."""
        return self.bottom - (self.bottom - self.top) * self.y_axis.at(value)

    def path(self, points: Iterable[tuple[float, float]]) -> str:
        """Return the path through these points, broken where the second number is NaN."""
        path, pen = [], "M"
        for x, y in points:
            path += [] if math.isnan(y) else [f"{pen}{self.x(x):.1f} {self.y(y):.1f}"]
            pen = "M" if math.isnan(y) else "L"
        return "".join(path)

    def dots(self, points: Iterable[tuple[float, float]]) -> str:
        """Return a path of single points, to be drawn with round ends."""
        return "".join(f"{self.path([point])}h0" for point in points if not math.isnan(point[1]))


def mark_ticks(drawing: Drawing, axis: Axis, place: Callable[[float], float], label: str) -> None:
    """Write the ticks of a horizontal axis at the bottom of the drawing, and below them what they measure."""
    y = drawing.bottom
    drawing.path("".join(f"M{place(tick):.1f} {y:.1f}v4" for tick in axis.ticks), "axis")
    for tick in axis.ticks:
        # At an edge of the drawing a text moves inwards, for which `fitted` leaves room.
        half = text_width(axis.label(tick)) / 2 + 2
        x = min(max(place(tick), half), WIDTH - half)
        drawing.text(x, y + 6 + LEADING / 2, axis.label(tick), "quiet", "middle")
    drawing.bottom += 6 + LEADING
    drawing.write(label, x=(place(axis.low) + place(axis.high)) / 2)
