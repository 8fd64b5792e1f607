"""Schedules: the learning rate of every step."""

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

from minidl._core.attributes import Declared
from minidl._core.checks import as_count, as_fraction, as_number, check_type
from minidl._core.errors import InputError
from minidl._core.reprs import constructor_call

__all__ = [
    "ConstantRate",
    "CosineAnnealing",
    "CosineAnnealingWarmRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LinearWarmup",
    "OneCycle",
    "PiecewiseConstant",
    "Schedule",
    "StepDecay",
    "TriangularCycle",
]


class Schedule(Declared, ABC):
    """A learning rate for each step: a pure function, so that resuming needs nothing but the step.

    A subclass writes `__call__`. Steps are those of the optimizer, counted from 0; what a library that counts epochs
    calls 30 is ``30 * steps_per_epoch`` here. Hand a schedule to an optimizer in place of a number. `Trainer.fit` warns
    of a run that goes on after `ends_after`, or is over before `warmup_ends_after` (a fit of
    one epoch aside, which others may follow), and refuses a schedule that gives another rate when it is asked again. If
    the last rate is meant for the rest, a subclass says ``ends_after = None``.

    Examples
    --------
    >>> class Harmonic(Schedule):
    ...     def __call__(self, step):
    ...         return 0.1 / (step + 1)
    >>> Harmonic()(1)
    0.05
    """

    @abstractmethod
    def __call__(self, step: int) -> float:
        """Return the learning rate of step `step`, a finite number >= 0."""

    @property
    def ends_after(self) -> int | None:
        """After how many steps only its last, low rate is left; None if there is no such number."""
        return None

    @property
    def warmup_ends_after(self) -> int:
        """After how many steps the rate is as high as it is to become; 0 without a warm-up."""
        return 0

    __repr__ = constructor_call


class ConstantRate(Schedule):
    """``rate``, whatever the step."""

    def __init__(self, rate: float) -> None:
        self.rate = as_number("rate", rate, 0, above=True)

    def __call__(self, step: int) -> float:
        return self.rate


class _Decay(Schedule):
    """``initial * factor**exponent``, or a refusal of the step at which a growing rate is past all floats."""

    def __init__(self, initial: float, factor: float, every: int) -> None:
        self.initial = as_number("initial", initial, 0, above=True)
        self.factor = as_number("factor", factor, 0, above=True)
        self.every = as_count("every", every)

    def _rate(self, step: int, exponent: float) -> float:
        try:
            rate = self.initial * math.pow(self.factor, exponent)
        except OverflowError:
            rate = math.inf
        if rate == math.inf:
            raise InputError(f"{self!r}: step {step}: expected a finite rate, got an overflow; take a smaller factor")
        return rate

    @property
    def ends_after(self) -> int | None:
        """After how many steps the rate is below a millionth of `initial`; None if it does not fall."""
        return math.ceil(self.every * math.log(1e-6) / math.log(self.factor)) if self.factor < 1.0 else None


