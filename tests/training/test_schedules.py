"""Learning-rate schedules: their formulas, limits and errors, and whether they fit a run."""

import inspect
import math
import warnings

import numpy as np
import pytest
from figures import axes_of
from training_runs import Death, DieAt, everything, fit, images, usual_run

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
    "cosine": (dl.CosineAnnealing(0.3, 40, 0.06), lambda t: 0.18 + 0.12 * math.cos(math.pi * min(t, 40) / 40)),
    "triangle": (dl.TriangularCycle(0.001, 0.006, 8), lambda t: 0.001 + 0.005 * (1 - abs(t / 8 % 2 - 1))),
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
    assert [schedule(0), schedule(29)] == pytest.approx([1 / 25, 1.0], rel=1e-12)
    assert schedule(99) == schedule(100) == schedule(10**6) == pytest.approx(1 / 25e4, rel=1e-9)
    assert dl.OneCycle(1.0, 1)(0) == pytest.approx(1 / 25e4, rel=1e-9)


@pytest.mark.parametrize("wrong", [-1, 0, math.nan, "x"])
@pytest.mark.parametrize("schedule", [schedule for schedule in ALL if not isinstance(schedule, dl.PiecewiseConstant)])
def test_invalid_arguments_are_refused(schedule, wrong):
    names = inspect.signature(type(schedule)).parameters
    right = {name: getattr(schedule, name) for name in names}
    for name in [name for name in names if wrong != 0 or name not in ("minimum", "start", "decay", "rise")]:
        with pytest.raises(dl.InputError, match=f"{name}|rate"):
            type(schedule)(**right | {name: wrong})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dl.PiecewiseConstant(5, [1, 0.1]), r"expected boundaries to be an Iterable, got 5; write a list"),
        (lambda: dl.PiecewiseConstant([5, 5], [1, 1, 1]), r"boundaries: expected increasing steps, got \[5, 5\]"),
        (lambda: dl.PiecewiseConstant([5], [1]), "rates: expected 2 numbers, .* got 1"),
        (lambda: dl.PiecewiseConstant([5], [1, -1]), r"rates\[1\]: expected a finite number >= 0"),
        (lambda: dl.PiecewiseConstant([0], [1, 1]), r"boundaries\[0\]: expected an integer >= 1"),
        (lambda: dl.CosineAnnealing(0.1, 2.0), "steps: expected an integer >= 1"),
        (lambda: dl.CosineAnnealing(0.1, 5, 0.2), "minimum: expected at most initial \\(0.1\\), got 0.2"),
        (lambda: dl.CosineAnnealingWarmRestarts(0.1, 5, minimum=1), "minimum: expected at most initial"),
        (lambda: dl.TriangularCycle(0.1, 0.1, 5), "maximum: expected a finite number > 0.1"),
        (lambda: dl.OneCycle(0.1, 5, rise=1), r"rise: expected a number in \[0, 1\)"),
        (lambda: dl.OneCycle(0.1, 5, start_divisor=0.9), "start_divisor: expected a finite number >= 1"),
        (lambda: dl.OneCycle(0.1, 5, end_divisor=0.9), "end_divisor: expected a finite number >= 1"),
    ],
)
def test_values_just_beyond_the_limits_are_refused(make, message):
    with pytest.raises(dl.InputError, match=message):
        make()


def test_values_at_the_limits_are_accepted():
    assert dl.OneCycle(0.1, 5, start_divisor=1, end_divisor=1)(4) == pytest.approx(0.1, rel=1e-12)
    assert dl.PiecewiseConstant([1], [0, 1])(0) == dl.CosineAnnealing(0.1, 1, minimum=0.1)(0) - 0.1 == 0
    assert dl.InverseTimeDecay(0.1, 0)(9) == dl.ExponentialDecay(0.1, 1)(9) == dl.TriangularCycle(0, 0.1, 1)(1) == 0.1


@pytest.mark.parametrize("cls", [dl.StepDecay, dl.ExponentialDecay])
def test_a_rate_that_is_too_large_for_a_float_is_refused(cls):
    schedule = cls(5.0, 10.0, 1)
    assert schedule(300) == pytest.approx(5e300)
    for step in (308, 400):  # the product overflows, and the power alone
        with pytest.raises(dl.InputError, match=rf"{cls.__name__}\(.*step {step}: expected a finite rate"):
            schedule(step)


# ---- a run

# An epoch of `fit` has 3 steps, so 5 epochs have 15.


def own(function):
    """A user's schedule, which does not define its end."""
    return type("Own", (dl.Schedule,), {"__call__": lambda self, step: function(step)})()


def line(steps):
    return own(lambda step: 0.1 * max(0.0, 1.0 - step / steps))


def a_trainer(schedule, callbacks=()):
    trainer, _ = usual_run(callbacks)
    trainer.optimizer.learning_rate = schedule
    return trainer


