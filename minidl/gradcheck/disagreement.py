"""Where a gradient disagrees with its slopes: is it a fault, or a choice where pieces meet?

A function may have several kinks at one point: a row of zeros in a two-layer network, ties in a sort. What the chain
rule gives there need not lie between the one-sided slopes along a line. It is judged by its neighbours: a right
gradient is right at points beside, and at the point it is among the slopes that these have.

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

_NEIGHBOURS = 8
# Lines that are measured at each neighbour.
_LINES = 8
# How far away a neighbour is at most, in units of the number that moves.
_MOVE = 2.0**-10
# Neighbours that are asked for the very gradient of the point, and how near these are.
_TRIALS, _NEAREST = 400, 2.0**-20

Measure = Callable[[Array, Array, Array], Compared]


class Kind(Enum):
    """What a disagreement at a point is."""

    WRONG = "a fault, beside the point too"
    WRONG_HERE = "right beside the point, where two pieces meet; at it, the slope of neither"
    CHOICE = "right beside the point, and at it one of the slopes that are found beside"
    UNCLEAR = "right beside the point, but at it no slope that is found beside"


def judge(subject: Subject, name: str, compared: Compared, measure: Measure, rng: np.random.Generator) -> list[Kind]:
    """Return what the disagreement along each line is; all of them are taken for wrong in `compared`.

    Parameters
    ----------
    subject : Subject
    name : str
        The tensor that the lines go through.
    compared : Compared
        Where the gradient disagrees, and by how much.
    measure : callable
        ``measure(lines, analytic, rounding) -> Compared``, at the subject's present point.
    """
    claims: list[Array] = []
    count, wrong_beside = len(compared.lines), 0
    off = np.maximum(compared.low - compared.analytic, compared.analytic - compared.high)
    for trial in range(2 * _NEIGHBOURS):
        if trial >= _NEIGHBOURS and claims:
            break
        # Where kinks are so dense that none of these is a witness, go further.
        far = _MOVE * (1 if trial < _NEIGHBOURS else 32)
        try:
            with moved(subject, rng, far, absolute=trial % 2 == 0):
                claimed = project(subject.gradients()[name], compared.lines)
                some = rng.permutation(count)[:_LINES]
                found = measure(compared.lines[some], claimed[some], compared.rounding[some])
        except (Broken, MinidlError):
            # The neighbour is beyond what the function takes.
            continue
        if (found.wrong & ~found.kinked).any():
            # By bad luck one neighbour may itself be within the smallest step of a kink.
            wrong_beside += 1
            if wrong_beside == 2:
                return [Kind.WRONG] * count
            continue
        # A neighbour is a witness where it would have shown as large a disagreement.
        if ((found.margin < 0.5 * off[some]) & ~found.kinked).any():
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
    # Where every neighbour has one of the two slopes measured at the point, only two pieces meet, and it is neither.
    off = max(low - claimed, claimed - high)
    two_pieces = np.minimum(np.abs(near - low), np.abs(near - high)).max() <= 0.25 * off
    return Kind.WRONG_HERE if two_pieces and subject.single_kinks else Kind.UNCLEAR


def _has_equal_neighbour(subject: Subject, rng: np.random.Generator) -> bool:
    """Return whether a neighbour has the gradient of the point: then this is a limit of gradients nearby.

    Of the many ways to break ties, one at random is hardly ever the one that was chosen. So the best step is kept, and
    the entries of it whose gradients differ are drawn anew.
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
        # Some of what differs; now and then something else, as an entry may be right and yet in the way of others.
        share = 0.5 if trial % 3 else 0.1
        anew = {name: (wrong[name] | (trial % 3 == 0)) & (rng.random(wrong[name].shape) < share) for name in tensors}
    return False


def _step(tensor: Array, rng: np.random.Generator, far: float) -> Array:
    """Return a step of half `far` to `far` for each entry, in units of the number that moves."""
    share: Array = rng.uniform(0.5, 1.0, tensor.shape) * rng.choice([-1.0, 1.0], tensor.shape)
    return round_to_30_bits(share * unit_of(tensor) * unit_of_small(tensor) * far)


@contextmanager
def moved(subject: Subject, rng: np.random.Generator, far: float, *, absolute: bool) -> Iterator[None]:
    """Move all tensors by up to `far`: as much everywhere, or in proportion, which stays within most domains."""
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
    """Add a step to each tensor, and put all of them back."""
    saved = [(tensor, tensor.copy()) for tensor in subject.tensors.values()]
    try:
        for (tensor, _), step in zip(saved, steps, strict=True):
            tensor += step
        yield
    finally:
        for tensor, original in saved:
            tensor[...] = original


def unit_of_small(tensor: Array) -> float:
    """Return a power of two near the largest entry where all are below 1/1000: such an x is likely in small units."""
    largest = float(np.abs(tensor).max(initial=0.0))
    return 1.0 if largest == 0.0 or largest >= 2.0**-10 else float(2.0 ** np.floor(np.log2(largest)))


def gradient_noise(subject: Subject, rng: np.random.Generator) -> dict[str, float]:
    """Return how far rounding moves the gradient of each tensor, up to a millionth of its largest entry.

    Along a tiny step the gradient is a straight line, and what is left of its second difference is rounding (8 times it
    is returned). More than a millionth is rather a jump at a kink.
    """
    center = subject.gradients()
    found: dict[str, list[float]] = {name: [] for name in subject.tensors}
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
            found[name].append(8 * float(np.abs(sides[0][name] + sides[1][name] - 2 * at).max(initial=0.0)))
    return {name: _without_jumps(found[name], most[name]) for name in found}


def _without_jumps(noise: list[float], most: float) -> float:
    """Return the largest of what is rounding: up to `most`, and without what is far larger than the others."""
    small = [value for value in noise if value <= most]
    if len(small) == len(noise) or (len(small) > 1 and max(small) < 1e-3 * most):
        return max(small)
    return most
