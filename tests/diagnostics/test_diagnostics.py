"""Diagnostics: planted faults are reported, healthy models give no warning, and nothing changes."""

import copy
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_parts import Scale, SquaredError

import minidl as dl


def blobs(n=240, features=12, classes=4, spread=1.0, seed=0):
    """Classes around different centres, standardized."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % classes)
    x = 2.0 * rng.normal(size=(classes, features))[y] + spread * rng.normal(size=(n, features))
    return dl.Dataset(((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32), y)


def images(n=200):
    data = dl.datasets.synthetic_images(n)
    return data.map(dl.Standardizer().fit(data.x)).map(dl.images_from_rows)


def mlp(hidden=None, bias=0.0, scale=None, seed=0):
    """A network for `blobs`, with one hidden layer."""
    first = dl.Dense(12, 24, weight_init=scale or dl.He(), rng=seed)
    first.bias.value[...] = bias
    return dl.Sequential(first, hidden or dl.ReLU(), dl.Dense(24, 4, weight_init=scale or dl.He(), rng=seed + 1))


def trainer_of(network, loss=None, regularizer=None):
    return dl.Trainer(dl.Model(network, loss or dl.SoftmaxCrossEntropy(), regularizer), dl.SGD(0.1, 0.9), rng=3)


def find_rate(**options):
    return dl.find_learning_rate(trainer_of(mlp()), blobs(), **options)


def spoiled(factor, right=dl.ReLU):
    """Return a class of layers whose dx is wrong by a factor."""
    return type("Spoiled", (right,), {"backward": lambda self, dy: factor * right.backward(self, dy)})


HalfGradient, NoGradient, WrongSign = spoiled(0.5), spoiled(0.0, dl.LeakyReLU), spoiled(-1.0, dl.Flatten)


class Explosion(dl.Layer):
    """Works at first, but overflows after a few training steps."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x, train=False):
        self.calls += train
        return x * np.asarray(np.inf if self.calls > 5 else 1.0, x.dtype)

    def backward(self, dy):
        return dy


class SoftStep(dl.Layer):
    """A new activation, written as a layer."""

    def forward(self, x, train=False):
        if train:
            self.keep(x)
        return x / (1 + np.abs(x)) ** 2 + np.tanh(x)

    def backward(self, dy):
        (x,) = self.kept()
        return dy * ((1 - np.abs(x)) / (1 + np.abs(x)) ** 3 + 1 - np.tanh(x) ** 2)


def frozen():
    network = mlp()
    network.freeze()
    return network


def dense(outputs):
    return partial(dl.Dense, 12, outputs, rng=0)


def of_x(change):
    """Blobs with other inputs."""
    return lambda: dl.Dataset(change(blobs().x), blobs().y)


def of_y(change):
    """Blobs with other targets."""
    return lambda: dl.Dataset(blobs().x, change(blobs().y))


def labelled_twice():
    data = blobs()
    return dl.Dataset(np.concatenate([data.x, data.x[:9]]), np.concatenate([data.y, (data.y[:9] + 1) % 4]))


def entry(value):
    def change(x):
        x[17, 3] = value
        return x

    return of_x(change)


PIXELS = of_x(lambda x: (40 * x + 120).clip(0, 255).astype(np.uint8))
DEAD = partial(mlp, bias=-100.0)
ZEROS = partial(mlp, scale=dl.Zeros())
HUGE = partial(mlp, scale=dl.Normal(3.0))
LARGE = lambda: dl.Sequential(dl.Dense(12, 1000, rng=0), HalfGradient(), dl.Dense(1000, 4, rng=1))  # noqa: E731

