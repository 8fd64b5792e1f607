"""Overflow: the same NonFiniteError whether NumPy warns, raises or ignores it, and nothing is damaged."""

import pickle
import warnings
from functools import partial

import numpy as np
import pytest

import minidl as dl
from minidl.nn import arithmetic

# Rules that sum squares of gradients, which may overflow.
SQUARES = {"RMSProp": partial(dl.RMSProp, momentum=0.9)}
SQUARES |= {cls.__name__: cls for cls in (dl.Adagrad, dl.Adam, dl.AdamW, dl.NAdam)}
OPTIMIZERS = {
    "SGD": dl.SGD,
    "momentum": partial(dl.SGD, momentum=0.9),
    "Nesterov": partial(dl.SGD, momentum=0.9, nesterov=True),
    "clip_norm": partial(dl.SGD, clip_norm=1e35),
    **SQUARES,
}
OF_CLASSES = {"smoothed": partial(dl.SoftmaxCrossEntropy, 0.1)}
OF_CLASSES |= {cls.__name__: cls for cls in (dl.SoftmaxCrossEntropy, dl.SigmoidCrossEntropy, dl.MulticlassHinge)}
OF_NUMBERS = {"squared": dl.MeanSquaredError, "absolute": dl.MeanAbsoluteError, "Huber": partial(dl.Huber, 1e30)}
LOSSES = OF_CLASSES | OF_NUMBERS
NETWORKS = {
    "one layer": lambda: dl.Dense(6, 3, rng=0),
    "batch norm": lambda: dl.Sequential(dl.Dense(6, 4, rng=0), dl.BatchNorm(4), dl.ReLU(), dl.Dense(4, 3, rng=1)),
    "layer norm": lambda: dl.Sequential(dl.Dense(6, 4, rng=0), dl.LayerNorm(4), dl.Tanh(), dl.Dense(4, 3, rng=1)),
    "log-softmax": lambda: dl.Sequential(dl.Dense(6, 3, rng=0), dl.LogSoftmax()),
    "residual": lambda: dl.Sequential(dl.Residual(dl.Dense(6, 6, rng=0)), dl.Dense(6, 3, rng=1)),
}
X = np.random.default_rng(0).normal(size=(30, 6))
LABELS = X[:, :3].argmax(axis=1)


@pytest.fixture(params=["warn", "raise", "ignore"])
def numpy_does(request):
    """How NumPy handles overflow; a warning is an error, as under ``python -W error``."""
    with warnings.catch_warnings(), np.errstate(over=request.param, invalid=request.param):
        warnings.simplefilter("error")
        yield request.param


# ---- in training


def came(network="one layer", loss="smoothed", optimizer="SGD", rate=0.1, x=X, penalty=None, nonfinite="raise"):
    """Train with two batches per epoch, and return the text of the NonFiniteError, or the number of skipped steps."""
    targets = LABELS if loss in OF_CLASSES else X[:, :3]
    model = dl.Model(NETWORKS[network](), LOSSES[loss](), penalty)
    trainer = dl.Trainer(model, OPTIMIZERS[optimizer](rate), rng=0)
    try:
        trainer.fit(dl.Dataset(x, targets), epochs=3, batch_size=15, nonfinite=nonfinite)
    except dl.NonFiniteError as error:
        return str(error)
    assert len(trainer.history) == 3
    return trainer.skipped_steps


CASES = {
    **{f"{name}, a rate of 1e38": {"optimizer": name, "rate": 1e38} for name in ["momentum", "Nesterov", *SQUARES]},
    **{f"{name}, x * 1e38": {"optimizer": name, "x": X * 1e38} for name in OPTIMIZERS},
    **{f"{name}, a rate of 1e38": {"loss": name, "rate": 1e38, "x": X * 1e3} for name in LOSSES},
    **{f"{name}, x * 1e38": {"network": name, "x": X * 1e38} for name in NETWORKS},
    "a penalty": {"rate": 1e30, "penalty": dl.L2(0.1)},
    "both penalties": {"rate": 1e30, "penalty": dl.ElasticNet(0.1, 0.1)},
}


