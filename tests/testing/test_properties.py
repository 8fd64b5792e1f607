"""Property-based gradient tests: they name the fault, take little time, and can be repeated."""

import pickle
from collections import Counter
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import Phase, example, find, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import DeadlineExceeded, FailedHealthCheck, InvalidArgument
from hypothesis.stateful import run_state_machine_as_test
from small_parts import Scale

import minidl as dl
from minidl import testing
from minidl.testing import batches, given_layer_cases, given_loss_cases, labels, layer_machine, off_kinks
from minidl.testing.strategies import relaxed


class MeanScale(Scale):
    def backward(self, dy):
        (x,) = self.kept()
        self.gain.add_grad((dy * x).mean(axis=0))
        return dy * self.gain.value.astype(dy.dtype)


class Center(dl.Layer):
    def forward(self, x, train=False):
        if train:
            self.keep(1)
        return x - x.mean(axis=0)

    def backward(self, dy):
        self.kept()
        return dy - dy.mean(axis=0)


def relu(shape, axis):
    return dl.ReLU()


class TwoRows(dl.BatchNorm):
    def forward(self, x, train=False):
        if train and len(x) < 2:
            raise dl.InputError("x: expected at least two rows")
        return super().forward(x, train)


def failures_of(test, **options):
    """Return the errors that end a Hypothesis test, by class."""
    with pytest.raises((AssertionError, ExceptionGroup)) as caught:
        settings(database=None, **options)(test)()
    errors = getattr(caught.value, "exceptions", [caught.value])
    return {type(error): error for error in errors}


def check(layer, x):
    dl.check_layer(layer, x).assert_ok()


# ---- every verdict has its error


@pytest.mark.parametrize("verdict", [verdict for verdict in dl.Verdict if not verdict.ok])
def test_each_verdict_raises_its_own_error_which_can_be_pickled(verdict):
    report = dl.GradientReport("a check", verdict)
    with pytest.raises(dl.GradientCheckError) as caught:
        report.assert_ok()
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (type(caught.value), str(report))
    assert verdict.name in type(again).__doc__
    assert [v for v in dl.Verdict if v.name in type(again).__doc__.split(":")[0].split()] == [verdict]


@pytest.mark.parametrize(
    ("make", "error", "cause"),
    [
        (lambda features: MeanScale(features), dl.WrongGradientError, "a mean used instead of a sum?"),
        (lambda features: Center(), dl.BrokenContractError, "set batch_independent = False"),
    ],
    ids=["MeanScale", "Center"],
)
def test_shrinking_is_short_and_keeps_the_first_verdict(make, error, cause):
    calls = Counter()

    @given_layer_cases(make)
    def counted(layer, x):
        calls["all"] += 1
        check(layer, x)

    found = failures_of(seed(0)(counted), derandomize=False, phases=Phase)
    assert cause in str(found[error])
    # The explain phase does not run.
    assert calls["all"] < 150
    assert not any("any other generated value" in str(error.__notes__) for error in found.values())


def test_vacuous_alone_is_accepted_on_demand():
    def accept(report):
        report.assert_ok(vacuous=True)

    accept(dl.check_layer(dl.ReLU(), [[-1.0, -2.0]]))
    with pytest.raises(dl.VacuousError):
        dl.check_layer(dl.ReLU(), [[-1.0, -2.0]]).assert_ok()
    for verdict in dl.Verdict:
        if not verdict.ok and verdict is not dl.Verdict.VACUOUS:
            with pytest.raises(dl.GradientCheckError):
                accept(dl.GradientReport("a check", verdict))


def test_vacuous_does_not_contradict_itself():
    f = lambda z: 1.0 + np.log1p(np.exp(z)).sum(keepdims=True)  # noqa: E731
    report = dl.check_function(f, lambda dy, z: dy / (1 + np.exp(-z)), np.full(3, -36.0))
    assert report.verdict is dl.Verdict.VACUOUS
    assert report.nonzero > 0
    assert "zero" not in report.verdict.value
    assert "nothing was compared" not in str(report)


# ---- deadlines and numbers of examples


FACTORY = settings(deadline=timedelta(milliseconds=200), phases=tuple(Phase), max_examples=7)


def test_settings_that_a_user_has_not_changed_are_those_of_the_profile():
    chosen, profile = relaxed(FACTORY), settings.get_profile("minidl")
    assert (chosen.deadline, chosen.phases, chosen.max_examples) == (None, profile.phases, 7)
    assert Phase.explain not in profile.phases
    own = settings(FACTORY, deadline=300, phases=[Phase.generate, Phase.explain])
    assert (relaxed(own).deadline, relaxed(own).phases) == (own.deadline, own.phases)