FAULTS = {
    "labels from 1": (mlp, of_y(lambda y: y + 1), "labels", "fault", "subtract 1 from"),
    "too many outputs": (dense(6), blobs, "labels", "warning", "too many outputs"),
    "labels of one kind": (mlp, of_y(lambda y: 0 * y + 2), "labels", "fault", "all 240 labels are 2"),
    "labels as fractions": (mlp, of_y(lambda y: y + 0.0), "labels", "fault", "targets.astype(int)"),
    "shuffled labels": (mlp, of_y(np.random.default_rng(1).permutation), "labels and x", "warning", "separately?"),
    "rows with two labels": (mlp, labelled_twice, "equal rows", "warning", "rows 0 and 240 are the same"),
    "pixels": (mlp, PIXELS, "inputs", "warning", "x is uint8 from 6 to 235"),
    "tiny inputs": (mlp, of_x(lambda x: 1e-4 * x), "inputs", "warning", "x is tiny"),
    "an outlier": (mlp, entry(2000.0), "inputs", "warning", "1 of 12 features are far larger than 1"),
    "nothing but 0": (mlp, of_x(lambda x: 0 * x), "inputs", "fault", "all numbers are 0"),
    "NaN in the inputs": (mlp, entry(np.nan), "inputs", "fault", "first at index (17, 3)"),
    "constant features": (mlp, of_x(lambda x: x * (np.arange(12) > 8)), "inputs", "warning", "9 of 12 features"),
    "a wrong gradient": (partial(mlp, HalfGradient()), blobs, "gradient", "fault", "0.weight"),
    "a wrong gradient of a large layer": (LARGE, blobs, "gradient", "fault", "0.weight, along one random direction"),
    "zero weights before a ReLU": (ZEROS, blobs, "hidden units", "fault", "24 of 24 units have the same output"),
    "zero weights everywhere": (ZEROS, blobs, "overfitting", "fault", "the outputs are the same for every row"),
    "dead ReLUs": (DEAD, blobs, "hidden units", "fault", "in layer 1, ReLU, 24 of 24 units"),
    "saturated": (partial(mlp, dl.Tanh(), 20.0), blobs, "hidden units", "warning", "24 of 24 units are saturated"),
    "a frozen network": (frozen, blobs, "overfitting", "fault", "every parameter is frozen"),
    "huge initial weights": (HUGE, blobs, "initial loss", "warning", "smaller initial weights"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_and_named(name):
    network, data, item, verdict, words = FAULTS[name]
    report = dl.sanity_check(trainer_of(network()), data())
    assert not report.ok
    found = {item.name: item for item in report.items}
    assert found[item].verdict == verdict, str(report)
    assert words in found[item].sentence, str(report)


def convnet(seed):
    convolution = dl.Conv2D(3, 8, 3, padding="same", rng=seed)
    head = dl.MaxPool2D(4), dl.Flatten(), dl.Dense(512, 10, rng=seed + 1)
    return dl.Sequential(convolution, dl.BatchNorm(8), dl.ReLU(), *head)


def residual(seed):
    body = dl.Sequential(dl.Dense(12, 12, rng=seed), dl.ReLU(), dl.Dense(12, 12, rng=seed + 1))
    return dl.Sequential(dl.Residual(body), dl.Dense(12, 4, rng=seed + 2))


def narrow(seed):
    return dl.Sequential(dl.Dense(2, 16, rng=seed), dl.ReLU(), dl.Dense(16, 2, rng=seed + 1))


def in_unit_range(seed):
    return blobs(seed=seed).map(lambda x: np.clip(0.5 + 0.2 * x, 0, 1))


# Functions of a seed: a network, and data if not blobs.
HEALTHY = {
    "softmax": (lambda s: dl.Dense(12, 4, weight_init=dl.Normal(0.01), rng=s),),
    "he": (lambda s: mlp(seed=s),),
    "tanh": (lambda s: mlp(dl.Tanh(), scale=dl.Xavier(), seed=s),),
    "own activation": (lambda s: mlp(SoftStep(), seed=s),),
    "own layer": (lambda s: dl.Sequential(Scale(12), *mlp(seed=s).layers),),
    "dropout": (lambda s: dl.Sequential(dl.Dropout(0.3, rng=s), *mlp(seed=s).layers),),
    "batch norm": (lambda s: mlp(dl.Sequential(dl.BatchNorm(24), dl.ReLU()), seed=s),),
    "residual": (residual,),
    "two features": (narrow, lambda s: blobs(features=2, classes=2, seed=s)),
    "few rows": (lambda s: mlp(seed=s), lambda s: blobs(8, seed=s)),
    "pixels in [0, 1]": (lambda s: mlp(seed=s), in_unit_range),
    "images": (convnet, lambda s: images()),
}


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in (10, 20))])
@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_model_gets_no_warning(name, seed):
    network, data = (*HEALTHY[name], lambda s: blobs(seed=s))[:2]
    report = dl.sanity_check(trainer_of(network(seed), regularizer=dl.L2(0.01)), data(seed))
    assert report.ok, str(report)
    assert len(str(report).splitlines()) <= 15