@pytest.mark.parametrize("case", CASES)
def test_overflow_raises_the_same_error_for_any_setting_of_numpy(case):
    results = []
    for kind in ("ignore", "warn", "raise"):
        with warnings.catch_warnings(), np.errstate(over=kind, invalid=kind):
            warnings.simplefilter("error")
            results.append([came(**CASES[case], nonfinite=choice) for choice in ("raise", "skip", "ignore")])
    assert results[0] == results[1] == results[2]
    # This case subtracts a mean of squares; only its results must be equal.
    if case != "layer norm, x * 1e38":
        assert "epoch" in results[0][0]
        assert results[0][1] > 0 or "batch" not in results[0][0]


def test_a_cost_that_is_infinite_when_it_is_measured_is_refused(numpy_does):
    """The square of 1e200 is no float64; twice 1e200 is."""
    model = dl.Model(dl.Dense(6, 3, rng=0), dl.MeanSquaredError()).astype(np.float64)
    data, large = dl.Dataset(X, X[:, :3]), dl.Dataset(X * 1e200, X[:, :3] * 1e200)
    with pytest.raises(dl.NonFiniteError, match="epoch 1, after step 2: the cost is inf"):
        dl.Trainer(model, dl.SGD(0.1), rng=0).fit(data, large, epochs=1, batch_size=15)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_works_if_numpy_raises_for_everything(network, optimizer):
    """Probabilities that underflow to 0 are correct."""
    with np.errstate(all="raise"):
        came(network, "SoftmaxCrossEntropy", optimizer, x=np.float32(300) * X)


# ---- outside training


def test_prediction_and_measuring_refuse_overflow(numpy_does):
    model = dl.Model(dl.Dense(6, 3, rng=0), dl.SoftmaxCrossEntropy())
    model.parameters["weight"].value *= 1000.0
    model.compute_cost(X * 1e30, LABELS)
    ensemble, large = dl.Ensemble([model]), dl.Dataset(X * 1e38, LABELS)
    for ask in (model.predict, model.predict_proba, ensemble.predict):
        with pytest.raises(dl.NonFiniteError):
            ask(large.x)
    for measure in (model.evaluate, ensemble.evaluate):
        with pytest.raises(dl.NonFiniteError):
            measure(large)


def test_the_helper_thread_of_a_product_does_not_warn(numpy_does, monkeypatch):
    monkeypatch.setattr(arithmetic, "IN_PIECES", True)
    monkeypatch.setattr(arithmetic, "PIECE", 3000)
    monkeypatch.setattr("threading.excepthook", lambda args: pytest.fail(f"in the thread: {args.exc_value}"))
    outputs = dl.Model(dl.Dense(60, 3, rng=0), dl.SoftmaxCrossEntropy()).forward(np.full((320, 60), 3e38))
    assert np.isinf(outputs).any()
    # A sum of infinities of both signs is NaN, and its order depends on the processor.
    np.testing.assert_array_equal(outputs, np.broadcast_to(outputs[0], outputs.shape))


def test_a_parameter_that_its_dtype_cannot_hold_is_refused(numpy_does):
    with pytest.raises(dl.InputError, match=r"gain: expected numbers that float32 can hold, .* 1e\+300 in row 1;"):
        dl.Parameter([1.0, 1e300], name="gain")
    assert dl.Parameter([1.0, 1e300], dtype=np.float64).value[1] == 1e300
    with pytest.raises(dl.InputError, match=r"Dense.weight: .* float32 can hold"):
        dl.Dense(3, 2, weight_init=dl.Normal(1e300), rng=0)


# ---- squares of gradients

every_rule = pytest.mark.parametrize("rule", SQUARES.values(), ids=SQUARES)


