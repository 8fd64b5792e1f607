"""Numerical derivatives with error bars: central differences over a ladder of steps, extrapolated to step zero.

Every output is differenced by itself, before anything is summed: where outputs are summed first, their rounding errors
drown small slopes. For each output the triple of neighbouring steps is taken whose bar is smallest among those that
agree with all finer ones, so that an output with a kink nearby uses small steps while its neighbours use large ones.

References
----------
Ridders, "Accurate computation of F'(x) and F'(x)F''(x)", Adv. Eng. Software 4, 1982; Press et al., "Numerical Recipes",
3rd ed., section 5.7. The bar is not theirs: their own estimate is often below the true error.
"""

from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import NamedTuple

import numpy as np

from minidl._core.types import Array

_EPS = float(np.finfo(np.float64).eps)
FIRST_STEP = 0.25
# A power of two, like the first step: x + h is then exact for an x of few digits (see `round_to_30_bits`).
_RATIO = 4.0
_LEVELS = 11
# How many of them are taken before it is asked whether a line is clean.
_STAGES = (2, 3, 4, 6, _LEVELS)
# Where to begin on the ladder once most lines have needed its small steps: kinks are then nearer than the large ones.
_LATE_START = 5
# Numbers of one step's outputs that are held at once, for all lines of a chunk.
_MAX_CHUNK = 4096


class Line(NamedTuple):
    """Where to: an array to move (in place, and put back), one entry of it, some or all (None), the direction.

    `step` is the largest of the ladder, of one entry in units of the number that moves; each further one is a quarter.
    """

    array: Array
    entry: tuple[int | slice, ...] | None
    direction: Array | float = 1.0
    step: float = FIRST_STEP


Lines = Sequence[Line] | Array


class Ladder:
    """What the first lines through a point have shown of its steps, which spares the others some.

    Attributes
    ----------
    later : bool
        Whether most lines have needed the small steps.
    """

    later = False


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


Enough = Callable[[Slopes], Array]


def never(found: Slopes) -> Array:
    """Say of no line that its slopes are good enough, so that all steps are taken."""
    return np.zeros(len(found.value), dtype=bool)


def round_to_30_bits(x: Array) -> Array:
    """Return `x` as float64 rounded to 30 binary digits, so that adding a step of the ladder is exact.

    Zeros, signs and ties stay as they are; so does every float32.
    """
    mantissa, exponent = np.frexp(x.astype(np.float64))
    return np.asarray(np.ldexp(np.round(np.ldexp(mantissa, 30)), exponent - 30))


def slopes(outputs: Callable[[], Array], lines: Lines, *, enough: Enough = never, least: float = 0.0) -> Slopes:
    """Return the slopes of all outputs along each line through the present point.

    Parameters
    ----------
    outputs : callable
        Returns the outputs at the present point, as an array that later calls do not change.
    lines : sequence of Line
    enough : callable
        ``enough(slopes) -> array of bool``: the lines that need no further steps.
    least : float
        The size of numbers that the outputs are made of, if larger than theirs: their rounding is in the outputs too.
    """
    chunks = slopes_by_chunks(outputs, lines, enough, least, Ladder())
    return Slopes(*map(np.concatenate, zip(*chunks, strict=True)))


