"""The contract checks: minidl's classes and correct ones of users keep them; a fault breaks the rule that names it."""

import copy
import inspect
import io
import itertools
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from cases import strategy_for
from hypothesis import assume, given, settings
from own_faults import FAULTS, Fault
from own_layers import RIGHT, Gain
from planted import MUTANTS
from planted.fault import After
from planted.optimizers import BREACHES
from small_parts import Momentum, SquaredError

import minidl as dl
from minidl import testing

INTERFACES = (dl.Layer, dl.Loss, dl.Regularizer, dl.Optimizer, dl.Schedule, dl.Initializer)
PUBLIC = [
    thing
    for name in dl.__all__
    if inspect.isclass(thing := getattr(dl, name)) and issubclass(thing, INTERFACES) and not inspect.isabstract(thing)
]


def check_contract(make, *arrays):
    """Check that the objects of `make` keep the contract of their kind, with the arrays of a case."""
    kind = next(kind for kind in (*INTERFACES, dl.Callback) if isinstance(make(), kind)).__name__.lower()
    rest = {"layer": [array.shape[1:] for array in arrays], "regularizer": [array.shape for array in arrays]}
    getattr(testing, f"check_{kind}_contract")(make, *rest.get(kind, arrays))


def spoiled(cls, **methods):
    """Return a subclass with other methods; `After` edits the result of the correct method."""
    parts = {m: part.of(getattr(cls, m)) if isinstance(part, After) else part for m, part in methods.items()}
    return type("Spoiled", (cls,), parts)


# ---- correct classes keep their contract


@pytest.mark.parametrize("cls", [cls for cls in PUBLIC if not issubclass(cls, dl.Schedule)], ids=lambda c: c.__name__)
def test_every_public_class_keeps_its_contract(cls):
    @settings(max_examples=3)
    @given(strategy_for(cls))
    def keeps_it(drawn):
        subject, *arrays = drawn if isinstance(drawn, tuple) else (drawn,)
        # The contract of a loss takes at least two rows.
        assume(not isinstance(subject, dl.Loss) or len(arrays[0]) > 1)
        try:
            check_contract(lambda: copy.deepcopy(subject), *arrays)
        except dl.GradientCheckError as error:
            # All units of a random network may be idle; then there is nothing to compare.
            assume("VACUOUS" not in str(error))
            raise

    keeps_it()


@pytest.mark.parametrize(
    "make",
    [
        lambda: dl.ConstantRate(0.1),
        lambda: dl.CosineAnnealing(0.1, steps=300),
        lambda: dl.LinearWarmup(dl.StepDecay(0.1, factor=0.5, every=100), 20),
        lambda: dl.OneCycle(0.1, 500),
        lambda: dl.TriangularCycle(0.0, 1.0, half_cycle=7),
        lambda: dl.PiecewiseConstant([10, 20], [0.1, 0.01, 0.0]),
    ],
)
def test_schedules_keep_the_contract(make):
    testing.check_schedule_contract(make)