def fit_warnings(trainer, epochs=5, **options):
    """Return the texts of the warnings of a `fit`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(trainer, {}, epochs, **options)
    assert all(warning.category is UserWarning and warning.filename.endswith("training_runs.py") for warning in caught)
    return [str(warning.message) for warning in caught]


UNFIT = [
    (dl.OneCycle(0.1, steps=5), "ends after step 5 of 15, and all later steps have a rate of 4e-07; did you pass"),
    (dl.CosineAnnealing(0.1, 13, minimum=1e-3), "ends after step 13 of 15.* a rate of 0.001;"),
    (dl.LinearWarmup(dl.LinearWarmup(dl.OneCycle(0.1, 3), 4), 2), "ends after step 9 of 15"),
    (dl.PiecewiseConstant([3, 6], [0.1, 0.01, 0]), "ends after step 6 of 15, .* a rate of 0;"),
    (dl.PiecewiseConstant([1, 2], [0.1, 0.01, 0.001]), "last change at step 2"),
    (dl.StepDecay(0.1, 0.1, every=1), "ends after step 6 of 15, and all later steps have a rate of 1e-15;"),
    (dl.ExponentialDecay(0.1, 0.2), "ends after step 9 of 15"),
    (line(5), "has a rate of 0 at step 8 of 15; did you pass"),
    (dl.LinearWarmup(0.1, 16), "has a warm-up of 16 steps, but the run ends after step 15; did you"),
    (dl.OneCycle(0.1, 60), "has a warm-up of 18 steps, but the run ends after step 15"),
    (dl.TriangularCycle(0.001, 0.1, half_cycle=20), "has a warm-up of 20 steps"),
    (dl.LinearWarmup(dl.OneCycle(0.1, 40), 4), "has a warm-up of 16 steps"),
]


@pytest.mark.parametrize(("schedule", "words"), UNFIT)
def test_a_schedule_that_does_not_fit_the_run_warns_before_the_first_step(schedule, words):
    words = rf"^{type(schedule).__name__}\(.* {words}.*Make the schedule for 15 steps \(an epoch has 3\)$"
    no_step = dl.LambdaCallback(on_train_begin=lambda trainer: pytest.fail("training has begun"))
    trainer = a_trainer(schedule, [no_step])
    before = everything(trainer), trainer.epochs, trainer.last_epoch
    # The tests turn all warnings into errors.
    with pytest.raises(UserWarning, match=words):
        fit(trainer, {}, 5)
    assert (everything(trainer), trainer.epochs, trainer.last_epoch) == before
    assert len(fit_warnings(a_trainer(schedule))) == 1


FIT = [
    0.1,
    dl.CosineAnnealing(0.1, 14),
    dl.LinearWarmup(0.1, 15),
    dl.LinearWarmup(dl.OneCycle(0.1, 11), 4),
    dl.CosineAnnealingWarmRestarts(0.1, 2),
    dl.TriangularCycle(0.001, 0.1, half_cycle=3),
    dl.StepDecay(0.1, 0.5, every=2),
    dl.ExponentialDecay(0.1, 0.5),
    dl.ExponentialDecay(1e-6, 2.0),
    dl.PiecewiseConstant([3, 9], [0.1, 0.01, 0.001]),
    dl.PiecewiseConstant([1, 2], [0.01, 0.1, 0.05]),
    dl.PiecewiseConstant([15], [0.1, 0.0]),
    line(15),
]


@pytest.mark.parametrize("schedule", FIT, ids=repr)
def test_a_schedule_that_fits_the_run_does_not_warn(schedule):
    assert fit_warnings(a_trainer(schedule)) == []


def test_an_error_of_a_users_schedule_is_raised_at_its_step():
    listed = own([0.1, 0.05, 0.02].__getitem__)
    trainer = a_trainer(listed)
    with pytest.raises(IndexError):
        fit(trainer, {}, 5)
    assert trainer.step == 3
    # A run that stops earlier is not affected.
    stop = dl.LambdaCallback(on_epoch_end=lambda trainer: trainer.stop())
    assert fit_warnings(a_trainer(listed, [stop])) == []
    grows = dl.ExponentialDecay(1.0, 1e40)
    assert fit_warnings(a_trainer(grows, [dl.LambdaCallback(on_batch_end=lambda trainer: trainer.stop())])) == []


class Counting(dl.Schedule):
    """Like those of PyTorch: every call advances it, so a second run would begin where the first one ended."""

    def __init__(self):
        self.calls = 0

    def __call__(self, step):
        self.calls += 1
        return 0.1 * 0.9**self.calls


@pytest.mark.parametrize("wrap", [lambda schedule: schedule, lambda schedule: dl.LinearWarmup(schedule, 4)])
def test_a_schedule_with_state_is_refused_and_its_state_unchanged(wrap):
    own = Counting()
    trainer = a_trainer(0.1)
    before = everything(trainer)
    trainer.optimizer.learning_rate = wrap(own)
    with pytest.raises(dl.InputError, match=r"a rate that depends on the step alone; got .* for steps 0 and 7"):
        fit(trainer, {}, 5)
    assert own.calls == 0
    trainer.optimizer.learning_rate = 0.1
    assert everything(trainer) == before


def test_one_epoch_of_falling_rates_and_one_step_of_a_cycle_do_not_warn():
    assert fit_warnings(a_trainer(dl.PiecewiseConstant([1, 2], [0.1, 0.01, 0.001])), 1) == []
    a_trainer(dl.OneCycle(0.1, 1)).fit(images(), epochs=1, batch_size=1000)


def test_a_last_rate_that_is_intended_for_all_later_steps():
    class Held(dl.CosineAnnealing):
        ends_after = None

    assert fit_warnings(a_trainer(Held(0.1, 5, minimum=0.01))) == []
    # A rate of 0 cannot be intended.
    assert len(fit_warnings(a_trainer(Held(0.1, 5)))) == 1


def test_several_fits_count_together():
    trainer = a_trainer(dl.CosineAnnealing(0.1, 15))
    assert [fit_warnings(trainer, 1) for _ in range(5)] == [[]] * 5
    (message,) = fit_warnings(trainer, 2)
    assert "ends after step 15 of 21, and all later steps have a rate of 0" in message
    assert "Make the schedule for 21 steps" in message
    assert fit_warnings(trainer, 0) == []


@pytest.mark.parametrize("schedule", [dl.LinearWarmup(0.1, 8), dl.OneCycle(0.1, 15), dl.OneCycle(0.1, 300)])
def test_a_loop_of_fits_of_one_epoch_may_be_in_the_middle_of_a_longer_schedule(schedule):
    trainer = a_trainer(schedule)
    assert [fit_warnings(trainer, 1) for _ in range(5)] == [[]] * 5
    # The first of several longer fits warns, since later ones are unknown; these do not.
    trainer = a_trainer(dl.LinearWarmup(0.1, 8))
    assert [len(fit_warnings(trainer, epochs)) for epochs in (2, 1, 2)] == [1, 0, 0]


@pytest.mark.parametrize(("steps", "messages"), [(15, 0), (12, 1), (5, 1)])
@pytest.mark.parametrize("died", [4, 6, 14])
def test_a_resumed_run_warns_like_one_without_interruption(steps, messages, died, tmp_path):
    def run(*more):
        return a_trainer(dl.CosineAnnealing(0.1, steps), [dl.Checkpoint(tmp_path, every_steps=1), *more])

    with pytest.raises(Death):
        fit_warnings(run(DieAt(died)))
    trainer = run()
    found = fit_warnings(trainer, resume_from=tmp_path)
    assert [f"ends after step {steps} of 15" in message for message in found] == [True] * messages
    assert trainer.step == 15


def test_a_second_fit_that_is_resumed(tmp_path):
    first, second = (a_trainer(dl.CosineAnnealing(0.1, 15), [dl.Checkpoint(tmp_path)]) for _ in range(2))
    fit(first, {}, 2)
    fit(first, {}, 3)
    assert fit_warnings(second, 3, resume_from=tmp_path) == []
    (message,) = fit_warnings(second, 1)
    assert "ends after step 15 of 18" in message


@pytest.mark.parametrize("schedule", [*ALL, *(schedule for schedule, _ in UNFIT), *FIT[1:]], ids=repr)
def test_the_end_that_a_schedule_reports_is_correct(schedule):
    rates = [schedule(step) for step in range(200)]
    end, warmup = schedule.ends_after, schedule.warmup_ends_after
    if end is not None and end < 200:
        assert max(rates[end:]) == min(rates[end:]) or max(rates[end:]) <= 1.0000001e-6 * max(rates)
        assert rates[end - 1] >= rates[end]
    if warmup:
        assert rates[:warmup] == sorted(rates[:warmup])
        assert rates.index(max(rates)) in (warmup - 1, warmup)


# ---- the figure


def test_a_figure_shows_every_step_and_needs_one():
    schedule = dl.TriangularCycle(0.01, 0.1, 6)
    ax, point = axes_of(plot_schedule(schedule, 30)), axes_of(plot_schedule(lambda step: 0.5, 1))
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xdata(), range(30))
    np.testing.assert_array_equal(line.get_ydata(), rates_of(schedule, 30))
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("step", "learning rate", "linear")
    assert ax.get_title().replace("\n", " ") == repr(schedule)
    assert ("0x" in point.get_title(), point.lines[0].get_marker()) == (False, "o")
    with pytest.raises(dl.InputError, match="steps: expected an integer >= 1, got 0"):
        plot_schedule(schedule, 0)