def parameters(gradient, dtype=np.float32):
    """A quiet parameter, and one with a single entry of the gradient."""
    found = {"first": dl.Parameter(np.ones(3), dtype=dtype), "w": dl.Parameter(np.ones((2, 2)), dtype=dtype)}
    for parameter in found.values():
        parameter.add_grad(np.ones(parameter.value.shape, dtype))
    found["w"].grad[1, 0] = gradient
    return found


@every_rule
@pytest.mark.parametrize(("dtype", "huge"), [(np.float32, 1e20), (np.float64, 1e160)])
@pytest.mark.parametrize("before", [0, 3])
def test_a_step_is_taken_completely_or_not_at_all(rule, dtype, huge, before):
    def bits():
        return pickle.dumps((optimizer.steps, optimizer.state, {path: p.value for path, p in found.items()}))

    optimizer, found = rule(0.1), parameters(1.0, dtype)
    for _ in range(before):
        optimizer.step(found)
    found["w"].grad[1, 0] = huge
    was = bits()
    with pytest.raises(
        dl.NonFiniteError, match=rf"^the gradient of w is .*{dtype.__name__} .got 1e\+\d+ at index .1, 0"
    ):
        optimizer.step(found)
    assert bits() == was
    # The next ordinary gradient has its usual effect.
    found["w"].grad[1, 0] = 1.0
    optimizer.step(found)
    assert len({*found["w"].value.ravel().tolist(), *found["first"].value.tolist()}) == 1


@every_rule
def test_state_stays_finite_after_repeated_large_gradients(rule):
    optimizer, found = rule(0.1), parameters(9e18)
    for _ in range(50):
        try:
            optimizer.step(found)
        except dl.NonFiniteError:
            assert rule is dl.Adagrad
    assert all(np.isfinite(array).all() for array in optimizer.state["w"].values())
    before = found["w"].value.copy()
    found["w"].grad[...] = 1.0
    optimizer.step(found)
    assert (found["w"].value != before).any()


def test_squares_that_do_not_change_a_large_sum_are_accepted():
    optimizer, found = dl.Adagrad(0.1), parameters(1e15)
    optimizer.step(found)
    optimizer.state["w"]["total"][...] = 1.7e38
    for _ in range(100):
        optimizer.step(found)
    assert np.isfinite(optimizer.state["w"]["total"]).all()


@every_rule
@pytest.mark.parametrize("option", ["clip_norm", "clip_value"])
def test_gradients_are_checked_after_clipping(rule, option):
    optimizer, found = rule(0.1, **{option: 1.0}), parameters(1e20)
    optimizer.step(found)
    assert np.isfinite(found["w"].value).all()
    assert found["w"].value[1, 0] < 1.0
    # A frozen parameter is not checked.
    optimizer, found = rule(0.1), parameters(1e20)
    found["w"].trainable = False
    optimizer.step(found)
    assert list(optimizer.state) == ["first"]


class Burst(dl.MeanSquaredError):
    """Squared error whose gradient is 1e20 times as large at the third call."""

    calls = 0

    def backward(self):
        vars(self)["calls"] = self.calls + 1
        return super().backward() * np.float32(1e20 if self.calls == 3 else 1)


def test_training_ends_with_the_parameters_name_or_skips_the_step():
    def train(nonfinite, **options):
        trainer = dl.Trainer(dl.Model(dl.Dense(6, 1, rng=0), Burst()), dl.Adam(0.05, **options), rng=0)
        trainer.fit(dl.Dataset(X, X[:, :1]), epochs=6, batch_size=10, nonfinite=nonfinite)
        assert trainer.history["loss"][-1] < 0.7 * trainer.history["loss"][0]
        return trainer.skipped_steps

    with pytest.raises(dl.NonFiniteError, match=r"epoch 1, after step 2: batch 3: the gradient of weight .*clip"):
        train("raise")
    assert [train("skip"), train("ignore"), train("raise", clip_norm=1.0)] == [1, 1, 0]