LOSSES = {
    "smoothed": (dl.SoftmaxCrossEntropy(0.1), 4, lambda y: y, "ln 4"),
    "sigmoids": (dl.SigmoidCrossEntropy(), 4, lambda y: y, "ln 2"),
    "binary": (dl.BinaryCrossEntropy(), 1, lambda y: (y > 1)[:, None].astype(float), "ln 2"),
    "hinge": (dl.MulticlassHinge(), 4, lambda y: y, "outputs that are all 0"),
    "squares": (dl.MeanSquaredError(), 1, lambda y: y[:, None] - 1.5, "outputs that are all 0"),
    "absolute": (dl.MeanAbsoluteError(), 1, lambda y: y[:, None] - 1.5, "outputs that are all 0"),
    "own": (SquaredError(), 2, lambda y: np.stack([y - 1.5, 1.5 - y], axis=1), "outputs that are all 0"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_can_be_checked(name):
    loss, outputs, targets, words = LOSSES[name]
    network = dl.Sequential(dl.Dense(12, 24, rng=0), dl.ReLU(), dl.Dense(24, outputs, rng=1))
    report = dl.sanity_check(trainer_of(network, loss), of_y(targets)())
    assert report.ok, str(report)
    assert words in next(item for item in report.items if item.name == "initial loss").sentence


def test_targets_of_a_regression_are_checked():
    trainer = trainer_of(dl.Dense(12, 1, rng=0), dl.MeanSquaredError())
    report = dl.sanity_check(trainer, of_y(lambda y: 1000.0 + y[:, None])())
    assert "targets range from 1000 to 1003" in report.warnings[0].sentence
    report = dl.sanity_check(trainer, of_y(lambda y: 0 * y[:, None] + 3.0)())
    assert report.faults[0].sentence == "all targets are 3: there is nothing to learn"


def test_a_trained_model_gives_no_warning():
    trainer = trainer_of(mlp())
    trainer.fit(blobs(), epochs=3, batch_size=20)
    report = dl.sanity_check(trainer, blobs())
    assert report.ok, str(report)
    assert "the model is already trained" in next(i for i in report.items if i.name == "loss so far").sentence


class Raising(dl.Layer):
    """A user's layer with a mistake in the given method."""

    def __init__(self, method):
        super().__init__()
        self.method = method

    def forward(self, x, train=False):
        return x * 1 if self.method != "forward" else x @ np.ones((1, 1))

    def backward(self, dy):
        raise KeyError("cache")


class RaisingLoss(dl.MeanSquaredError):
    def forward(self, outputs, targets):
        raise ZeroDivisionError("no rows")


ROWS = "ZeroDivisionError: no rows"


@pytest.mark.parametrize(
    ("network", "loss", "faults"),
    [
        (Raising("forward"), dl.MeanSquaredError(), {"forward": "ValueError: matmul"}),
        (Raising("backward"), dl.MeanSquaredError(), {"gradient": "KeyError: 'cache'", "overfitting": "'cache'"}),
        (dl.ReLU(), RaisingLoss(), {"initial loss": ROWS, "gradient": ROWS, "overfitting": ROWS}),
    ],
)
def test_an_error_in_a_users_class_is_a_fault(network, loss, faults):
    data = dl.Dataset(blobs().x, blobs().x[:, :4])
    report = dl.sanity_check(trainer_of(dl.Sequential(dl.Dense(12, 4, rng=0), network), loss), data)
    assert {item.name for item in report.faults} == set(faults)
    for item in report.faults:
        assert faults[item.name] in item.sentence


def test_a_model_without_parameters_gives_a_warning():
    trainer, data = trainer_of(dl.Sequential(dl.LeakyReLU())), blobs(features=4)
    words = "no, so there is nothing to learn"
    (item,) = dl.sanity_check(trainer, data).warnings
    assert item == ("parameters", "warning", words.replace("no,", "there are none,"))
    assert dl.overfit_tiny(trainer.model, data).findings == [words.replace("no,", "the model has no parameters,")]


def test_a_report_can_be_read():
    report = dl.sanity_check(trainer_of(mlp(bias=-1e5)), PIXELS())
    assert str(report).splitlines()[0].startswith("sanity check: ")
    assert not report
    assert {item.verdict for item in report.faults} == {"fault"}
    assert "<table>" in report._repr_html_()
    assert "x is uint8 from" in report._repr_html_()
    for item in report.items:
        assert f"  {item.verdict:7}  {item.name:12}  {item.sentence}" in str(report)


def model():
    return trainer_of(mlp()).model


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: dl.sanity_check(model(), blobs()), dl.InputError, "expected trainer to be a Trainer, got Model"),
        (lambda: dl.sanity_check(trainer_of(mlp()), blobs().x), dl.InputError, "put x and y into one"),
        (lambda: dl.overfit_tiny(model(), blobs(), rows=0), dl.InputError, "rows: .* integer >= 1"),
        (lambda: dl.overfit_tiny(model(), of_x(lambda x: x[:, :5])()), dl.ShapeError, "12"),
        (lambda: dl.dead_units(model(), blobs().x[:1]), dl.InputError, "at least 2 different rows"),
        (lambda: find_rate(lowest=1.0, highest=0.1), dl.InputError, "expected lowest < highest, got 1 and 0.1"),
        (lambda: find_rate(lowest=0.0), dl.InputError, "lowest: expected a finite number > 0"),
        (lambda: find_rate(steps=5), dl.InputError, "steps: expected an integer >= 10"),
        (lambda: dl.find_learning_rate(trainer_of(mlp()), entry(np.nan)()), dl.NonFiniteError, "x"),
        (lambda: dl.plotting.plot_learning_rates([1e-3, 1e-2], [2.0], [2.0]), dl.ShapeError, "of one shape"),
    ],
)
def test_wrong_use_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


