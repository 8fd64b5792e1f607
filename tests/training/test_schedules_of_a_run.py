"""Schedules that do not go with the run: what is warned of before the first step, and what stays silent."""

import warnings

import pytest
from training_runs import Death, DieAt, everything, fit, images, sgd_with_momentum

import minidl as dl

# An epoch of `fit` has 3 steps, so 5 epochs have 15.


class Line(dl.Schedule):
    """A schedule of a user's own, which says nothing about its end."""

    def __init__(self, steps):
        self.steps = steps

    def __call__(self, step):
        return 0.1 * max(0.0, 1.0 - step / self.steps)


class Listed(dl.Schedule):
    def __call__(self, step):
        return [0.1, 0.05, 0.02][step]


def a_trainer(schedule, callbacks=()):
    trainer, _ = sgd_with_momentum(callbacks)
    trainer.optimizer.learning_rate = schedule
    return trainer


def told(trainer, epochs=5, **options):
    """Return what is warned of, in the order of the steps: each warning with how many steps were done."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(trainer, {}, epochs, **options)
    assert all(warning.category is UserWarning and warning.filename.endswith("training_runs.py") for warning in caught)
    return [str(warning.message) for warning in caught]


WRONG = {
    "one cycle": (
        dl.OneCycle(0.1, steps=5),
        r"ends after step 5 of 15, and the rest has a rate of 4e-07; did you give",
    ),
    "cosine": (dl.CosineAnnealing(0.1, 5), "ends after step 5 of 15, and the rest has a rate of 0;"),
    "cosine with a floor": (dl.CosineAnnealing(0.1, 13, minimum=1e-3), "ends after step 13 of 15.* a rate of 0.001;"),
    "warm-up, then cosine": (dl.LinearWarmup(dl.CosineAnnealing(0.1, 5), 5), "ends after step 10 of 15"),
    "two warm-ups": (dl.LinearWarmup(dl.LinearWarmup(dl.OneCycle(0.1, 3), 4), 2), "ends after step 9 of 15"),
    "steps of 0": (dl.PiecewiseConstant([3, 6], [0.1, 0.01, 0]), "ends after step 6 of 15, .* a rate of 0;"),
    "steps within an epoch": (dl.PiecewiseConstant([1, 2], [0.1, 0.01, 0.001]), "falls for the last time after step 2"),
    "stairs": (dl.StepDecay(0.1, 0.1, every=1), "ends after step 6 of 15, and the rest has a rate of 1e-15;"),
    "decay": (dl.ExponentialDecay(0.1, 0.2), "ends after step 9 of 15"),
    "decay after a warm-up": (dl.LinearWarmup(dl.ExponentialDecay(0.1, 0.2), 4), "ends after step 13 of 15"),
    "own": (Line(5), "has a rate of 0 at step 8 of 15; did you give"),
    "long warm-up": (dl.LinearWarmup(0.1, 16), "has a warm-up of 16 steps, but the run ends after step 15; did you"),
    "long rise": (dl.OneCycle(0.1, 60), "has a warm-up of 18 steps, but the run ends after step 15"),
    "long way up": (dl.TriangularCycle(0.001, 0.1, half_cycle=20), "has a warm-up of 20 steps"),
    "warm-up before a rise": (dl.LinearWarmup(dl.OneCycle(0.1, 40), 4), "has a warm-up of 16 steps"),
}


@pytest.mark.parametrize(("schedule", "words"), WRONG.values(), ids=WRONG)
def test_a_schedule_that_does_not_go_with_the_run_is_warned_of_before_the_first_step(schedule, words):
    words = rf"^{type(schedule).__name__}\(.* {words}.*Make the schedule for 15 steps \(an epoch has 3\)$"
    no_step = dl.LambdaCallback(on_train_begin=lambda trainer: pytest.fail("training has begun"))
    trainer = a_trainer(schedule, [no_step])
    before = everything(trainer), trainer.epochs, trainer.last_epoch
    for _ in range(2):
        # An error here, as all warnings of the tests.
        with pytest.raises(UserWarning, match=words):
            fit(trainer, {}, 5)
        assert (everything(trainer), trainer.epochs, trainer.last_epoch) == before
    assert len(told(a_trainer(schedule))) == 1


RIGHT = [
    0.1,
    dl.ConstantRate(0.1),
    dl.CosineAnnealing(0.1, 15),
    dl.CosineAnnealing(0.1, 14),
    dl.CosineAnnealing(0.1, 1000),
    dl.OneCycle(0.1, 15),
    dl.LinearWarmup(0.1, 15),
    dl.LinearWarmup(dl.CosineAnnealing(0.1, 12), 3),
    dl.LinearWarmup(dl.OneCycle(0.1, 11), 4),
    dl.CosineAnnealingWarmRestarts(0.1, 2),
    dl.TriangularCycle(0.001, 0.1, half_cycle=3),
    dl.StepDecay(0.1, 0.5, every=2),
    dl.StepDecay(0.1, 0.1, every=1000),
    dl.ExponentialDecay(0.1, 0.5),
    dl.ExponentialDecay(1e-6, 2.0),
    dl.InverseTimeDecay(0.1, 1.0),
    dl.PiecewiseConstant([3, 9], [0.1, 0.01, 0.001]),
    dl.PiecewiseConstant([1, 2], [0.01, 0.1, 0.05]),
    dl.PiecewiseConstant([15], [0.1, 0.0]),
    dl.PiecewiseConstant([], [0.1]),
    Line(15),
]


@pytest.mark.parametrize("schedule", RIGHT, ids=lambda schedule: repr(schedule))
def test_a_schedule_that_goes_with_the_run_is_silent(schedule):
    assert told(a_trainer(schedule)) == []


def test_epochs_taken_for_steps(rng):
    x = rng.normal(size=(300, 8))
    trainer = dl.Trainer(dl.Model(dl.Dense(8, 3, rng=0), dl.SoftmaxCrossEntropy()), dl.SGD(dl.OneCycle(0.1, steps=5)))
    words = r"^OneCycle\(0.1, 5\) ends after step 5 of 50, .* Make the schedule for 50 steps \(an epoch has 10\)$"
    with pytest.warns(UserWarning, match=words):
        trainer.fit(dl.Dataset(x, x[:, :3].argmax(1)), epochs=5, batch_size=30)


def test_what_an_own_schedule_raises_is_raised_at_its_step():
    trainer = a_trainer(Listed())
    with pytest.raises(IndexError):
        fit(trainer, {}, 5)
    assert trainer.step == 3
    # A run that stops before that is right.
    stop = dl.LambdaCallback(on_epoch_end=lambda trainer: trainer.stop())
    assert told(a_trainer(Listed(), [stop])) == []
    grows = dl.ExponentialDecay(1.0, 1e40)
    assert told(a_trainer(grows, [dl.LambdaCallback(on_batch_end=lambda trainer: trainer.stop())])) == []


class Counting(dl.Schedule):
    """As of PyTorch: it moves on with every call, so a second run would begin where the first one ended."""

    def __init__(self):
        self.calls = 0

    def __call__(self, step):
        self.calls += 1
        return 0.1 * 0.9**self.calls


@pytest.mark.parametrize("wrap", [lambda schedule: schedule, lambda schedule: dl.LinearWarmup(schedule, 4)])
def test_a_schedule_with_a_memory_is_refused_and_not_moved_on(wrap):
    own = Counting()
    trainer = a_trainer(0.1)
    before = everything(trainer)
    trainer.optimizer.learning_rate = wrap(own)
    for _ in range(2):
        with pytest.raises(dl.InputError, match=r"expected the same rates when asked again for steps 0 and 7, got"):
            fit(trainer, {}, 5)
        assert own.calls == 0
    trainer.optimizer.learning_rate = 0.1
    assert everything(trainer) == before


def test_one_epoch_of_falling_rates_is_right():
    assert told(a_trainer(dl.PiecewiseConstant([1, 2], [0.1, 0.01, 0.001])), 1) == []


def test_a_last_rate_that_is_meant_for_the_rest():
    class Held(dl.CosineAnnealing):
        ends_after = None

    assert told(a_trainer(Held(0.1, 5, minimum=0.01))) == []
    # At a rate of 0 nothing can be meant.
    assert len(told(a_trainer(Held(0.1, 5)))) == 1


def test_several_fits_count_together():
    trainer = a_trainer(dl.CosineAnnealing(0.1, 15))
    assert [told(trainer, 1) for _ in range(5)] == [[]] * 5
    (message,) = told(trainer, 2)
    assert "ends after step 15 of 21, and the rest has a rate of 0" in message
    assert "Make the schedule for 21 steps" in message
    assert told(trainer, 0) == []


@pytest.mark.parametrize("schedule", [dl.LinearWarmup(0.1, 8), dl.OneCycle(0.1, 15), dl.OneCycle(0.1, 300)])
def test_a_loop_of_fits_of_one_epoch_may_be_in_the_middle_of_a_longer_schedule(schedule):
    trainer = a_trainer(schedule)
    assert [told(trainer, 1) for _ in range(5)] == [[]] * 5
    # The first of several longer ones cannot know of the others; those cannot be mistaken.
    trainer = a_trainer(dl.LinearWarmup(0.1, 8))
    assert [len(told(trainer, epochs)) for epochs in (2, 1, 2)] == [1, 0, 0]


@pytest.mark.parametrize(("steps", "count"), [(15, 0), (12, 1), (5, 1)])
@pytest.mark.parametrize("died", [4, 6, 14])
def test_a_resumed_run_counts_as_it_would_have_without_interruption(steps, count, died, tmp_path):
    def a_run():
        return [dl.Checkpoint(tmp_path, every_steps=1)]

    with pytest.raises(Death):
        told(a_trainer(dl.CosineAnnealing(0.1, steps), [*a_run(), DieAt(died)]))
    trainer = a_trainer(dl.CosineAnnealing(0.1, steps), a_run())
    messages = told(trainer, 5, resume_from=tmp_path)
    assert len(messages) == count
    assert all(f"ends after step {steps} of 15" in message for message in messages)
    assert trainer.step == 15


def test_a_second_fit_that_is_resumed(tmp_path):
    trainer = a_trainer(dl.CosineAnnealing(0.1, 15), [dl.Checkpoint(tmp_path, every_steps=1)])
    fit(trainer, {}, 2)
    fit(trainer, {}, 3)
    fresh = a_trainer(dl.CosineAnnealing(0.1, 15), [dl.Checkpoint(tmp_path, every_steps=1)])
    assert told(fresh, 3, resume_from=tmp_path) == []
    (message,) = told(fresh, 1)
    assert "ends after step 15 of 18" in message


def test_an_optimizer_of_an_earlier_trainer_has_steps_behind_it():
    first = a_trainer(dl.CosineAnnealing(0.1, 15))
    fit(first, {}, 4)
    second = dl.Trainer(first.model, first.optimizer, rng=0)
    (message,) = told(second, 2)
    assert "ends after step 15 of 18" in message
    assert told(dl.Trainer(first.model, first.optimizer, rng=0), 0) == []


def test_one_epoch_of_one_batch():
    trainer = a_trainer(dl.OneCycle(0.1, 1))
    trainer.fit(images(), epochs=1, batch_size=1000)
    assert trainer.step == 1


@pytest.mark.parametrize("schedule", [*(schedule for schedule, _ in WRONG.values()), *RIGHT[1:]], ids=repr)
def test_what_a_schedule_says_of_its_end_is_true(schedule):
    rates = [schedule(step) for step in range(200)]
    end, warmup = schedule.ends_after, schedule.warmup_ends_after
    if end is not None and end < 200:
        assert max(rates[end:]) == min(rates[end:]) or max(rates[end:]) <= 1.0000001e-6 * max(rates)
        assert rates[end - 1] >= rates[end]
    if warmup:
        assert rates[:warmup] == sorted(rates[:warmup])
        assert rates.index(max(rates)) in (warmup - 1, warmup)
