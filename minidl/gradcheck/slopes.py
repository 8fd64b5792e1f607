"""Numerical derivatives with error bars: central differences over a ladder of steps, extrapolated to step zero.

Every output is differenced by itself, before anything is summed: where outputs are summed first, their rounding errors
drown small slopes. For each output the triple of neighbouring steps is taken whose bar is smallest among those that
agree with all finer ones, so that an output with a kink nearby uses small steps while its neighbours use large ones.

References
----------
Ridders, "Accurate computation of F'(x) and F'(x)F''(x)", Adv. Eng. Software 4, 1982; Press et al., "Numerical Recipes",
3rd ed., section 5.7. The bar is not theirs: their own estimate is often below the true error.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minidl._core.types import Array

_EPS = float(np.finfo(np.float64).eps)
FIRST_STEP = 0.25
# A power of two, like the first step: x + h is then exact for an x of few digits (see `few_digits`).
_RATIO = 4.0
# How many steps of the ladder are taken before it is asked whether a line is clean.
_STAGES = (2, 3, 6, 11)
# Numbers of one step's outputs that are held at once, for all lines of a chunk.
_CHUNK = 4096


class Line(NamedTuple):
    """Where to: an array to move (in place, and put back), one entry or None for all, the direction.

    `step` is the largest of the ladder, in units of the number that moves; each further one is a quarter of it.
    """

    array: Array
    entry: tuple[int, ...] | None
    direction: Array | float = 1.0
    step: float = FIRST_STEP


Lines = Sequence[Line] | Array


class Slopes(NamedTuple):
    """Slopes of outputs along lines, all arrays of shape (lines, outputs).

    Attributes
    ----------
    value, bar : array
        The slope and its error bar; infinite where it could not be found.
    low, high : array
        The one-sided slopes in order, where there is a kink at the point itself; else both are `value`.
    """

    value: Array
    bar: Array
    low: Array
    high: Array

    @property
    def kink(self) -> Array:
        """Whether the point is at a kink of the output along the line."""
        return self.low < self.high


def few_digits(x: Array) -> Array:
    """Return `x` as float64 rounded to 30 binary digits, so that adding a step of the ladder is exact.

    Zeros, signs and ties stay as they are; so does every float32.
    """
    mantissa, exponent = np.frexp(x.astype(np.float64))
    return np.asarray(np.ldexp(np.round(np.ldexp(mantissa, 30)), exponent - 30))


def slopes(outputs: Callable[[], Array], lines: Lines, *, wanted: float = 0.0, least: float = 0.0) -> Slopes:
    """Return the slopes of all outputs along each line through the present point.

    Parameters
    ----------
    outputs : callable
        Returns the outputs at the present point, as an array that later calls do not change.
    lines : sequence of Line
    wanted : float
        A line whose bars are all below this needs no further steps.
    least : float
        The size of numbers that the outputs are made of, if larger than theirs: their rounding is in the outputs too.
    """
    # A step may leave the domain; what is not finite there gets an infinite bar.
    with np.errstate(all="ignore"):
        center = np.array(outputs(), dtype=np.float64).reshape(-1)
        size = max(1, _CHUNK // max(1, center.size))
        every = np.fromiter(lines, object)
        chunks = [every[i : i + size] for i in range(0, len(every), size)]
        parts = [_chunk(outputs, center, chunk, wanted, least) for chunk in chunks]
    return Slopes(*map(np.concatenate, zip(*parts, strict=True)))


def _chunk(outputs: Callable[[], Array], center: Array, lines: Array, wanted: float, least: float) -> Slopes:
    result = Slopes(*(np.empty((len(lines), center.size)) for _ in range(4)))
    open_lines = np.arange(len(lines))
    plus, minus, steps = (np.empty((0, len(lines), n)) for n in (center.size, center.size, 1))
    for stage in _STAGES:
        for level in range(len(plus), stage):
            new = zip(*(_evaluate(outputs, line, level, center.size) for line in lines[open_lines]), strict=True)
            both = zip((plus, minus, steps), new, strict=True)
            plus, minus, steps = (np.append(old, [of_lines], axis=0) for old, of_lines in both)
        found = _extrapolate(plus, minus, center, steps, least)
        clean: Array = np.all((found.bar <= wanted) & ~found.kink, axis=1) | (stage == _STAGES[-1])
        for kept, fresh in zip(result, found, strict=True):
            kept[open_lines[clean]] = fresh[clean]
        open_lines = open_lines[~clean]
        plus, minus, steps = (array[:, ~clean] for array in (plus, minus, steps))
        if not len(open_lines):
            break
    return result


def _evaluate(outputs: Callable[[], Array], line: Line, level: int, count: int) -> tuple[Array, Array, Array]:
    """Return the outputs a step ahead and a step back, and the step."""
    array, entry, direction, first_step = line
    place = ... if entry is None else entry
    step = first_step / _RATIO**level
    original = array[place].copy()
    if entry is not None:
        step = step * float(unit_of(original))
    try:
        array[place] = original + step * direction
        ahead = np.array(outputs(), dtype=np.float64).reshape(count)
        array[place] = original - step * direction
        back = np.array(outputs(), dtype=np.float64).reshape(count)
    finally:
        array[place] = original
    return ahead, back, np.array([step])


def unit_of(x: Array) -> Array:
    """Return a power of two for each entry, 1 up to 2,048 and a thousandth of what is larger.

    A step of 0.25 from 1e9 would drown in rounding.
    """
    exponent: Array = np.floor(np.log2(np.maximum(1.0, np.abs(x)))) - 10
    return np.exp2(np.maximum(0.0, exponent))


def _extrapolate(plus: Array, minus: Array, center: Array, steps: Array, least: float) -> Slopes:
    """Return slopes from outputs (levels, lines, outputs) at the points plus and minus each step (levels, lines, 1)."""
    # Its errors are in h**2, h**4, ...: each extrapolation takes one of them away.
    rough = (plus - minus) / (2 * steps)
    fine = _richer(rough, 2)
    if len(steps) > 2:
        rough, fine = fine, _richer(fine, 4)
    # The largest of those that are numbers.
    size = np.fmax.reduce([*np.abs(plus), *np.abs(minus), np.abs(center) + 0 * steps[0]])
    # Rounding of an output, at least; where it is the result of larger numbers that cancel, the finest steps show it.
    # A line that gets to the last stage is a noisy one.
    finest, factor = (3, 10) if len(steps) == _STAGES[-1] else (1, 4)
    scatter = (np.abs(rough[-finest:] - rough[-finest - 1 : -1]) * steps[-finest:]).max(axis=0)
    rounding = 3 * _EPS * size
    noise = np.maximum(rounding, factor * scatter)
    ahead, back = (plus - center) / steps, (center - minus) / steps
    gap = np.abs(ahead - back)
    # Among steps so small that the outputs move by roundings of the numbers they are made of, no move is no evidence.
    move = np.abs(plus - minus)
    tiny = move <= 100 * _EPS * least
    drowned = tiny & (tiny & (move > 0)).any(axis=0)
    floors = np.where(drowned, np.maximum(noise, 3 * _EPS * least), noise) / steps
    bars = np.abs(fine - rough[1:]) + floors[-len(fine) :]
    # The gap of the one-sided slopes shrinks with the step where the output is smooth. Where it does not, a kink is
    # within the step, and its two sides may agree on a wrong slope in between.
    # A quarter is left of what shrinks.
    stays = gap[1:] > 0.3 * gap[:-1]
    bars = np.where(stays[-len(fine) :], np.maximum(bars, gap[-len(fine) :]), bars)
    bars[~np.isfinite(bars)] = np.inf
    value, bar = fine[-1].copy(), bars[-1].copy()
    for k in reversed(range(len(fine) - 1)):
        agrees = (np.abs(fine[k] - fine[k + 1 :]) <= bars[k] + bars[k + 1 :]).all(axis=0)
        better = agrees & (bars[k] < bar)
        value[better], bar[better] = fine[k][better], bars[k][better]
    # Where estimates still grow with every finer step, the function is steeper than the steps can show.
    if len(steps) == _STAGES[-1]:
        growth = np.abs(rough[-3:])
        steep = (growth[1:] > 2 * growth[:-1]).all(axis=0)
        # The same where the finest estimates agree on a slope that the coarse ones, over many waves, do not show.
        steep |= (np.abs(rough[-1] - rough[-2]) < 0.3 * growth[-1]) & (np.abs(rough[-1] - value) > 0.5 * growth[-1])
        bar = np.where(steep & (growth[-1] > 10 * rounding / steps[-1]), np.inf, bar)
    # What moves no more than the rounding of the numbers it is made of has a slope too small to be seen.
    still: Array = tiny.all(axis=0)
    bar = np.where(still, np.maximum(bar, 3 * _EPS * least / steps[0]), bar)
    # At a kink of the point itself the gap stays to the end; noise makes it grow.
    kink = stays[-min(2, len(stays)) :].all(axis=0) & (gap[-1] < 2 * gap[-2]) & (gap[-1] > 4 * noise / steps[-1])
    right, left = (side[-1] + (side[-1] - side[-2]) / (_RATIO - 1) for side in (ahead, back))
    # The last pair of steps alone tells the noise here: the sides may bend differently, which coarser ones would show.
    edge = np.maximum(rounding / steps[-1], 4 * np.abs(rough[-1] - rough[-2]))
    spread = np.abs(ahead[-1] - ahead[-2]) + np.abs(back[-1] - back[-2]) + 4 * edge
    value[~np.isfinite(value)] = 0.0
    low, high = (np.where(kink, side, value) for side in (np.minimum(left, right), np.maximum(left, right)))
    return Slopes(value, np.where(kink, spread, bar), low, high)


def _richer(rough: Array, order: int) -> Array:
    """Return estimates without the error of `order` in the step, one fewer than there were (Richardson)."""
    return rough[1:] + (rough[1:] - rough[:-1]) / (_RATIO**order - 1)