# -- memorising a few rows


def test_rows_are_memorised():
    result = dl.overfit_tiny(trainer_of(mlp(), regularizer=dl.L2(10.0)).model, blobs())
    assert result
    assert len(result.rows) == 20
    assert result.last_loss < 0.01 * np.log(4) < result.first_loss
    assert result.accuracy == 1.0
    assert len(result.losses) == result.steps + 1
    assert str(result).startswith(f"20 rows memorised in {result.steps} steps: loss ")


def test_rows_are_drawn_evenly_from_all_classes_of_a_sorted_and_unbalanced_dataset():
    data = blobs(400)
    order = np.argsort(data.y, kind="stable")
    few = order[np.concatenate([np.arange(320), np.arange(320, 323)])]
    result = dl.overfit_tiny(trainer_of(mlp()).model, data[few], rows=12)
    assert np.bincount(data[few].y[result.rows], minlength=4).tolist() == [3, 3, 3, 3]


def test_memorised_rows_need_no_step():
    layer = dl.Dense(3, 3, weight_init=dl.Constant(0.0))
    layer.weight.value[...] = 10 * np.eye(3)
    layer.freeze()
    result = dl.overfit_tiny(dl.Model(layer, dl.MulticlassHinge()), dl.Dataset(np.eye(3), np.arange(3)))
    assert result.ok
    assert (result.steps, result.accuracy, result.last_loss) == (0, 1.0, 0.0)


@pytest.mark.parametrize("rate", [1e-3, 1e-4])
def test_ten_times_the_rate_is_tried_too(rate):
    result = dl.overfit_tiny(trainer_of(mlp()).model, blobs(), learning_rate=rate, steps=600)
    assert result.ok
    assert result.steps <= 600


def both_labels():
    data = blobs(8)
    return dl.Dataset(np.concatenate([data.x] * 2), np.concatenate([data.y, 3 - data.y]))


def linear(layer):
    return dl.Sequential(dl.Dense(12, 4, bias=False, rng=0), layer)


FINDINGS = {
    "frozen": (frozen, blobs, {}, "every parameter is frozen"),
    "no gradient": (partial(linear, NoGradient()), blobs, {}, "every gradient is zero"),
    "dead": (DEAD, blobs, {}, "the loss stays at 1.386: x has no effect"),
    "constant x": (mlp, of_x(lambda x: 0 * x + 2), {}, "all rows of x are the same"),
    "constant y": (mlp, of_y(lambda y: 0 * y + 2), {}, "all 20 rows have the same target, 2"),
    "two labels": (mlp, both_labels, {"steps": 100}, "no network can learn both"),
    "wrong sign": (partial(linear, WrongSign()), blobs, {}, "is a gradient wrong"),
    "too small": (lambda: dl.Dense(2, 4, rng=0), lambda: blobs(features=2, spread=4), {}, "too small for these rows"),
    "too few steps": (mlp, blobs, {"steps": 2}, "more steps"),
}