class StepDecay(_Decay):
    """``initial * factor**(step // every)``: a staircase.

    Examples
    --------
    >>> decay = StepDecay(1.0, factor=0.5, every=10)
    >>> [decay(step) for step in (0, 9, 10, 20)]
    [1.0, 1.0, 0.5, 0.25]
    """

    def __call__(self, step: int) -> float:
        return self._rate(step, step // self.every)


class PiecewiseConstant(Schedule):
    """``rates[i]`` from step ``boundaries[i - 1]`` on, before step ``boundaries[i]``.

    So does PyTorch's ``MultiStepLR``. Keras's ``PiecewiseConstantDecay`` changes the rate one step later: its boundary
    10 is 11 here.

    Parameters
    ----------
    boundaries : sequence of int
        Increasing, the first at least 1.
    rates : sequence of float
        One more than boundaries.

    Examples
    --------
    >>> schedule = PiecewiseConstant([10, 30], [0.1, 0.05, 0.01])
    >>> [schedule(step) for step in (9, 10, 29, 30)]
    [0.1, 0.05, 0.05, 0.01]
    """

    def __init__(self, boundaries: Sequence[int], rates: Sequence[float]) -> None:
        for name, given in (("boundaries", boundaries), ("rates", rates)):
            check_type("PiecewiseConstant", name, given, Iterable, "write a list, [...]")
        self.boundaries = [as_count(f"boundaries[{i}]", boundary) for i, boundary in enumerate(boundaries)]
        self.rates = [as_number(f"rates[{i}]", rate, 0) for i, rate in enumerate(rates)]
        if sorted(set(self.boundaries)) != self.boundaries:
            raise InputError(f"boundaries: expected increasing steps, got {self.boundaries}")
        if len(self.rates) != len(self.boundaries) + 1:
            raise InputError(f"rates: expected one more than the {len(self.boundaries)} boundaries, got {self.rates}")

    def __call__(self, step: int) -> float:
        return self.rates[bisect_right(self.boundaries, step)]

    @property
    def ends_after(self) -> int | None:
        """The last boundary, if the rate is 0 from there on; else None."""
        return self.boundaries[-1] if self.boundaries and self.rates[-1] == 0.0 else None

    @property
    def falls(self) -> bool:
        """Whether the rate falls at every boundary, of which there is at least one."""
        return len(self.rates) > 1 and all(after < before for before, after in pairwise(self.rates))


class ExponentialDecay(_Decay):
    """``initial * factor**(step / every)``: as `StepDecay`, without the stairs."""

    def __init__(self, initial: float, factor: float, every: int = 1) -> None:
        super().__init__(initial, factor, every)

    def __call__(self, step: int) -> float:
        return self._rate(step, step / self.every)


class InverseTimeDecay(Schedule):
    """``initial / (1 + decay * step / every)``.

    References
    ----------
    Robbins and Monro, "A stochastic approximation method", Ann. Math. Statist. 22, 1951: rates like 1/t sum up to
    infinity, their squares do not, and the noise of the gradients averages out.
    """

    def __init__(self, initial: float, decay: float, every: int = 1) -> None:
        self.initial = as_number("initial", initial, 0, above=True)
        self.decay = as_number("decay", decay, 0)
        self.every = as_count("every", every)

    def __call__(self, step: int) -> float:
        return self.initial / (1.0 + self.decay * step / self.every)


class CosineAnnealing(Schedule):
    """Half a cosine from `initial` at step 0 down to `minimum` at step `steps`, and `minimum` from there on.

    ``minimum + (initial - minimum) / 2 * (1 + cos(pi * step / steps))``

    References
    ----------
    Loshchilov and Hutter, "SGDR: Stochastic gradient descent with warm restarts", ICLR 2017.
    """

    def __init__(self, initial: float, steps: int, minimum: float = 0.0) -> None:
        self.initial = as_number("initial", initial, 0, above=True)
        self.steps = as_count("steps", steps)
        self.minimum = _as_floor(minimum, self.initial)

    def __call__(self, step: int) -> float:
        return _cosine(self.initial, self.minimum, min(step, self.steps) / self.steps)

    @property
    def ends_after(self) -> int:
        """`steps`."""
        return self.steps


class CosineAnnealingWarmRestarts(Schedule):
    """`CosineAnnealing` again and again (SGDR): at the end of a cycle the rate jumps back to `initial`.

    Parameters
    ----------
    initial, minimum : float
        Where each cycle begins, and what it falls towards.
    cycle : int
        Steps of the first cycle.
    growth : int
        Factor by which each cycle is longer than the last.

    References
    ----------
    Loshchilov and Hutter, "SGDR: Stochastic gradient descent with warm restarts", ICLR 2017; `cycle` and `growth` are
    T_0 and T_mult there.

    Examples
    --------
    >>> schedule = CosineAnnealingWarmRestarts(0.1, cycle=2, growth=2)
    >>> [round(schedule(step), 3) for step in range(7)]
    [0.1, 0.05, 0.1, 0.085, 0.05, 0.015, 0.1]
    """

    def __init__(self, initial: float, cycle: int, growth: int = 1, minimum: float = 0.0) -> None:
        self.initial = as_number("initial", initial, 0, above=True)
        self.cycle = as_count("cycle", cycle)
        self.growth = as_count("growth", growth)
        self.minimum = _as_floor(minimum, self.initial)

    def __call__(self, step: int) -> float:
        cycle = self.cycle
        if self.growth == 1:
            step %= cycle
        while step >= cycle:
            step -= cycle
            cycle *= self.growth
        return _cosine(self.initial, self.minimum, step / cycle)


class LinearWarmup(Schedule):
    """A straight line from `start` up to the first rate of another schedule, which begins after `steps` steps.

    Large rates can throw a fresh network off; a short warmup lets it settle first.

    Parameters
    ----------
    schedule : Schedule or float
        What follows; its own step 0 is step `steps` here.
    steps : int
        Length of the warmup.
    start : float
        The rate of step 0.

    References
    ----------
    Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017.

    Examples
    --------
    >>> schedule = LinearWarmup(CosineAnnealing(1.0, steps=100), steps=4)
    >>> [schedule(step) for step in (0, 1, 2, 3, 4, 104)]
    [0.0, 0.25, 0.5, 0.75, 1.0, 0.0]
    """

    def __init__(self, schedule: Schedule | float, steps: int, start: float = 0.0) -> None:
        self.schedule = schedule if isinstance(schedule, Schedule) else ConstantRate(schedule)
        self.steps = as_count("steps", steps)
        self.start = as_number("start", start, 0)

    def __call__(self, step: int) -> float:
        if step >= self.steps:
            return self.schedule(step - self.steps)
        return self.start + (self.schedule(0) - self.start) * (step / self.steps)

    @property
    def ends_after(self) -> int | None:
        """When the other schedule ends, which begins after the warm-up."""
        return None if (end := self.schedule.ends_after) is None else self.steps + end

    @property
    def warmup_ends_after(self) -> int:
        """`steps`, and the warm-up of the other schedule, if it has one."""
        return self.steps + self.schedule.warmup_ends_after


class TriangularCycle(Schedule):
    """Straight up from `minimum` to `maximum` in `half_cycle` steps, straight down in as many, and again.

    On the way up in cycle l (from 0), ``minimum + (step - 2 * l * half_cycle) / half_cycle * (maximum - minimum)``.

    Parameters
    ----------
    minimum, maximum : float
        The bounds, often written eta_min and eta_max.
    half_cycle : int
        Steps of one way, often written n_s; 2 to 10 epochs of them are usual.

    References
    ----------
    Smith, "Cyclical learning rates for training neural networks", WACV 2017: the policy "triangular".

    Examples
    --------
    >>> schedule = TriangularCycle(1.0, 2.0, half_cycle=2)
    >>> [schedule(step) for step in range(6)]
    [1.0, 1.5, 2.0, 1.5, 1.0, 1.5]
    """

    def __init__(self, minimum: float, maximum: float, half_cycle: int) -> None:
        self.minimum = as_number("minimum", minimum, 0)
        self.maximum = as_number("maximum", maximum, self.minimum, above=True)
        self.half_cycle = as_count("half_cycle", half_cycle)

    def __call__(self, step: int) -> float:
        up = step % (2 * self.half_cycle)
        height = min(up, 2 * self.half_cycle - up) / self.half_cycle
        return self.minimum + height * (self.maximum - self.minimum)

    @property
    def warmup_ends_after(self) -> int:
        """`half_cycle`: the first way up."""
        return self.half_cycle


class OneCycle(Schedule):
    """Half a cosine up to `maximum`, and half a cosine down to next to nothing at the last step.

    Parameters
    ----------
    maximum : float
        The highest rate.
    steps : int
        All steps of the training; the last rate holds from there on.
    rise : float
        The share of `steps` on the way up, in [0, 1); the peak is at step ``rise * steps - 1``.
    start_divisor, end_divisor : float
        The first rate is ``maximum / start_divisor``, the last one is the first one divided by `end_divisor`.

    References
    ----------
    Smith and Topin, "Super-convergence: very fast training of neural networks using large learning rates", 2018. The
    two phases and the defaults are those of PyTorch's ``OneCycleLR``, but the momentum stays as it is: `maximum`,
    `rise`, `start_divisor` and `end_divisor` are its max_lr, pct_start, div_factor and final_div_factor.
    """

    def __init__(
        self, maximum: float, steps: int, *, rise: float = 0.3, start_divisor: float = 25.0, end_divisor: float = 1e4
    ) -> None:
        self.maximum = as_number("maximum", maximum, 0, above=True)
        self.steps = as_count("steps", steps)
        self.rise = as_fraction("rise", rise)
        self.start_divisor = as_number("start_divisor", start_divisor, 1)
        self.end_divisor = as_number("end_divisor", end_divisor, 1)

    def __call__(self, step: int) -> float:
        start = self.maximum / self.start_divisor
        peak, last = self.rise * self.steps - 1, self.steps - 1
        if step < peak:
            return _cosine(start, self.maximum, step / peak)
        return _cosine(self.maximum, start / self.end_divisor, (min(step, last) - peak) / (last - peak))

    @property
    def ends_after(self) -> int:
        """`steps`."""
        return self.steps

    @property
    def warmup_ends_after(self) -> int:
        """The steps on the way up."""
        return math.floor(self.rise * self.steps)


def _as_floor(minimum: float, initial: float) -> float:
    floor = as_number("minimum", minimum, 0)
    if floor > initial:
        raise InputError(f"minimum: expected at most initial, which is {initial:g}, got {minimum}")
    return floor


def _cosine(start: float, end: float, share: float) -> float:
    """Return the point at `share` of the way down half a cosine from `start` to `end`."""
    return end + (start - end) / 2.0 * (1.0 + math.cos(math.pi * share))
