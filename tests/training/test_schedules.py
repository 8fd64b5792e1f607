"""Learning-rate schedules: their formulas, their edges, what they refuse."""

import math

import numpy as np
import pytest
from figures import axes_of

import minidl as dl
from minidl.plotting import plot_schedule

ALL = [
    dl.ConstantRate(0.1),
    dl.StepDecay(0.1, 0.5, 7),
    dl.PiecewiseConstant([3, 30], [0.1, 0.2, 0.0]),
    dl.ExponentialDecay(0.1, 0.9, 3),
    dl.InverseTimeDecay(0.1, 0.5, 4),
    dl.CosineAnnealing(0.1, 40, 0.01),
    dl.CosineAnnealingWarmRestarts(0.1, 5, 2, 0.01),
    dl.LinearWarmup(dl.StepDecay(0.1, 0.5, 7), 5, 0.01),
    dl.TriangularCycle(0.01, 0.1, 6),
    dl.OneCycle(0.1, 40, rise=0.4, start_divisor=10, end_divisor=100),
]


@pytest.mark.parametrize("schedule", ALL, ids=lambda schedule: type(schedule).__name__)
def test_a_schedule_is_a_pure_function_of_the_step(schedule):
    forward = [schedule(step) for step in range(100)]
    assert [schedule(step) for step in reversed(range(100))] == forward[::-1]
    assert all(type(rate) is float and math.isfinite(rate) and rate >= 0 for rate in forward)
    assert schedule(10**6) >= 0  # long after its end


def test_every_public_schedule_is_here():
    public = {thing for name in dl.__all__ if isinstance(thing := getattr(dl, name), type)}
    assert {cls for cls in public if issubclass(cls, dl.Schedule)} - {dl.Schedule} == {type(s) for s in ALL}


def rates_of(schedule, count=60):
    return [schedule(step) for step in range(count)]


FORMULAS = {  # of Keras: ExponentialDecay, InverseTimeDecay, CosineDecay, CosineDecayRestarts
    "exponential": (dl.ExponentialDecay(0.3, 0.8, 7), lambda t: 0.3 * 0.8 ** (t / 7)),
    "staircase": (dl.StepDecay(0.3, 0.8, 7), lambda t: 0.3 * 0.8 ** math.floor(t / 7)),
    "inverse time": (dl.InverseTimeDecay(0.3, 0.8, 7), lambda t: 0.3 / (1 + 0.8 * t / 7)),
    "cosine": (
        dl.CosineAnnealing(0.3, 40, 0.06),
        lambda t: 0.3 * ((1 - 0.2) * 0.5 * (1 + math.cos(math.pi * min(t, 40) / 40)) + 0.2),
    ),
    "triangle": (
        dl.TriangularCycle(0.001, 0.006, 8),
        lambda t: 0.001 + 0.005 * max(0.0, 1 - abs(t / 8 - 2 * math.floor(1 + t / 16) + 1)),
    ),
}


@pytest.mark.parametrize(("schedule", "formula"), FORMULAS.values(), ids=FORMULAS)
def test_rates_are_those_of_the_formula(schedule, formula):
    assert rates_of(schedule) == pytest.approx([formula(t) for t in range(60)], rel=1e-12)


def test_cycles_grow_and_restart_at_the_top():
    rates = rates_of(dl.CosineAnnealingWarmRestarts(1.0, cycle=3, growth=3), 200)
    assert [step for step, rate in enumerate(rates) if rate == 1.0] == [0, 3, 12, 39, 120]
    exact = dl.CosineAnnealingWarmRestarts(1.0, cycle=1, growth=10)  # where a logarithm would round
    starts = [(10**n - 1) // 9 for n in range(1, 16)]
    assert [exact(step) for step in starts] == [1.0] * 15
    assert all(exact(step - 1) < 0.01 for step in starts[2:])


def test_a_warmup_ends_where_the_other_schedule_begins():
    inner = dl.StepDecay(0.5, 0.5, 3)
    warm = dl.LinearWarmup(inner, 4, start=0.1)
    assert rates_of(warm, 5) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5], rel=1e-15)
    assert [warm(step + 4) for step in range(20)] == rates_of(inner, 20)
    assert rates_of(dl.LinearWarmup(0.5, 2), 4) == [0.0, 0.25, 0.5, 0.5]