@pytest.mark.parametrize("name", FINDINGS)
def test_the_reason_why_a_network_does_not_learn_is_named(name):
    network, data, options, words = FINDINGS[name]
    result = dl.overfit_tiny(trainer_of(network()).model, data(), **options)
    assert not result
    assert words in " ".join(result.findings)
    assert f"  - {result.findings[0]}" in str(result)


# -- dead and saturated units


def test_dead_and_saturated_units_are_counted_by_layer():
    first = dl.Dense(12, 10, rng=0)
    first.bias.value[:3] = -100.0
    second = dl.Dense(10, 8, rng=1)
    second.bias.value[:6] = [30, -30, 30, -30, 30, 30]
    network = dl.Sequential(first, dl.ReLU(), second, dl.Tanh(), dl.Dense(8, 4, rng=2))
    report = dl.dead_units(trainer_of(network).model, blobs().x)
    assert [tuple(layer) for layer in report.layers] == [("1", "ReLU", 10, 3, 0), ("3", "Tanh", 8, 0, 6)]
    assert not report
    assert report.sentence.startswith("in layer 3, Tanh, 6 of 8 units are saturated")
    assert "3 (30%)" in str(report)
    assert "<td>Tanh</td>" in report._repr_html_()


def test_a_unit_of_a_convolution_is_a_channel():
    conv = dl.Conv2D(3, 6, 3, padding="same", rng=0)
    conv.bias.value[:2] = -100.0
    network = dl.Sequential(conv, dl.ReLU(), dl.GlobalAvgPool2D(), dl.Dense(6, 10, rng=1))
    assert dl.dead_units(trainer_of(network).model, images(20).x).layers[0][:4] == ("1", "ReLU", 6, 2)


@pytest.mark.parametrize(
    "layer",
    [dl.Dense(12, 12), dl.BatchNorm(12), dl.Dropout(0.5), dl.Softmax(), Scale(12), dl.Residual(dl.Dense(12, 12))],
)
def test_only_a_function_of_each_entry_is_an_activation(layer):
    model = dl.Model(dl.Sequential(layer, dl.Dense(12, 4, rng=0)), dl.SoftmaxCrossEntropy())
    assert dl.dead_units(model, blobs().x).layers == []


@pytest.mark.parametrize("layer", [dl.ReLU, dl.LeakyReLU, dl.Sigmoid, dl.GELU, dl.Softplus, SoftStep, HalfGradient])
def test_activations_are_recognised_in_any_container(layer):
    branch = dl.Sequential(dl.Dense(12, 6, rng=0), layer())
    network = dl.Sequential(dl.Parallel(branch, dl.Residual(dl.Sequential(layer()))), dl.Dense(18, 4, rng=1))
    report = dl.dead_units(dl.Model(network, dl.SoftmaxCrossEntropy()), blobs().x)
    assert [row[:3] for row in report.layers] == [("0.0.1", layer.__name__, 6), ("0.1.body.0", layer.__name__, 12)]
    assert report.ok


# -- the learning rate


def test_the_suggestion_is_a_tenth_of_the_rate_where_the_loss_of_held_out_rows_is_lowest():
    found = find_rate(batch_size=20)
    assert found.suggestion == found.rates[found.held_out.argmin()] / 10
    assert found.rates.shape == found.losses.shape == found.held_out.shape
    steps = np.diff(np.log(found.rates))
    np.testing.assert_allclose(steps, np.log(1e7) / 99)


def test_without_a_falling_loss_there_is_no_suggestion():
    found = dl.find_learning_rate(trainer_of(mlp(bias=-100.0)), blobs(), steps=30)
    assert found.suggestion is None
    assert str(found).startswith("no suggestion: the loss fell at no learning rate")


def test_a_sweep_that_ends_too_early_gives_advice():
    found = find_rate(highest=0.01)
    assert not found.diverged
    assert "pass a larger highest=" in str(found)


def test_infinity_ends_the_sweep_without_an_error():
    found = dl.find_learning_rate(trainer_of(dl.Sequential(*mlp().layers, Explosion())), blobs())
    assert found.diverged
    # Each step has two forwards: for the held-out rows, and for its batch.
    assert len(found.losses) == 2


def test_the_figure_shows_both_curves_and_the_suggestion():
    found = dl.find_learning_rate(trainer_of(mlp()), blobs(spread=3.0), batch_size=20)
    (ax,) = found.plot().axes
    assert ax.get_xscale() == "log"
    each, held_out, suggestion = ax.lines
    np.testing.assert_array_equal(each.get_xydata(), np.stack([found.rates, found.losses], axis=1))
    np.testing.assert_array_equal(held_out.get_ydata(), found.held_out)
    assert set(suggestion.get_xdata()) == {found.suggestion}
    assert found.plot(ax) is ax.figure


