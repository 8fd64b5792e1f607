"""Ticks: round numbers that never touch, over the whole axis, for values of up to 1e300."""

import itertools
import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from minidl._core.types import Axes
from minidl.plotting.style import SIZE, figure_of, width_of


def set_limits(ax: Axes, values: Sequence[float], *, log: bool = False, axis: str = "y", points: float = 130) -> None:
    """Give an axis limits around finite `values`, and round ticks between them: as many as that many points hold."""
    low, high = float(min(values)), float(max(values))
    if log:
        getattr(ax, f"set_autoscale{axis}_on")(False)
        getattr(ax, f"set_{axis}scale")("log")
        bottom, top = math.log10(low), math.log10(high)
        margin = max(0.05 * (top - bottom), 0.15 - (top - bottom) / 2)
        low, high = 10.0 ** max(bottom - margin, -323.0), 10.0 ** min(top + margin, 308.0)
    else:
        size = max(abs(low), abs(high))
        # Noise is not worth an axis of its own, nor are numbers that matplotlib takes for zero.
        least = 1e-4 * size if size > 1e-280 else 1.0
        margin = max(0.05 * (high - low), least / 2)
        low, high = low - margin, high + margin
    getattr(ax, f"set_{axis}lim")(low, high)
    set_ticks(ax, low, high, log=log, axis=axis, points=points)


def set_ticks(
    ax: Axes, low: float, high: float, *, log: bool = False, axis: str = "y", points: float = 130, whole: bool = False
) -> None:
    """Put round ticks between two values: as many as that many points hold, or fewer points if the axes are smaller."""
    from matplotlib.ticker import NullLocator

    extent = ax.get_window_extent()
    length = (extent.height if axis == "y" else extent.width) / figure_of(ax).dpi * 72
    points = min(points, length)
    for most in range(max(2, min(9 if log else 7, int(points / (1.3 * SIZE)))), 0, -1):
        ticks = log_ticks(low, high, most) if log else round_ticks(low, high, most, whole=whole)
        labels = tick_labels(ticks, log=log)
        if axis == "y" or most * max(width_of(label, SIZE) + 8 for label in [*labels, ""]) <= points:
            break
    target: Any = getattr(ax, f"{axis}axis")
    target.set_ticks(ticks, labels)
    target.set_minor_locator(NullLocator())


def round_ticks(low: float, high: float, most: int, *, whole: bool = False) -> list[float]:
    """Return multiples of a round step between two values, at most so many.

    Examples
    --------
    >>> round_ticks(0.0, 1.0, 6)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    power = math.floor(math.log10(high / most - low / most)) if high > low else 0
    power = max(power, 0) if whole else power
    for exponent, factor in itertools.product(range(power, power + 3), (1, 2, 5)):
        step = float(f"{factor}e{exponent}")
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            return [float(f"{k * factor}e{exponent}") for k in range(first, last + 1)]
    return []


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Return round numbers between two values for a logarithmic axis, no two closer than 1 / `most` of its length.

    Of several ways it is the one that leaves the smallest parts of the axis without a number.

    Examples
    --------
    >>> log_ticks(2.5, 12.0, 6)
    [3.0, 4.0, 6.0, 10.0]
    """
    bottom, top = math.log10(low), math.log10(high)
    powers = range(math.floor(bottom), math.ceil(top) + 1)
    ways = [
        [float(f"1e{power}") for power in powers if power % every == 0] for every in (1, 2, 5, 10, 20, 50, 100, 200)
    ]
    for digits in ([1, 3], [1, 2, 5], [1, 2, 3, 5], [1, 2, 3, 4, 6], [1, 1.5, 2, 3, 4, 5, 6, 8]):
        ways += [[float(f"{digit}e{power}") for power in powers for digit in digits]]
    if top - bottom < 1:
        ways += [round_ticks(low, high, count) for count in range(1, most + 1)]
    best, worst = [low], math.inf
    for way in ways:
        ticks = [tick for tick in way if tick > 0 and low <= tick <= high]
        places = [bottom, *map(math.log10, ticks), top]
        gaps = [after - before for before, after in itertools.pairwise(places)]
        holes = sum(gap**2 for gap in gaps)
        if ticks and min(gaps[1:-1], default=math.inf) * most >= top - bottom and holes < worst:
            best, worst = ticks, holes
    return best


def tick_labels(ticks: Sequence[float], *, log: bool = False) -> list[str]:
    """Return the numbers as texts, equally many decimals on a linear axis, in powers of ten where these are shorter.

    Examples
    --------
    >>> tick_labels([0.0, 0.5, 1.0]), tick_labels([1e-300, 1.0, 20000.0], log=True)
    (['0.0', '0.5', '1.0'], ['1e\u2212300', '1', '20,000'])
    """
    places = [max(0, -int(Decimal(repr(tick)).normalize().as_tuple().exponent)) for tick in ticks]
    texts = []
    for tick, own in zip(ticks, places, strict=True):
        decimals = own if log else max(places)
        plain = decimals <= (4 if log else 6) and (abs(tick) if log else max(map(abs, ticks))) < 1e9
        text = f"{tick:,.{decimals}f}" if plain else f"{tick:.9g}"
        texts.append(re.sub(r"e\+?(-?)0*", r"e\1", text).replace("-", "\u2212"))
    return texts
