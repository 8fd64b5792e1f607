"""Where a gradient disagrees with its slopes: is it a fault, or a choice where pieces meet?

A function may have several kinks at one point: a row of zeros in a two-layer network, ties in a sort. What the chain
rule gives there need not lie between the one-sided slopes along a line. It is judged by its neighbours: a right
gradient is right at points beside, and at the point it is among the slopes that these have.

References
----------
Clarke, "Optimization and Nonsmooth Analysis", 1983: the subdifferential is the hull of the gradients nearby.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

import numpy as np

from minidl._core.errors import MinidlError
from minidl._core.types import Array
from minidl.gradcheck.measured import Compared, project
from minidl.gradcheck.probing import Broken
from minidl.gradcheck.slopes import few_digits, unit_of
from minidl.gradcheck.subjects import Subject

_NEIGHBOURS = 8
# Lines that are measured at each neighbour.
_LINES = 8
# How far away a neighbour is at most, in units of the number that moves.
_MOVE = 2.0**-10

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
    claims, count = [], len(compared.lines)
    off = np.maximum(compared.low - compared.analytic, compared.analytic - compared.high)
    for trial in range(_NEIGHBOURS):
        with _moved(subject, rng, absolute=trial % 2 == 0):
            try:
                claimed = project(subject.gradients()[name], compared.lines)
                some = rng.permutation(count)[:_LINES]
                found = measure(compared.lines[some], claimed[some], compared.rounding[some])
            except (Broken, MinidlError):
                # The neighbour is beyond what the function takes.
                continue
        if (found.wrong & ~found.kinked).any():
            return [Kind.WRONG] * count
        # A neighbour is a witness where it would have shown as large a disagreement.
        if ((found.margin < 0.5 * off[some]) & ~found.kinked).any():
            claims.append(claimed)
    if not claims:
        return [Kind.WRONG if subject.simple_kinks else Kind.UNCLEAR] * count
    near = np.array(claims)
    return [_kind(subject, near[:, i], compared, i) for i in range(count)]


def _kind(subject: Subject, near: Array, compared: Compared, i: int) -> Kind:
    claimed, low, high = compared.analytic[i], compared.low[i], compared.high[i]
    slack = compared.rounding[i] + 1e-9 * np.abs(near).max()
    if near.min() - slack <= claimed <= near.max() + slack:
        return Kind.CHOICE
    # Where every neighbour has one of the two slopes measured at the point, only two pieces meet, and it is neither.
    off = max(low - claimed, claimed - high)
    two_pieces = np.minimum(np.abs(near - low), np.abs(near - high)).max() <= 0.25 * off
    return Kind.WRONG_HERE if two_pieces and subject.simple_kinks else Kind.UNCLEAR


@contextmanager
def _moved(subject: Subject, rng: np.random.Generator, *, absolute: bool) -> Iterator[None]:
    """Move all tensors a little; by as much everywhere, or in proportion, which stays within most domains."""
    steps = []
    for tensor in subject.tensors.values():
        size = unit_of(tensor) * smallness(tensor)
        if not absolute:
            size = np.where(tensor == 0, size, np.abs(tensor))
        share = rng.uniform(0.5, 1.0, tensor.shape) * rng.choice([-1.0, 1.0], tensor.shape)
        steps.append(few_digits(share * size * _MOVE))
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


def smallness(tensor: Array) -> float:
    """Return a power of two near the largest entry where all are below 1/1000: such an x is likely in small units."""
    largest = float(np.abs(tensor).max(initial=0.0))
    return 1.0 if largest == 0.0 or largest >= 2.0**-10 else float(2.0 ** np.floor(np.log2(largest)))


def gradient_noise(subject: Subject, rng: np.random.Generator) -> dict[str, float]:
    """Return how far rounding moves the gradient of each tensor, up to a millionth of its largest entry.

    Along a tiny step the gradient is a straight line, and what is left of its second difference is rounding (8 times it
    is returned). More than a millionth would rather be a jump.
    """
    center, noise = subject.gradients(), dict.fromkeys(subject.tensors, 0.0)
    for _ in range(6):
        steps = [
            unit_of(t) * smallness(t) * rng.choice([-1.0, 1.0], t.shape) * rng.uniform(2.0**-23, 2.0**-22, t.shape)
            for t in subject.tensors.values()
        ]
        sides = []
        for sign in (1.0, -1.0):
            with _stepped(subject, [sign * step for step in steps]):
                sides.append(subject.gradients())
        for name, at in center.items():
            second = np.abs(sides[0][name] + sides[1][name] - 2 * at)
            if at.size and np.isfinite(second).all():
                noise[name] = max(noise[name], min(8 * float(second.max()), 1e-6 * float(np.abs(at).max())))
    return noise
