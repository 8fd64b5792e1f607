"""Axes of SVG charts, and the plane between two axes."""

import math
from collections.abc import Callable, Iterable

from minidl.plotting.svg import LEADING, SIZE, WIDTH, Drawing, text_width
from minidl.plotting.ticks import fitting_ticks, limits_around

_LARGEST = 1e300


class Axis:
    """An axis around some values: its round ticks with their texts, and where a value lies, from 0 to 1.

    The ticks of a `whole` axis are whole numbers, and it ends at the values; other axes have a margin.
    """

    def __init__(
        self, values: Iterable[float], length: float, *, upright: bool = False, log: bool = False, whole: bool = False
    ) -> None:
        smallest = 1 / _LARGEST if log else -_LARGEST
        finite = [min(max(value, smallest), _LARGEST) for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        if not whole:
            low, high = limits_around(low, high, log=log)
        self.low, self.high = (low, high) if low < high else (low - 0.5, high + 0.5)
        self.ticks = fitting_ticks(self.low, self.high, length, SIZE, upright=upright, log=log, whole=whole)
        self._scale: Callable[[float], float] = math.log10 if log else float
        # The halves keep the difference of the largest numbers finite.
        self._start, self._end = self._scale(self.low) / 2, self._scale(self.high) / 2

    def at(self, value: float) -> float:
        """Return where `value` lies; a value outside the axis is moved to its end."""
        place = self._scale(min(max(value, self.low), self.high)) / 2
        return (place - self._start) / (self._end - self._start)


class Plane:
    """The plane of two axes at the bottom of a drawing, with its grid and ticks, up to `right` and of this height."""

    def __init__(
        self, drawing: Drawing, x: list[float], y: Axis, right: float, height: float, label: str, *, whole: bool = False
    ) -> None:
        self.left, self.right = 12 + max(map(text_width, y.ticks.values())), right
        self.top, self.bottom = drawing.bottom + 8, drawing.bottom + 8 + height
        self.x_axis, self.y_axis = Axis(x, right - self.left, whole=whole), y
        drawing.path("".join(f"M{self.left:.1f} {self.y(tick):.1f}H{right:.1f}" for tick in y.ticks), "grid")
        for tick, text in y.ticks.items():
            drawing.text(self.left - 6, self.y(tick), text, "quiet", "end")
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
    """Write the ticks of a horizontal axis at the bottom of the drawing, and its label below them."""
    y = drawing.bottom
    ticks = "".join(f"M{place(tick):.1f} {y:.1f}v4" for tick in axis.ticks)
    drawing.path(f"M{place(axis.low):.1f} {y:.1f}H{place(axis.high):.1f}{ticks}", "axis")
    for tick, text in axis.ticks.items():
        # At an edge of the drawing a text moves inwards, for which `fitting_ticks` leaves room.
        half = text_width(text) / 2 + 2
        drawing.text(min(max(place(tick), half), WIDTH - half), y + 6 + LEADING / 2, text, "quiet", "middle")
    drawing.bottom += 6 + LEADING
    drawing.write(label, x=(place(axis.low) + place(axis.high)) / 2)
