"""Ticks: round numbers that never touch, over the whole axis, for values of up to 1e300."""

import itertools
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from minidl._core.types import Axes
from minidl.plotting.style import points_of, write_inside
from minidl.plotting.texts import SIZE, number_text, width_of


def set_limits(ax: Axes, values: Sequence[float], *, log: bool = False, axis: str = "y", points: float = 130) -> None:
    """Give an axis of matplotlib limits around finite `values`, and round ticks between them; see `set_ticks`.

    Without values it has no ticks, and the axes say that there is nothing to draw.
    """
    if not len(values):
        getattr(ax, f"set_{axis}ticks")([])
        write_inside(ax, "nothing finite to draw")
        return
    low, high = limits_around(float(min(values)), float(max(values)), log=log)
    if log:
        getattr(ax, f"set_autoscale{axis}_on")(False)
        getattr(ax, f"set_{axis}scale")("log")
    getattr(ax, f"set_{axis}lim")(low, high)
    set_ticks(ax, low, high, log=log, axis=axis, points=points)


def set_ticks(
    ax: Axes, low: float, high: float, *, log: bool = False, axis: str = "y", points: float = 130, whole: bool = False
) -> None:
    """Put round ticks between two values: as many as fit into `points`, or into the axes if these are smaller."""
    from matplotlib.ticker import NullLocator

    points = min(points, points_of(ax)["xy".index(axis)])
    ticks = fitting_ticks(low, high, points, SIZE, upright=axis == "y", log=log, whole=whole)
    target: Any = getattr(ax, f"{axis}axis")
    target.set_ticks([*ticks], [*ticks.values()])
    target.set_minor_locator(NullLocator())


def limits_around(low: float, high: float, *, log: bool = False) -> tuple[float, float]:
    """Return limits of an axis with a margin around two values."""
    if log:
        bottom, top = math.log10(low), math.log10(high)
        margin = max(0.05 * (top - bottom), 0.15 - (top - bottom) / 2)
        return 10.0 ** max(bottom - margin, -323.0), 10.0 ** min(top + margin, 308.0)
    size = max(abs(low), abs(high))
    # Noise is not worth an axis of its own, nor are numbers that matplotlib takes for zero.
    least = 1e-3 * size if size > 1e-280 else 1.0
    margin = max(0.05 * (high - low), least / 2)
    return low - margin, high + margin


def fitting_ticks(
    low: float,
    high: float,
    length: float,
    size: float,
    *,
    upright: bool = False,
    log: bool = False,
    whole: bool = False,
) -> dict[float, str]:
    """Return as many round ticks as fit into an axis of this length, with their texts of this size.

    The texts stand side by side, or one above the other on an `upright` axis.
    """
    scale = math.log10 if log else float
    for most in range(max(2, min(9 if log else 7, int(length / (1.3 * size)))), 0, -1):
        ticks = log_ticks(low, high, most) if log else round_ticks(low, high, most, whole=whole)
        labels = tick_labels(ticks, log=log)
        gap = min((scale(b) / 2 - scale(a) / 2 for a, b in itertools.pairwise(ticks)), default=math.inf)
        needed = max(width_of(label, size) for label in [*labels, ""]) + size
        # The halves keep the difference of the largest numbers finite.
        if upright or gap * length >= needed * (scale(high) / 2 - scale(low) / 2):
            break
    return dict(zip(ticks, labels, strict=True))


def round_ticks(low: float, high: float, most: int, *, whole: bool = False) -> list[float]:
    """Return multiples of a round step between two values, at most `most`.

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

    Of several choices it takes the one that leaves the smallest parts of the axis without a number.

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
    """Return the numbers as texts, with equally many decimals on a linear axis.

    Examples
    --------
    >>> tick_labels([0.0, 0.5, 1.0]), tick_labels([1e-300, 1.0, 20000.0], log=True)
    (['0.0', '0.5', '1.0'], ['1e\u2212300', '1', '20,000'])
    """
    places = [max(0, -int(Decimal(repr(tick)).normalize().as_tuple().exponent)) for tick in ticks]
    return [number_text(tick, own if log else max(places), 9) for tick, own in zip(ticks, places, strict=True)]
