"""Numerical derivatives with error bars: central differences over a ladder of steps, extrapolated to step zero.

Every output is differenced on its own, before anything is summed: in a sum, rounding errors would hide small slopes.
For each output, the result comes from the triple of successive steps with the smallest bar among those that agree with
all finer ones. So an output near a kink uses small steps, while others use large ones.

References
----------
Ridders, "Accurate computation of F'(x) and F'(x)F''(x)", Adv. Eng. Software 4, 1982; Press et al., "Numerical Recipes",
3rd ed., section 5.7. The error bar differs from theirs, which is often below the true error.
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
# The numbers of levels after which lines with good slopes are finished.
_STAGES = (2, 3, 4, 6, _LEVELS)
# The first level once most lines have needed the small steps: then kinks are nearer than the large ones.
_LATE_START = 5
# The most output numbers per step that are kept at once, for all lines of a chunk.
_MAX_CHUNK = 4096


class Line(NamedTuple):
    """An array to move (in place, then restored), an entry, several or all (None), and the direction.

    `step` is the largest step of the ladder, for one entry in units of that entry; each next step is a quarter.
    """

    array: Array
    entry: tuple[int | slice, ...] | None
    direction: Array | float = 1.0
    step: float = FIRST_STEP


Lines = Sequence[Line] | Array


class Ladder:
    """The steps that the first lines through a point needed, so that others can skip some.

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
        The slope and its error bar, which is infinite if there is no slope.
    low, high : array
        The smaller and the larger one-sided slope, if the point itself is at a kink; otherwise both are `value`.
    """

    value: Array
    bar: Array
    low: Array
    high: Array

    @property
    def kink(self) -> Array:
        """Whether the point is at a kink of the output along the line."""
        return self.low < self.high


Call = Callable[[], Array]
Enough = Callable[[Slopes], Array]


def use_all_steps(found: Slopes) -> Array:
    """Return False for every line, so that all steps are used."""
    return np.zeros(len(found.value), dtype=bool)


def round_to_30_bits(x: Array) -> Array:
    """Return `x` as float64 rounded to 30 binary digits, so that adding a step of the ladder is exact.

    Zeros, signs, ties and all float32 numbers stay unchanged.
    """
    mantissa, exponent = np.frexp(x.astype(np.float64))
    return np.asarray(np.ldexp(np.round(np.ldexp(mantissa, 30)), exponent - 30))


def slopes(outputs: Call, lines: Lines, *, is_sufficient: Enough = use_all_steps, least: float = 0.0) -> Slopes:
    """Return the slopes of all outputs along each line through the current point.

    Parameters
    ----------
    outputs : callable
        Returns the outputs at the current point, as an array that later calls do not change.
    lines : sequence of Line
    is_sufficient : callable
        ``is_sufficient(slopes) -> array of bool``: the lines that need no further steps.
    least : float
        The size of intermediate numbers, if larger than the outputs: the outputs contain their rounding.
    """
    chunks = slopes_by_chunks(outputs, lines, is_sufficient, least, Ladder())
    return Slopes(*map(np.concatenate, zip(*chunks, strict=True)))


def slopes_by_chunks(
    outputs: Call, lines: Lines, is_sufficient: Enough, least: float, ladder: Ladder
) -> Iterator[Slopes]:
    """Yield the slopes along the lines, one chunk after the other, to save memory; see `slopes`."""
    # A step may leave the domain; outputs that are not finite get an infinite bar.
    with np.errstate(all="ignore"):
        start = perf_counter()
        center = np.array(outputs(), dtype=np.float64).reshape(-1)
        # At most some seconds per chunk, so that the progress bar moves.
        size = max(1, min(_MAX_CHUNK // max(1, center.size), int(0.1 / max(1e-9, perf_counter() - start))))
        every = np.fromiter(lines, object)
        for i in range(0, len(every), size):
            yield _chunk(outputs, center, every[i : i + size], is_sufficient, least, ladder)


def _chunk(outputs: Call, center: Array, lines: Array, is_sufficient: Enough, least: float, ladder: Ladder) -> Slopes:
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
        # A kink within the smallest steps counts as one at the point: no step can separate the two.
        sharp = is_sufficient(found._replace(bar=np.where(found.kink, 0.0, found.bar)) if end == _LEVELS else found)
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


def _evaluate(outputs: Call, line: Line, level: int, count: int) -> tuple[Array, Array, Array]:
    """Return the outputs one step ahead and one step back, and the step."""
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

    A step of 0.25 at 1e9 would be lost in rounding.
    """
    exponent: Array = np.floor(np.log2(np.maximum(1.0, np.abs(x)))) - 10
    return np.exp2(np.maximum(0.0, exponent))