def test_one_cycle_stays_at_its_last_rate():
    schedule = dl.OneCycle(1.0, 100)
    assert schedule(0) == pytest.approx(1 / 25, rel=1e-12)
    assert schedule(29) == pytest.approx(1.0, rel=1e-12)
    assert schedule(99) == schedule(100) == schedule(10**6) == pytest.approx(1 / 25e4, rel=1e-9)
    assert dl.OneCycle(1.0, 1)(0) == pytest.approx(1 / 25e4, rel=1e-9)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: dl.ConstantRate(0), "rate: expected a finite number > 0"),
        (lambda: dl.StepDecay(0.1, 0, 5), "factor: expected a finite number > 0"),
        (lambda: dl.StepDecay(0.1, 0.5, 0), "every: expected an integer >= 1"),
        (lambda: dl.PiecewiseConstant([5, 5], [1, 1, 1]), r"boundaries: expected increasing steps, got \[5, 5\]"),
        (lambda: dl.PiecewiseConstant([5], [1]), "rates: expected one more than the 1 boundaries"),
        (lambda: dl.PiecewiseConstant([5], [1, -1]), r"rates\[1\]: expected a finite number >= 0"),
        (lambda: dl.PiecewiseConstant([0], [1, 1]), r"boundaries\[0\]: expected an integer >= 1"),
        (lambda: dl.ExponentialDecay(0.1, "x"), "factor: "),
        (lambda: dl.InverseTimeDecay(0.1, -1), "decay: expected a finite number >= 0"),
        (lambda: dl.CosineAnnealing(0.1, 2.0), "steps: expected an integer >= 1"),
        (lambda: dl.CosineAnnealing(0.1, 5, minimum=0.2), "minimum: expected at most initial, which is 0.1, got 0.2"),
        (lambda: dl.CosineAnnealingWarmRestarts(0.1, 5, growth=0), "growth: expected an integer >= 1"),
        (lambda: dl.CosineAnnealingWarmRestarts(0.1, 5, minimum=1), "minimum: expected at most initial"),
        (lambda: dl.LinearWarmup("0.1", 5), "rate: expected a finite number > 0"),
        (lambda: dl.LinearWarmup(0.1, 5, start=-1), "start: expected a finite number >= 0"),
        (lambda: dl.TriangularCycle(0.1, 0.1, 5), "maximum: expected a finite number > 0.1"),
        (lambda: dl.OneCycle(0.1, 5, rise=1), r"rise: expected a number in \[0, 1\)"),
        (lambda: dl.OneCycle(0, 5), "maximum: expected a finite number > 0"),
        (lambda: dl.OneCycle(0.1, 5, start_divisor=0.9), "start_divisor: expected a finite number >= 1"),
        (lambda: dl.OneCycle(0.1, 5, end_divisor=0.9), "end_divisor: expected a finite number >= 1"),
        (lambda: dl.StepDecay(0, 0.5, 5), "initial: expected a finite number > 0"),
        (lambda: dl.ExponentialDecay(0, 0.5), "initial: expected a finite number > 0"),
        (lambda: dl.InverseTimeDecay(0, 0.5), "initial: expected a finite number > 0"),
        (lambda: dl.CosineAnnealing(0, 5), "initial: expected a finite number > 0"),
        (lambda: dl.CosineAnnealingWarmRestarts(math.nan, 5), "initial: expected a finite number > 0"),
    ],
)
def test_wrong_arguments_are_refused(wrong, message):
    with pytest.raises(dl.InputError, match=message):
        wrong()


def test_what_is_just_allowed():
    assert dl.OneCycle(0.1, 5, start_divisor=1, end_divisor=1)(4) == pytest.approx(0.1, rel=1e-12)
    assert dl.PiecewiseConstant([1], [0, 1])(0) == dl.CosineAnnealing(0.1, 1, minimum=0.1)(0) - 0.1 == 0
    assert dl.InverseTimeDecay(0.1, 0)(9) == dl.ExponentialDecay(0.1, 1)(9) == dl.TriangularCycle(0, 0.1, 1)(1) == 0.1


@pytest.mark.parametrize("cls", [dl.StepDecay, dl.ExponentialDecay])
def test_a_rate_that_grows_past_all_floats_is_refused(cls):
    schedule = cls(5.0, 10.0, 1)
    assert schedule(300) == pytest.approx(5e300)
    for step in (308, 400):  # the product overflows, and the power alone
        with pytest.raises(dl.InputError, match=rf"{cls.__name__}\(.*step {step}: expected a finite rate"):
            schedule(step)


# ---- the figure


def test_a_figure_shows_every_step():
    schedule = dl.TriangularCycle(0.01, 0.1, 6)
    ax = axes_of(plot_schedule(schedule, 30))
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xdata(), range(30))
    np.testing.assert_array_equal(line.get_ydata(), rates_of(schedule, 30))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "learning rate")
    assert ax.get_title().replace("\n", " ") == repr(schedule)
    assert ax.get_yscale() == "linear"


def test_a_figure_of_one_step_shows_a_point_and_needs_a_step():
    ax = axes_of(plot_schedule(lambda step: 0.5, 1))
    assert "0x" not in ax.get_title()
    assert ax.lines[0].get_marker() == "o"
    with pytest.raises(dl.InputError, match="steps: expected an integer >= 1, got 0"):
        plot_schedule(ALL[0], 0)
