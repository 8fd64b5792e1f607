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
    """A learning rate for each step: a pure function of the step, so a resumed run needs no other state.

    A subclass defines `__call__`. Steps are those of the optimizer, counted from 0; epoch 30 of a library that counts
    epochs is step ``30 * steps_per_epoch`` here. Pass a schedule to an optimizer in place of a number. `Trainer.fit`
    warns if a run continues after `ends_after` or ends before `warmup_ends_after` (except a fit of one epoch, since
    others may follow), and refuses a schedule that returns different rates for the same step. If the last rate is
    intended for all later steps, set ``ends_after = None`` in the subclass.

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
        """The number of steps after which only its last, low rate is left; None if there is no such number."""
        return None

    @property
    def warmup_ends_after(self) -> int:
        """The number of steps until the rate is highest; 0 without a warm-up."""
        return 0

    __repr__ = constructor_call


class ConstantRate(Schedule):
    """``rate`` at every step."""

    def __init__(self, rate: float) -> None:
        self.rate = as_number("rate", rate, 0, above=True)

    def __call__(self, step: int) -> float:
        return self.rate


class _Decay(Schedule):
    """``initial * factor**exponent``; a rate that is too large for a float raises."""

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
            raise InputError(f"{self!r}: step {step}: expected a finite rate, got an overflow; choose a smaller factor")
        return rate

    @property
    def ends_after(self) -> int | None:
        """The number of steps until the rate is below a millionth of `initial`; None if it does not fall."""
        return math.ceil(self.every * math.log(1e-6) / math.log(self.factor)) if self.factor < 1.0 else None


class StepDecay(_Decay):
    """``initial * factor**(step // every)``: the rate falls once every `every` steps.

    Examples
    --------
    >>> decay = StepDecay(1.0, factor=0.5, every=10)
    >>> [decay(step) for step in (0, 9, 10, 20)]
    [1.0, 1.0, 0.5, 0.25]
    """

    def __call__(self, step: int) -> float:
        return self._rate(step, step // self.every)


class PiecewiseConstant(Schedule):
    """``rates[i]`` from step ``boundaries[i - 1]`` on, until before step ``boundaries[i]``.

    PyTorch's ``MultiStepLR`` does the same. Keras's ``PiecewiseConstantDecay`` changes the rate one step later: its
    boundary 10 is 11 here.

    Parameters
    ----------
    boundaries : sequence of int
        Increasing steps, the first at least 1.
    rates : sequence of float
        One rate more than there are boundaries.

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
        if (got := len(self.rates)) != (wanted := len(self.boundaries) + 1):
            raise InputError(f"rates: expected {wanted} numbers, one more than boundaries, got {got}: {self.rates}")

    def __call__(self, step: int) -> float:
        return self.rates[bisect_right(self.boundaries, step)]

    @property
    def ends_after(self) -> int | None:
        """The last boundary, if the rate is 0 after it; else None."""
        return self.boundaries[-1] if self.boundaries and self.rates[-1] == 0.0 else None

    @property
    def falls(self) -> bool:
        """Whether there is a boundary, and the rate falls at every boundary."""
        return len(self.rates) > 1 and all(after < before for before, after in pairwise(self.rates))


class ExponentialDecay(_Decay):
    """``initial * factor**(step / every)``: like `StepDecay`, but the rate falls at every step."""

    def __init__(self, initial: float, factor: float, every: int = 1) -> None:
        super().__init__(initial, factor, every)

    def __call__(self, step: int) -> float:
        return self._rate(step, step / self.every)


class InverseTimeDecay(Schedule):
    """``initial / (1 + decay * step / every)``.

    References
    ----------
    Robbins and Monro, "A stochastic approximation method", Ann. Math. Statist. 22, 1951: rates like 1/t have an
    infinite sum, but a finite sum of squares, so the noise of the gradients averages out.
    """

    def __init__(self, initial: float, decay: float, every: int = 1) -> None:
        self.initial = as_number("initial", initial, 0, above=True)
        self.decay = as_number("decay", decay, 0)
        self.every = as_count("every", every)

    def __call__(self, step: int) -> float:
        return self.initial / (1.0 + self.decay * step / self.every)


class CosineAnnealing(Schedule):
    """Half a cosine from `initial` at step 0 down to `minimum` at step `steps`, then `minimum`.

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
    """Repeated `CosineAnnealing` (SGDR): at the end of a cycle the rate jumps back to `initial`.

    Parameters
    ----------
    initial, minimum : float
        The first rate of each cycle, and the rate that it approaches.
    cycle : int
        The number of steps of the first cycle.
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

    Large rates can make a new network diverge; a short warm-up prevents that.

    Parameters
    ----------
    schedule : Schedule or float
        The schedule after the warm-up; its step 0 is step `steps` here.
    steps : int
        The number of steps of the warm-up.
    start : float
        The rate at step 0.

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
        """The end of the other schedule, counted from the beginning of the warm-up."""
        return None if (end := self.schedule.ends_after) is None else self.steps + end

    @property
    def warmup_ends_after(self) -> int:
        """`steps`, plus the warm-up of the other schedule."""
        return self.steps + self.schedule.warmup_ends_after


class TriangularCycle(Schedule):
    """A straight line from `minimum` to `maximum` in `half_cycle` steps, back in the same number of steps, repeated.

    While the rate rises in cycle l (from 0), ``minimum + (step - 2 * l * half_cycle) / half_cycle * (maximum -
    minimum)``.

    Parameters
    ----------
    minimum, maximum : float
        The bounds, often written eta_min and eta_max.
    half_cycle : int
        The number of steps up or down, often written n_s; the steps of 2 to 10 epochs are usual.

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
        """`half_cycle`: the steps of the first rise."""
        return self.half_cycle


class OneCycle(Schedule):
    """Half a cosine up to `maximum`, and half a cosine down to almost 0 at the last step.

    Parameters
    ----------
    maximum : float
        The highest rate.
    steps : int
        The number of steps of the whole training; any later step has the last rate.
    rise : float
        The fraction of `steps` in which the rate rises, in [0, 1); the peak is at step ``rise * steps - 1``.
    start_divisor, end_divisor : float
        The first rate is ``maximum / start_divisor``; the last rate is the first one divided by `end_divisor`.

    References
    ----------
    Smith and Topin, "Super-convergence: very fast training of neural networks using large learning rates", 2018. The
    two phases and the defaults are those of PyTorch's ``OneCycleLR``, but the momentum does not change: `maximum`,
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
        """The number of steps in which the rate rises."""
        return math.floor(self.rise * self.steps)


def _as_floor(minimum: float, initial: float) -> float:
    floor = as_number("minimum", minimum, 0)
    if floor > initial:
        raise InputError(f"minimum: expected at most initial ({initial:g}), got {minimum}")
    return floor


def _cosine(start: float, end: float, share: float) -> float:
    """Return the value of half a cosine from `start` to `end` after the fraction `share` of its length."""
    return end + (start - end) / 2.0 * (1.0 + math.cos(math.pi * share))