@pytest.mark.parametrize("name", [name for name in dl.__all__ if getattr(getattr(dl, name), "on_train_begin", None)])
def test_callbacks_keep_the_contract(name, tmp_path, monkeypatch):
    # The look of a figure is not part of the contract, and drawing takes seconds.
    for function in ("plot_curves", "plot_weight_templates", "save_figure", "style.content_of"):
        monkeypatch.setattr(f"minidl.plotting.{function}", lambda *_, **__: b"")
    numbers = itertools.count()

    def anew(cls, attribute, name):
        """Return a subclass of `cls` that writes to a new path in each fit: a file or folder belongs to one run."""

        def on_train_begin(self, trainer):
            setattr(self, attribute, tmp_path / f"{next(numbers)}-{name}")
            cls.on_train_begin(self, trainer)

        return type(cls.__name__, (cls,), {"on_train_begin": on_train_begin})(tmp_path / name)

    def following(cls):
        callback = cls(patience=0)
        # A constructor refuses this monitor, but every run of the contract has it.
        callback.monitor = "learning_rate"
        return callback

    makers = {
        "CSVLogger": lambda: anew(dl.CSVLogger, "path", "log.csv"),
        "Callback": dl.Callback,
        "Checkpoint": lambda: anew(dl.Checkpoint, "directory", "run"),
        "EarlyStopping": lambda: following(dl.EarlyStopping),
        "GradientMonitor": lambda: dl.GradientMonitor(every=1),
        "JSONLLogger": lambda: anew(dl.JSONLLogger, "path", "log.jsonl"),
        "LambdaCallback": lambda: dl.LambdaCallback(on_epoch_end=lambda trainer: None),
        "LiveCurves": lambda: dl.LiveCurves(tmp_path / "live.html"),
        "ProgressBar": lambda: dl.ProgressBar(file=io.StringIO()),
        "ReduceLROnPlateau": lambda: following(dl.ReduceLROnPlateau),
        "TensorBoard": lambda: dl.TensorBoard(SimpleNamespace(add_scalar=lambda tag, value, step: None)),
        "TerminateOnNaN": dl.TerminateOnNaN,
        "Timer": dl.Timer,
        "LearningCurves": lambda: dl.LearningCurves(tmp_path),
        "WeightTemplates": lambda: dl.WeightTemplates(tmp_path),
    }
    # These attributes belong to the process: a time, and whether the file was checked.
    own = name in ("CSVLogger", "JSONLLogger", "Timer")
    with pytest.warns(UserWarning, match="after a resumed run") if own else nullcontext():
        testing.check_callback_contract(makers[name])


@testing.parametrize_checks([(partial(cls, shape), shape) for cls, shape, _ in RIGHT.values()])
def test_correct_layers_of_your_own(check):
    check()