@pytest.mark.parametrize("bad", [np.nan, np.inf, 4e5])
def test_nonfinite_losses_are_gaps_in_the_figure_and_divergence_exceeds_its_limits(bad):
    smoothed = np.array([2.3, 2.4, 1.6, bad])
    (ax,) = dl.plotting.plot_learning_rates(np.geomspace(1e-3, 1, 4), smoothed, smoothed).axes
    low, high = ax.get_ylim()
    assert low < 1.6
    assert 2.4 < high < 3.5
    assert np.isnan(ax.lines[1].get_ydata()).tolist() == [False, False, False, bad != 4e5]


# -- nothing changes

NETWORKS = [
    lambda: mlp(),
    lambda: mlp(bias=-100.0),
    lambda: dl.Sequential(dl.Dropout(0.3, rng=1), *mlp().layers),
    lambda: dl.Sequential(dl.Dense(12, 6, rng=0), dl.BatchNorm(6), dl.Tanh(), dl.Dense(6, 4, rng=1)),
    frozen,
]
OPTIMIZERS = [
    lambda: dl.SGD(0.05, 0.9),
    lambda: dl.Adam(dl.StepDecay(0.01, factor=0.5, every=7)),
    lambda: dl.RMSProp(0.01),
]


def everything(trainer):
    """The complete training state, as bytes and texts."""
    parameters = trainer.model.parameters.values()
    return (
        {path: array.tobytes() for path, array in trainer.model.weights().items()},
        [(p.grad.tobytes(), p.trainable) for p in parameters],
        {p: {k: a.tobytes() for k, a in s.items()} for p, s in trainer.optimizer.state.items()},
        (trainer.optimizer.steps, trainer.optimizer.learning_rate, trainer.epoch, trainer.step, trainer.seed),
        (trainer.history.rows, dict(trainer.logs), repr(trainer.model), trainer.nonfinite),
        [getattr(layer, "rate", None) for _, layer in trainer.model.network.walk()],
    )


CHECKS = [
    lambda trainer, data: dl.sanity_check(trainer, data),
    lambda trainer, data: dl.find_learning_rate(trainer, data, steps=20, batch_size=32),
    lambda trainer, data: dl.overfit_tiny(trainer.model, data, steps=30),
    lambda trainer, data: dl.dead_units(trainer.model, data.x),
]


# Half the usual number of examples: each runs up to two checks, which train.
@settings(max_examples=settings.default.max_examples // 2)
@given(
    st.sampled_from(NETWORKS[:-1]),
    st.sampled_from(OPTIMIZERS),
    st.lists(st.sampled_from(range(len(CHECKS))), min_size=1, max_size=2),
    st.integers(0, 2),
    st.integers(0, 2**32 - 1),
)
def test_training_afterwards_is_the_same_bit_for_bit(network, optimizer, checks, epochs, seed):
    data = blobs(64)
    x, y = data.x.tobytes(), data.y.tobytes()
    with_checks = dl.Trainer(dl.Model(network(), dl.SoftmaxCrossEntropy(), dl.L2(0.01)), optimizer(), rng=seed)
    without = copy.deepcopy(with_checks)
    for trainer in (with_checks, without):
        trainer.fit(data, epochs=epochs, batch_size=20)
    for row in [*with_checks.history, *without.history]:
        row.pop("seconds")
    before = everything(with_checks)
    for check in checks:
        CHECKS[check](with_checks, data)
    assert everything(with_checks) == before
    assert (data.x.tobytes(), data.y.tobytes()) == (x, y)
    for trainer in (with_checks, without):
        trainer.fit(data, data, epochs=2, batch_size=20)
        for row in trainer.history:
            row.pop("seconds", None)
        trainer.logs.pop("seconds", None)
    assert [r.items() for r in with_checks.history] == [r.items() for r in without.history]
    assert everything(with_checks)[:3] == everything(without)[:3]


@pytest.mark.parametrize("check", CHECKS[:1] + CHECKS[2:])
def test_a_frozen_model_stays_as_it_is(check):
    trainer = trainer_of(frozen())
    before = everything(trainer)
    check(trainer, blobs(64))
    assert everything(trainer) == before