def slopes_by_chunks(
    outputs: Callable[[], Array], lines: Lines, enough: Enough, least: float, ladder: Ladder
) -> Iterator[Slopes]:
    """Yield the slopes along some of the lines, and along the next, so that not all are held at once; see `slopes`."""
    # A step may leave the domain; what is not finite there gets an infinite bar.
    with np.errstate(all="ignore"):
        start = perf_counter()
        center = np.array(outputs(), dtype=np.float64).reshape(-1)
        # No more than some seconds in one go, so that progress shows.
        size = max(1, min(_MAX_CHUNK // max(1, center.size), int(0.1 / max(1e-9, perf_counter() - start))))
        every = np.fromiter(lines, object)
        for i in range(0, len(every), size):
            yield _chunk(outputs, center, every[i : i + size], enough, least, ladder)


def _chunk(
    outputs: Callable[[], Array], center: Array, lines: Array, enough: Enough, least: float, ladder: Ladder
) -> Slopes:
    result = Slopes(*(np.empty((len(lines), center.size)) for _ in range(4)))
    waiting, taken = np.arange(len(lines)), {}
    rungs = [(0, end) for end in _STAGES]
    if ladder.later:
        rungs = [*((_LATE_START, _LATE_START + end) for end in _STAGES[1:-1]), (0, _LEVELS)]
    for begin, end in rungs:
        for level in [level for level in range(begin, end) if level not in taken]:
            each = [_evaluate(outputs, line, level, center.size) for line in lines[waiting]]
            taken[level] = tuple(map(np.array, zip(*each, strict=True)))
        plus, minus, steps = map(np.array, zip(*(taken[level] for level in range(begin, end)), strict=True))
        found = _extrapolate(plus, minus, center, steps, least, finest=end == _LEVELS)
        # Where the smallest steps are taken, a kink is one of the point, and no more can be known of it.
        sharp = enough(found._replace(bar=np.where(found.kink, 0.0, found.bar)) if end == _LEVELS else found)
        clean: Array = (sharp & ((end == _LEVELS) | ~found.kink.any(axis=1))) | ((begin, end) == (0, _LEVELS))
        for kept, fresh in zip(result, found, strict=True):
            kept[waiting[clean]] = fresh[clean]
        if rungs[0][0] == 0 and end == _LEVELS:
            ladder.later = bool(2 * sharp.sum() > len(lines))
        waiting = waiting[~clean]
        taken = {level: tuple(array[~clean] for array in arrays) for level, arrays in taken.items()}
        if not len(waiting):
            break
    return result


def _evaluate(outputs: Callable[[], Array], line: Line, level: int, count: int) -> tuple[Array, Array, Array]:
    """Return the outputs a step ahead and a step back, and the step."""
    array, entry, direction, first_step = line
    place = ... if entry is None else entry
    step = first_step / _RATIO**level
    original = array[place].copy()
    if original.ndim == 0:
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


def _extrapolate(plus: Array, minus: Array, center: Array, steps: Array, least: float, *, finest: bool) -> Slopes:
    """Return slopes from outputs (levels, lines, outputs) at the points plus and minus each step (levels, lines, 1).

    `finest` says that the smallest steps of the ladder are among them.
    """
    # Its errors are in h**2, h**4, ...: each extrapolation takes one of them away.
    rough = (plus - minus) / (2 * steps)
    fine = _richardson(rough, 2)
    if len(steps) > 2:
        rough, fine = fine, _richardson(fine, 4)
    # The largest of those that are numbers.
    size = np.fmax.reduce([*np.abs(plus), *np.abs(minus), np.abs(center) + 0 * steps[0]])
    # Rounding of an output, at least; where it is the result of larger numbers that cancel, the finest steps show it.
    # A line that gets to the last stage is a noisy one.
    count, factor = (3, 10) if finest else (1, 4)
    scatters = np.abs(np.diff(rough, axis=0)) * steps[1 - len(rough) :]
    scatter = scatters[-count:].max(axis=0)
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
    within = np.where(stays, gap[1:], 0.0)
    # At the two finest of its steps, or the one that there is.
    bars = np.maximum(bars, np.maximum(within[-len(fine) :], within[: len(fine)]))
    bars[~np.isfinite(bars)] = np.inf
    value, bar = fine[-1].copy(), bars[-1].copy()
    calm: Array | float = np.inf
    if finest:
        # A kink between the finest steps makes all their bars large, with which anything agrees. It is no noise,
        # though: that scatters at each of these steps.
        noisy = np.maximum(rounding, factor * np.median(scatters[-5:], axis=0))
        calm = np.where(drowned.any(axis=0), np.inf, noisy / steps[-1])
    for k in reversed(range(len(fine) - 1)):
        agrees = (np.abs(fine[k] - fine[k + 1 :]) <= bars[k] + bars[k + 1 :]).all(axis=0)
        agrees &= np.abs(fine[k] - rough[-1]) <= bars[k] + calm
        better = agrees & (bars[k] < bar)
        value[better], bar[better] = fine[k][better], bars[k][better]
    # Where estimates still grow with every finer step, the function is steeper than the steps can show.
    if finest:
        growth = np.abs(rough[-3:])
        steep = (growth[1:] > 2 * growth[:-1]).all(axis=0)
        # The same where the finest estimates agree on a slope that the coarse ones, over many waves, do not show.
        steep |= (np.abs(rough[-1] - rough[-2]) < 0.3 * growth[-1]) & (np.abs(rough[-1] - value) > 0.5 * growth[-1])
        # Or where a change of the estimates grows as the steps shrink: two kinks lie within the smallest.
        change = np.diff(rough[-4:], axis=0)
        ratio = change[1:] / np.where(change[:-1] == 0, np.inf, change[:-1])
        steep |= ((ratio > 3.5) & (ratio < 4.5)).all(axis=0) & (np.abs(change[-1]) > 30 * rounding / steps[-1])
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


def _richardson(rough: Array, order: int) -> Array:
    """Return estimates without the error of `order` in the step, one fewer than there were (Richardson)."""
    return rough[1:] + (rough[1:] - rough[:-1]) / (_RATIO**order - 1)