@pytest.mark.parametrize(("seeds", "examples"), [(1, 4), pytest.param(20, 25, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("name", RIGHT)
def test_correct_layers_of_your_own_have_the_property_for_any_seed(name, seeds, examples):
    cls, shape, shapes = RIGHT[name]
    for seed in range(seeds):
        Fault(cls, shape, shapes, "", "").by_property("o", seed, examples)


# ---- faults in layers: which check finds them, and names them


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_a_layer_is_found_and_named(name):
    fault = FAULTS[name]
    finder = fault.found[0]
    find = {"C": fault.by_contract, "M": fault.by_machine}.get(finder, partial(fault.by_property, finder))
    with pytest.raises((AssertionError, dl.MinidlError, UserWarning), match=fault.says):
        find()


@pytest.mark.nightly
@pytest.mark.parametrize("name", FAULTS)
def test_each_finder_finds_the_fault_in_five_seeds(name):
    fault = FAULTS[name]
    for finder, seed in itertools.product(fault.found, range(5)):
        find = {"C": fault.by_contract, "M": fault.by_machine}.get(finder, partial(fault.by_property, finder, seed))
        with pytest.raises((AssertionError, dl.MinidlError, UserWarning, ValueError)):
            find()


PLANTED = {fault.name: fault for fault in MUTANTS}
REFUSED = [
    *(
        "SwappedSlices",
        "NoOutputShape",
        "Downcasts",
        "MemoryOrder",
        "Immortal",
        "KeepsInEval",
        "FirstForward",
        "Workspace",
    ),
    *("NoParameters", "MixesRows", "SumForward", "OneLossARow", "BackwardTwiceLoss", "HalfL2", "ScalesInPlace"),
]


@pytest.mark.parametrize("name", REFUSED)
def test_a_layer_that_the_checker_refuses_breaks_the_contract(name):
    _, *arrays = PLANTED[name].make()
    with pytest.raises((dl.GradientCheckError, testing.ContractError), match=f"^{name} breaks the .* contract, '"):
        check_contract(lambda: PLANTED[name].make()[0], *arrays)


@pytest.mark.parametrize("layer", [dl.Dense, dl.Dropout])
def test_a_make_without_a_seed_is_named(layer):
    arguments = (3, 2) if layer is dl.Dense else (0.5,)
    with pytest.raises(testing.ContractError, match=r"'layers_of_make_are_equal': two layers of make differ, .*; seed"):
        testing.check_layer_contract(lambda: layer(*arguments), 3)


class Table(dl.Layer):
    """Correct: returns a row of a table for each integer."""

    add = staticmethod(np.add.at)

    def __init__(self):
        self.table = self.add_parameter("table", np.arange(14.0).reshape(7, 2))

    def forward(self, x, train=False):
        if train:
            self.keep(x)
        return self.table.value[x]

    def backward(self, dy):
        (x,) = self.kept()
        gradient = np.zeros_like(self.table.value)
        self.add(gradient, x, dy)
        self.table.add_grad(gradient)
        return np.zeros(x.shape, dy.dtype)


def test_a_layer_takes_an_example_of_x_in_place_of_its_shape():
    integers = np.array([[1, 2, 1], [0, 6, 3]])
    testing.check_layer_contract(Table, integers)
    repeated_are_lost = spoiled(Table, add=lambda self, gradient, x, dy: gradient.__setitem__(x, gradient[x] + dy))
    with pytest.raises(dl.GradientCheckError, match="table"):
        testing.check_layer_contract(repeated_are_lost, integers)
    testing.check_layer_contract(lambda: Gain(4), np.array([[0.5, 2.0, 3.0, 4.0], [1.5, 1.0, 2.5, 7.0]]))


# ---- faults in other classes


OUTPUTS, TARGETS = np.array([[0.5], [-1.25], [0.75]]), np.array([[0.25], [1.0], [-0.5]])


loss = partial(spoiled, dl.MeanSquaredError)


class Lion(dl.Optimizer):
    """Correct (Chen et al., 2023): uses the sign of a momentum that is updated after its use."""

    def init_state(self, parameter):
        return {"mean": np.zeros_like(parameter.value)}

    def update(self, parameter, state, learning_rate):
        mean = state["mean"]
        parameter.value -= learning_rate * np.sign(0.9 * mean + 0.1 * parameter.grad)
        mean *= 0.99
        mean += 0.01 * parameter.grad


class OneState(Lion):
    def init_state(self, parameter):
        return next(iter(self.state.values()), None) or super().init_state(parameter)


class ById(Lion):
    def __init__(self, learning_rate):
        super().__init__(learning_rate)
        self.ms = {}

    def init_state(self, parameter):
        return {}

    def update(self, parameter, state, learning_rate):
        mine = self.ms.setdefault(id(parameter), Lion.init_state(self, parameter))
        super().update(parameter, mine, learning_rate)


class DividesByZero(Momentum):
    def update(self, parameter, state, learning_rate):
        state["velocity"] += parameter.grad**2
        with np.errstate(invalid="ignore"):
            parameter.value -= learning_rate * parameter.grad / np.sqrt(state["velocity"])


class OwnRate(Momentum):
    def update(self, parameter, state, learning_rate):
        super().update(parameter, state, 0.1)


class Unseeded(dl.Normal):
    draws = 0

    def __call__(self, shape, rng):
        Unseeded.draws += 1
        return super().__call__(shape, rng) + Unseeded.draws


class Single(dl.Normal):
    def __call__(self, shape, rng):
        return super().__call__(shape, rng).astype(np.float32)


class Cached(dl.Zeros):
    def __call__(self, shape, rng):
        self.array = getattr(self, "array", np.zeros(shape))
        return self.array if self.array.shape == shape else np.zeros(shape)


class WantsValidation(dl.Callback):
    def on_epoch_end(self, trainer):
        trainer.logs["val_loss"]


class HidesErrors(dl.Callback):
    def on_train_end(self, trainer):
        trainer.history["loss"]


class OnlyOnce(dl.Callback):
    used = False

    def on_train_begin(self, trainer):
        if self.used:
            raise RuntimeError("used before")

    def on_train_end(self, trainer):
        self.used = True


class Remembers(dl.Callback):
    """`forgets` is whether it resets its state in each run."""

    saved_attributes = ("losses", "rng")

    def __init__(self, forgets=False):
        self.losses, self.rng, self.forgets = [], np.random.default_rng(0), forgets

    def on_train_begin(self, trainer):
        if self.forgets:
            self.__init__(True)

    def on_epoch_end(self, trainer):
        self.losses.append(np.array([trainer.epoch, self.rng.normal()]))


class Counts(dl.Callback):
    """Counts epochs, but does not name the count in saved_attributes."""

    def on_train_begin(self, trainer):
        self.count, self.seen = 0, set()

    def on_batch_end(self, trainer):
        self.count += 1


class CountsOpenly(Counts):
    saved_attributes = ("count",)


class SavesASet(Counts):
    saved_attributes = ("count", "seen")


class NamesNothing(Counts):
    saved_attributes = ("count", "counts")


class Starts(dl.Callback):
    """Keeps an attribute from the beginning of an epoch to its end, which a run that resumes within it lacks."""

    def on_epoch_begin(self, trainer):
        self.start = trainer.step

    def on_epoch_end(self, trainer):
        trainer.logs["steps_of_epoch"] = trainer.step - self.start


class NamesLater(dl.Callback):
    saved_attributes = ("count",)

    def on_epoch_end(self, trainer):
        self.count = 1


class Stops(dl.Callback):
    def on_epoch_end(self, trainer):
        trainer.stop()


class CountsCalls(dl.Schedule):
    calls = 0

    def __call__(self, step):
        self.calls += 1
        return 0.1 / self.calls


class Falls(dl.Schedule):
    def __call__(self, step):
        return 0.1 * (1 - step / 100)


@pytest.mark.parametrize("make", [lambda: Lion(0.1), CountsOpenly, lambda: Remembers(forgets=True), Stops])
def test_correct_optimizers_and_callbacks_of_your_own(make):
    check_contract(make)


SQUARED = OUTPUTS, TARGETS
FOUND = [
    *(((partial(cls, 0.1),), rule, "") for cls, rule in BREACHES.items()),
    ((partial(OneState, 0.1),), "keeps_state_by_path", "keep state by parameter"),
    ((partial(ById, 0.1),), "continues_from_its_state", "in arrays of init_state"),
    ((partial(DividesByZero, 0.1),), "gradients_of_zero_give_finite_numbers", "the weight: a gradient of 0 gives NaN"),
    ((partial(OwnRate, 0.1),), "uses_the_learning_rate", "the same step"),
    ((partial(Unseeded, 1),), "same_seed_same_draw", ""),
    ((partial(Single, 1),), "draws_finite_float64_of_the_shape", ""),
    ((Cached,), "each_draw_is_a_new_array", ""),
    ((WantsValidation,), "works_without_validation_metrics_or_epochs", ""),
    ((HidesErrors,), "works_without_validation_metrics_or_epochs", ""),
    ((OnlyOnce,), "resets_state_for_each_run", "used before"),
    ((Remembers,), "resets_state_for_each_run", "reset all saved_attributes in on_train_begin"),
    ((SavesASet,), "continues_from_a_checkpoint", "seen: .*got set; convert it"),
    ((NamesNothing,), "resets_state_for_each_run", "no attribute 'counts'"),
    ((NamesLater,), "continues_from_a_checkpoint", "missing attributes: count"),
    ((Starts,), "continues_from_a_checkpoint", "no attribute 'start'"),
    ((CountsCalls,), "same_step_same_rate", "from the step alone"),
    ((Falls,), "rates_are_finite_and_not_negative", "step 101, got -0.001"),
    ((loss(backward=After(lambda self, g: 3 * g)), *SQUARED), "loss_gradient_is_right", "is a mean missing"),
    ((loss(forward=After(lambda self, value, *_: 3 * value)), *SQUARED), "loss_gradient_is_right", "factor"),
    ((loss(backward=After(lambda self, g: g.astype(float))), *SQUARED), "loss_gradient_is_right", "got float64"),
    ((loss(forward=After(lambda self, value, *_: np.float32(value))), *SQUARED), "loss_gradient_is_right", "a float"),
    ((SquaredError, *SQUARED), "shapes_are_not_broadcast", "with every target"),
    ((loss(backward=After(lambda self, g: np.clip(g, -5, 5))), *SQUARED), "loss_gradient_is_right_far_out", "is wrong"),
    ((partial(spoiled(dl.L2, gradient=After(lambda self, g, w: -g)), 0.1),), "regularizer_gradient_is_right", "sign"),
    ((partial(spoiled(dl.L2, gradient=After(lambda self, g, w: g + (w == 0))), 0.1),), "right_at_zeros", ""),
]  # fmt: skip


@pytest.mark.parametrize(("subject", "rule", "says"), FOUND, ids=lambda value: value if isinstance(value, str) else "")
def test_a_fault_breaks_the_rule_that_names_it(subject, rule, says):
    named = rf"contract, '\w*{rule}': (.|\n)*{says}"
    with pytest.raises((dl.GradientCheckError, testing.ContractError), match=named):
        check_contract(*subject)


def test_an_unusual_callback_warns():
    with pytest.warns(UserWarning, match="count: .* got 2; add it to saved_attributes"):
        testing.check_callback_contract(Counts)


def test_a_momentum_updated_too_early_keeps_every_rule():
    class TooEarly(Lion):
        def update(self, parameter, state, learning_rate):
            state["mean"][...] = 0.99 * state["mean"] + 0.01 * parameter.grad
            parameter.value -= learning_rate * np.sign(0.9 * state["mean"] + 0.1 * parameter.grad)

    testing.check_optimizer_contract(lambda: TooEarly(0.1))


# ---- one test per rule, a table, arguments


def test_each_rule_is_a_test_with_an_id_and_expected_failures_are_marked():
    bad = FAULTS["shared by instances"].make
    expected = {"instances_share_nothing": "it is a demonstration"}
    mark = testing.parametrize_checks([(lambda: bad(3), 3), lambda: dl.SGD(0.1)], expected)
    found = {param.id: [m.name for m in param.marks] for param in mark.args[1]}
    assert found.pop("SharedByInstances-instances_share_nothing") == ["xfail"]
    assert "SGD-keeps_the_dtype" in found
    assert not any(found.values())


@testing.parametrize_checks(
    [(lambda: FAULTS["shared by instances"].make(3), 3)],
    expected_failures={"SharedByInstances-instances_share_nothing": "shown"},
)
def test_expected_failures(check):
    check()


def test_a_report_has_a_row_for_each_rule():
    report = testing.contract_report(lambda: FAULTS["wrong in prediction"].make(3), 3)
    assert {status for _, status, _ in report[:-1]} <= {"passed", "skipped"}
    assert str(report).splitlines()[-1].split()[:2] == ["training_and_prediction_agree", "warned"]
    broken = testing.contract_report(lambda: FAULTS["shared by instances"].make(3), 3)
    assert "failed" in {status for _, status, _ in broken}


GAIN = Gain(3)
layer = partial(testing.check_layer_contract, lambda: Gain(3))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: testing.check_layer_contract(Gain(3), 3), r"make: .* a new Layer, got Gain\(.*write lambda: Gain"),
        (lambda: testing.check_schedule_contract(dl.ConstantRate(1)), "make: expected a function"),
        (lambda: testing.check_layer_contract(lambda: dl.SGD(0.1), 3), "to be a Layer, got SGD"),
        (lambda: testing.check_layer_contract(lambda gain=GAIN: gain, 3), "got the same one"),
        (lambda: layer(0), "input_shape: expected an integer >= 1, got 0"),
        (lambda: layer((3, "a")), "input_shape: expected an integer >= 1, got 'a'"),
        (lambda: layer(np.full((2, 3), np.nan)), "input_shape: expected finite numbers"),
        (lambda: testing.check_loss_contract(dl.MeanSquaredError, [[1.0]], [[2.0]]), "at least two rows, got 1"),
        (lambda: testing.check_loss_contract(dl.MeanSquaredError, "ab", [[2.0]]), "outputs: expected an array"),
        (lambda: testing.check_regularizer_contract(lambda: dl.L2(1), (3, -1)), "shape: expected an integer >= 1"),
        (lambda: testing.check_schedule_contract(lambda: dl.ConstantRate(1), 0), "steps: expected an integer >= 1"),
        (lambda: testing.parametrize_checks([(GAIN, 3)]), "make: expected a function"),
        (lambda: testing.parametrize_checks([lambda: 3]), "one of .*Layer, .*, got 3"),
    ],
)
def test_arguments_are_checked(call, says):
    with pytest.raises((dl.InputError, dl.NonFiniteError), match=says):
        call()