def _extrapolate(plus: Array, minus: Array, center: Array, steps: Array, least: float, *, finest: bool) -> Slopes:
    """Return slopes from outputs (levels, lines, outputs) at the points plus and minus each step (levels, lines, 1).

    `finest`: whether the smallest steps of the ladder are among them.
    """
    # The errors are in h**2, h**4, ...; each extrapolation removes one of them.
    rough = (plus - minus) / (2 * steps)
    fine = _richardson(rough, 2)
    if len(steps) > 2:
        rough, fine = fine, _richardson(fine, 4)
    # The largest size, without NaN.
    size = np.fmax.reduce([*np.abs(plus), *np.abs(minus), np.abs(center) + 0 * steps[0]])
    # At least the rounding of the output. If larger numbers cancel in it, the finest steps show their rounding.
    # A line that reaches the last stage is noisy.
    count, factor = (3, 10) if finest else (1, 4)
    scatters = np.abs(np.diff(rough, axis=0)) * steps[1 - len(rough) :]
    scatter = scatters[-count:].max(axis=0)
    rounding = 3 * _EPS * size
    noise = np.maximum(rounding, factor * scatter)
    ahead, back = (plus - center) / steps, (center - minus) / steps
    gap = np.abs(ahead - back)
    # If steps are so small that outputs change only by rounding, an equal output proves nothing.
    move = np.abs(plus - minus)
    tiny = move <= 100 * _EPS * least
    drowned = tiny & (tiny & (move > 0)).any(axis=0)
    floors = np.where(drowned, np.maximum(noise, 3 * _EPS * least), noise) / steps
    bars = np.abs(fine - rough[1:]) + floors[-len(fine) :]
    # If the output is smooth, the gap between the one-sided slopes shrinks with the step, to a quarter. If it does
    # not, a kink is within the step, and both sides may agree on a wrong slope.
    stays = gap[1:] > 0.3 * gap[:-1]
    within = np.where(stays, gap[1:], 0.0)
    # At the two finest of its steps, or at the only one.
    bars = np.maximum(bars, np.maximum(within[-len(fine) :], within[: len(fine)]))
    bars[~np.isfinite(bars)] = np.inf
    value, bar = fine[-1].copy(), bars[-1].copy()
    calm: Array | float = np.inf
    if finest:
        # A kink between the finest steps makes all their bars large, so everything would agree with them. But it is not
        # noise, which scatters at each of these steps.
        noisy = np.maximum(rounding, factor * np.median(scatters[-5:], axis=0))
        calm = np.where(drowned.any(axis=0), np.inf, noisy / steps[-1])
    for k in reversed(range(len(fine) - 1)):
        agrees = (np.abs(fine[k] - fine[k + 1 :]) <= bars[k] + bars[k + 1 :]).all(axis=0)
        agrees &= np.abs(fine[k] - rough[-1]) <= bars[k] + calm
        better = agrees & (bars[k] < bar)
        value[better], bar[better] = fine[k][better], bars[k][better]
    # If estimates still grow with every finer step, the function is too steep for these steps.
    if finest:
        growth = np.abs(rough[-3:])
        steep = (growth[1:] > 2 * growth[:-1]).all(axis=0)
        # The same if the finest estimates agree on a slope that the coarse ones, over many waves, do not show.
        steep |= (np.abs(rough[-1] - rough[-2]) < 0.3 * growth[-1]) & (np.abs(rough[-1] - value) > 0.5 * growth[-1])
        # Or if the change of the estimates grows as the steps shrink: two kinks are within the smallest step.
        change = np.diff(rough[-4:], axis=0)
        ratio = change[1:] / np.where(change[:-1] == 0, np.inf, change[:-1])
        steep |= ((ratio > 3.5) & (ratio < 4.5)).all(axis=0) & (np.abs(change[-1]) > 30 * rounding / steps[-1])
        bar = np.where(steep & (growth[-1] > 10 * rounding / steps[-1]), np.inf, bar)
    # An output that changes by no more than the rounding of intermediate numbers has a slope too small to measure.
    still: Array = tiny.all(axis=0)
    bar = np.where(still, np.maximum(bar, 3 * _EPS * least / steps[0]), bar)
    # At a kink at the point itself, the gap stays the same to the end; noise makes it grow.
    kink = stays[-min(2, len(stays)) :].all(axis=0) & (gap[-1] < 2 * gap[-2]) & (gap[-1] > 4 * noise / steps[-1])
    right, left = (side[-1] + (side[-1] - side[-2]) / (_RATIO - 1) for side in (ahead, back))
    # Use only the last two steps to estimate the noise: in larger steps, the curvature of the two sides may differ.
    edge = np.maximum(rounding / steps[-1], 4 * np.abs(rough[-1] - rough[-2]))
    spread = np.abs(ahead[-1] - ahead[-2]) + np.abs(back[-1] - back[-2]) + 4 * edge
    value[~np.isfinite(value)] = 0.0
    low, high = (np.where(kink, side, value) for side in (np.minimum(left, right), np.maximum(left, right)))
    return Slopes(value, np.where(kink, spread, bar), low, high)


def _richardson(rough: Array, order: int) -> Array:
    """Return estimates without the error of this order in the step, one fewer than before (Richardson)."""
    return rough[1:] + (rough[1:] - rough[:-1]) / (_RATIO**order - 1)