@pytest.mark.parametrize("order", ["inside", "outside"])
def test_settings_of_the_user_count_above_and_below(order):
    calls = Counter()

    def run(layer, x):
        calls["run"] += 1

    decorators = [settings(FACTORY, max_examples=3, database=None), given_layer_cases(Scale)]
    for decorator in decorators if order == "inside" else decorators[::-1]:
        run = decorator(run)
    run()
    assert calls["run"] == 3


def test_examples_and_a_deadline_of_the_users_own_count_too():
    rows = []

    @example(layer=Scale(1), x=np.ones((9, 1)))
    @settings(FACTORY, deadline=timedelta(microseconds=1), database=None)
    @given_layer_cases(Scale)
    def late(layer, x):
        rows.append(len(x))

    with pytest.raises(DeadlineExceeded):
        late()
    assert rows[0] == 9


# ---- the drawn cases, and the printed call


def test_a_layer_that_needs_two_rows_is_given_them():
    settings(max_examples=5)(given_layer_cases(TwoRows, rows=st.integers(2, 5))(check))()
    x = find(batches(2, rows=st.integers(2, 5)), lambda x: len(x) == 5)
    assert x.shape == (5, 2)


@pytest.mark.parametrize(
    ("decorator", "line"),
    [
        (given_layer_cases(Scale), "check_layer(Scale(1), np.array([[0.03125]]), seed=0)"),
        (
            given_layer_cases(lambda features, outputs: dl.Dense(features, outputs), outputs=st.integers(2, 3)),
            "check_layer(dl.Dense(1, 2), np.array([[0.03125]]), seed=0)",
        ),
        (
            given_layer_cases(relu, axis=st.integers(0, 1), features=(4, 1)),
            "check_layer(relu((4, 1), axis=0), np.array([[[-0.03125], [0.09375], [0.15625], [0.21875]]]), seed=0)",
        ),
        (
            given_layer_cases(lambda n: Scale(n), features=1, values=lambda shape: st.just(np.zeros(shape, int))),
            "check_layer(Scale(1), np.array([[0]]), seed=0)",
        ),
        (
            given_layer_cases(lambda features: dl.ReLU(), values=testing.bounded(0, 1), rows=2),
            "check_layer(dl.ReLU(), np.array([[0.49609375], [0.51171875]]), seed=0)",
        ),
    ],
    ids=["class", "lambda", "shape", "whole", "bounded"],
)
def test_a_failing_case_of_a_layer_prints_the_call_that_repeats_it(decorator, line):
    @decorator
    def fails(layer, x):
        raise AssertionError

    assert failures_of(fails)[AssertionError].__notes__[0] == line


def test_a_failing_case_of_a_loss_prints_the_call_that_repeats_it():
    @given_loss_cases(lambda delta: dl.Huber(delta), targets=testing.bounded(-2, 2), delta=st.sampled_from([0.5, 2.0]))
    def fails(loss, outputs, targets):
        raise AssertionError

    error = failures_of(fails)[AssertionError]
    assert error.__notes__[0] == "check_loss(dl.Huber(0.5), np.array([[0.03125]]), np.array([[0.015625]]), seed=0)"
    assert "dyadics" not in str(error.__notes__)


@settings(max_examples=20)
@given_loss_cases(
    dl.SoftmaxCrossEntropy, targets=lambda shape: labels(*shape), values=lambda shape: testing.logits(*shape)
)
def test_losses_are_checked_like_layers(loss, outputs, targets):
    assert targets.shape == outputs.shape[:1]
    dl.check_loss(loss, outputs, targets).assert_ok(vacuous=True)


@given_loss_cases(dl.MeanAbsoluteError, targets=testing.bounded(-2, 2))
def test_bounded_targets_equal_no_output(loss, outputs, targets):
    assert (targets != outputs).all()
    assert np.abs(targets).max() < 2


class TestFixtures:
    @given_layer_cases(Scale, features=3)
    def test_may_come_after_what_is_drawn(self, layer, x, tmp_path_factory):
        assert x.shape[1:] == layer.gain.value.shape
        assert tmp_path_factory.getbasetemp().is_dir()


@pytest.mark.parametrize("test", [lambda x: None, given(k=st.integers())(lambda layer, x, k: None)], ids=["few", "two"])
def test_an_invalid_test_raises_the_error_of_given(test):
    with pytest.raises(InvalidArgument, match="given"):
        given_layer_cases(Scale)(test)()


class Wide(Scale):
    def __repr__(self):
        return "Wide(gain=array of numbers)"


