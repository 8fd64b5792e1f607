"""If a gradient disagrees with its slopes: is it wrong, or a valid choice where pieces meet?

A function may have several kinks at one point: a row of zeros in a two-layer network, ties in a sort. There, the chain
rule may give a value that is not between the one-sided slopes along a line. So nearby points decide: a right gradient
is right at nearby points, and at the point itself it is one of the slopes found nearby.

References
----------
Clarke, "Optimization and Nonsmooth Analysis", 1983: the subdifferential is the hull of the gradients nearby.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

import numpy as np

from minidl._core.errors import MinidlError
from minidl._core.types import Array
from minidl.gradcheck.measured import Compared, project
from minidl.gradcheck.probing import Broken
from minidl.gradcheck.slopes import round_to_30_bits, unit_of
from minidl.gradcheck.subjects import Subject

# The number of nearby points.
_NEIGHBOURS = 8
# The number of lines that are measured at each nearby point.
_LINES = 8
# The largest distance of a nearby point, in units of the number that moves.
_MOVE = 2.0**-10
# The search for a nearby point with exactly the same gradient: number of trials, and distance.
_TRIALS, _NEAREST = 400, 2.0**-20

Measure = Callable[[Array, Array, Array], Compared]


class Kind(Enum):
    """The kinds of disagreement at a point."""

    WRONG = "wrong at nearby points too"
    WRONG_HERE = "right nearby; at the point, two pieces meet, and it is the slope of neither"
    CHOICE = "right nearby; at the point, one of the slopes found nearby"
    UNCLEAR = "right nearby; at the point, none of the slopes found nearby"


def judge(subject: Subject, name: str, compared: Compared, measure: Measure, rng: np.random.Generator) -> list[Kind]:
    """Return the kind of disagreement along each line; `compared` holds only lines that look wrong.

    Parameters
    ----------
    subject : Subject
    name : str
        The tensor that the lines belong to.
    compared : Compared
        The lines where the gradient disagrees with its slope.
    measure : callable
        ``measure(lines, analytic, rounding) -> Compared``, at the current point of the subject.
    """
    claims: list[Array] = []
    count, wrong_beside = len(compared.lines), 0
    off = np.maximum(compared.low - compared.analytic, compared.analytic - compared.high)
    for trial in range(2 * _NEIGHBOURS):
        if trial >= _NEIGHBOURS and claims:
            break
        # If kinks are so dense that none of these points is usable, go further away.
        far = _MOVE * (1 if trial < _NEIGHBOURS else 32)
        try:
            with moved(subject, rng, far, absolute=trial % 2 == 0):
                claimed = project(subject.gradients()[name], compared.lines)
                some = rng.permutation(count)[:_LINES]
                nearby = measure(compared.lines[some], claimed[some], compared.rounding[some])
        except (Broken, MinidlError):
            # The nearby point is outside the domain of the function.
            continue
        if (nearby.wrong & ~nearby.kinked).any():
            # One nearby point may by chance be within the smallest step of a kink.
            wrong_beside += 1
            if wrong_beside == 2:
                return [Kind.WRONG] * count
            continue
        # A nearby point is usable if it would have shown a disagreement of this size.
        if ((nearby.margin < 0.5 * off[some]) & ~nearby.kinked).any():
            claims.append(claimed)
    if not claims:
        return [Kind.WRONG if subject.single_kinks else Kind.UNCLEAR] * count
    near = np.array(claims)
    kinds = [_kind(subject, near[:, i], compared, i) for i in range(count)]
    if set(kinds) != {Kind.CHOICE} and _has_equal_neighbour(subject, rng):
        return [Kind.CHOICE] * count
    return kinds


def _kind(subject: Subject, near: Array, compared: Compared, i: int) -> Kind:
    claimed, low, high = compared.analytic[i], compared.low[i], compared.high[i]
    slack = compared.rounding[i] + 1e-9 * np.abs(near).max()
    if near.min() - slack <= claimed <= near.max() + slack:
        return Kind.CHOICE
    # If every nearby point has one of the two slopes measured at the point, only two pieces meet, and it is neither.
    off = max(low - claimed, claimed - high)
    two_pieces = np.minimum(np.abs(near - low), np.abs(near - high)).max() <= 0.25 * off
    return Kind.WRONG_HERE if two_pieces and subject.single_kinks else Kind.UNCLEAR


def _has_equal_neighbour(subject: Subject, rng: np.random.Generator) -> bool:
    """Return whether a nearby point has the same gradient: then the gradient is a limit of gradients nearby.

    Ties can be broken in many ways; a random one is almost never the chosen one. So keep the best step, and draw only
    those of its entries again whose gradients differ.
    """
    center, tensors = subject.gradients(), subject.tensors
    slack = {name: 1e-4 * np.abs(gradient).max(initial=0.0) for name, gradient in center.items()}
    anew = {name: np.ones(tensor.shape, bool) for name, tensor in tensors.items()}
    best, wrong, fewest = {name: np.zeros(tensor.shape) for name, tensor in tensors.items()}, anew, math.inf
    for trial in range(_TRIALS):
        step = {name: np.where(anew[name], _step(t, rng, _NEAREST), best[name]) for name, t in tensors.items()}
        with _stepped(subject, list(step.values())):
            try:
                near = subject.gradients()
            except (Broken, MinidlError):
                continue
        differ = {name: ~(np.abs(near[name] - at) <= slack[name]) for name, at in center.items()}
        if (count := sum(int(mask.sum()) for mask in differ.values())) <= fewest:
            best, wrong, fewest = step, differ, count
        if not fewest:
            return True
        # Draw some entries that differ, sometimes others too: a right entry may prevent others from being right.
        share = 0.5 if trial % 3 else 0.1
        anew = {name: (wrong[name] | (trial % 3 == 0)) & (rng.random(wrong[name].shape) < share) for name in tensors}
    return False


def _step(tensor: Array, rng: np.random.Generator, far: float) -> Array:
    """Return a step of half `far` to `far` for each entry, in units of that entry."""
    share: Array = rng.uniform(0.5, 1.0, tensor.shape) * rng.choice([-1.0, 1.0], tensor.shape)
    return round_to_30_bits(share * unit_of(tensor) * unit_of_small(tensor) * far)


@contextmanager
def moved(subject: Subject, rng: np.random.Generator, far: float, *, absolute: bool) -> Iterator[None]:
    """Move all tensors by up to `far`: equally everywhere, or in proportion, which stays inside most domains."""
    steps = []
    for tensor in subject.tensors.values():
        step = _step(tensor, rng, far)
        steps.append(step if absolute else np.where(tensor == 0, step, round_to_30_bits(step * np.abs(tensor))))
    upstream = subject.upstream, subject.upstream_bar
    try:
        with _stepped(subject, steps):
            subject.renew()
            yield
    finally:
        subject.upstream, subject.upstream_bar = upstream


@contextmanager
def _stepped(subject: Subject, steps: list[Array]) -> Iterator[None]:
    """Add a step to each tensor, and restore all of them afterwards."""
    saved = [(tensor, tensor.copy()) for tensor in subject.tensors.values()]
    try:
        for (tensor, _), step in zip(saved, steps, strict=True):
            tensor += step
        yield
    finally:
        for tensor, original in saved:
            tensor[...] = original


def unit_of_small(tensor: Array) -> float:
    """Return a power of two near the largest entry if all are below 1/1000: such an x likely has a small unit."""
    largest = float(np.abs(tensor).max(initial=0.0))
    return 1.0 if largest == 0.0 or largest >= 2.0**-10 else float(2.0 ** np.floor(np.log2(largest)))


def gradient_noise(subject: Subject, rng: np.random.Generator) -> dict[str, float]:
    """Return the rounding error of the gradient of each tensor, at most a millionth of its largest entry.

    Along a tiny step the gradient is a straight line, so its second difference consists of rounding. The result is 8
    times this difference. More than a millionth is probably a jump at a kink.
    """
    center = subject.gradients()
    noise: dict[str, list[float]] = {name: [] for name in subject.tensors}
    most = {name: 1e-6 * float(np.abs(at).max(initial=0.0)) for name, at in center.items()}
    for _ in range(7):
        steps = [
            unit_of(t) * unit_of_small(t) * rng.choice([-1.0, 1.0], t.shape) * rng.uniform(2.0**-23, 2.0**-22, t.shape)
            for t in subject.tensors.values()
        ]
        sides = []
        for sign in (1.0, -1.0):
            with _stepped(subject, [sign * step for step in steps]):
                sides.append(subject.gradients())
        for name, at in center.items():
            noise[name].append(8 * float(np.abs(sides[0][name] + sides[1][name] - 2 * at).max(initial=0.0)))
    return {name: _without_jumps(noise[name], most[name]) for name in noise}


def _without_jumps(noise: list[float], most: float) -> float:
    """Return the largest rounding error: at most `most`, and without values far larger than the others."""
    small = [value for value in noise if value <= most]
    if len(small) == len(noise) or (len(small) > 1 and max(small) < 1e-3 * most):
        return max(small)
    return most