@pytest.mark.parametrize("cls", [MeanScale, Wide])
@pytest.mark.parametrize("features", [2, 30], ids=["short x", "long x"])
def test_the_call_that_repeats_a_case_runs(cls, features):
    layer, x = cls(features), np.random.default_rng(0).normal(size=(2, features)).astype(np.float32)
    report = dl.check_layer(layer, x)
    again = eval(report.reproduce, {"check_layer": dl.check_layer, "np": np, "layer": layer, "x": x})
    assert str(again.findings) == str(report.findings)
    assert report.reproduce.endswith("  # with the same layer" + " and x" * (features > 2))


# ---- arguments


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: given_layer_cases(Scale(5)), "make"),
        (lambda: given_layer_cases(lambda features: 3)(check)(), "its result"),
        (lambda: given_layer_cases(Scale, features=2.5)(check)(), "features"),
        (lambda: given_layer_cases(Scale, features=0)(check)(), "features"),
        (lambda: given_layer_cases(Scale, rows="all")(check)(), "rows"),
        (lambda: given_layer_cases(Scale, values=3)(check)(), "values"),
        (lambda: given_layer_cases(Scale, kernel=3), "kernel"),
        (lambda: given_loss_cases(dl.Huber, targets=3), "targets"),
        (lambda: given_loss_cases(lambda: dl.ReLU(), targets=off_kinks)(lambda *, loss, outputs, targets: 0)(), "make"),
        (lambda: layer_machine(Scale(5), 5), "make"),
        (lambda: layer_machine(lambda: 3, 5), "make"),
        (lambda: layer_machine(lambda: Scale(5), "5"), "input_shape"),
    ],
)
def test_a_wrong_argument_is_named(call, argument):
    with pytest.raises(dl.InputError, match=argument):
        call()


@given(batches(np.int64(3), rows=np.int64(2)))
def test_numbers_of_numpy_are_numbers(x):
    assert x.shape == (2, 3)


# ---- undecided cases


def undecided(when, verdict=dl.Verdict.INCONCLUSIVE):
    """Return a property whose check ends with `verdict` if `when` holds for x, and a list of its runs."""
    calls = Counter()

    @given_layer_cases(Scale)
    def test(layer, x):
        calls[when(x)] += 1
        dl.GradientReport("squeeze-excite", verdict if when(x) else dl.Verdict.PASS).assert_ok()

    return settings(database=None, derandomize=True)(test), calls


@pytest.mark.parametrize("verdict", [dl.Verdict.INCONCLUSIVE, dl.Verdict.VACUOUS], ids=lambda verdict: verdict.name)
def test_a_few_undecided_cases_are_rejected(verdict):
    test, calls = undecided(lambda x: x.size == 1, verdict)
    test()
    assert 0 < calls[True] <= 20


def test_many_undecided_cases_are_a_failure_without_shrinking():
    test, calls = undecided(lambda x: True)
    with pytest.raises(FailedHealthCheck, match="filtering out a lot"):
        test()
    assert calls[True] <= 51


def test_undecided_cases_do_not_hide_a_fault():
    @given_layer_cases(Scale)
    def test(layer, x):
        if x.size > 9:
            dl.GradientReport("a fault", dl.Verdict.FAIL_VALUE).assert_ok()
        dl.GradientReport("a kink", dl.Verdict.INCONCLUSIVE if x.size > 4 else dl.Verdict.PASS).assert_ok()

    assert list(failures_of(test)) == [dl.WrongGradientError]


# ---- machines


class SecondCall(Scale):
    calls = 0

    def backward(self, dy):
        self.calls += 1
        return super().backward(dy * (1 if self.calls < 2 else 2))


def test_a_failure_of_the_machine_is_a_program_that_can_be_pasted():
    machine = layer_machine(lambda: SecondCall(3), 3)
    few = settings(machine.TestCase.settings, database=None, stateful_step_count=8)
    with pytest.raises(testing.ContractError, match="dx: expected") as caught:
        run_state_machine_as_test(machine, settings=few)
    notes = caught.value.__notes__
    # If CI is set, Hypothesis adds a note on how to reproduce the example.
    (program,) = (note.partition(":\n")[2] for note in notes if note.startswith("the same steps without the machine"))
    names = {"np": np, "SecondCall": SecondCall}
    exec(program, names)
    assert names["layer"].calls == 2
    # One line per call, one for the beginning and one for the end.
    assert len([note for note in notes if note.startswith("state")]) <= 6


def test_the_machine_names_an_invalid_layer():
    class Noise(Scale):
        def __init__(self, features):
            super().__init__(features)
            self.rng = np.random.default_rng(0)

        def forward(self, x, train=False):
            return super().forward(x, train) + self.rng.normal()

    machine = layer_machine(lambda: Noise(3), 3)
    once = settings(machine.TestCase.settings, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises(testing.ContractError, match="must not draw random numbers"):
        run_state_machine_as_test(machine, settings=once)
