"""Numbers that overflow: told as NonFiniteError, with the same words whether NumPy warns, raises, or keeps quiet."""

import warnings
from functools import partial

import numpy as np
import pytest

import minidl as dl
from minidl.nn import arithmetic

OPTIMIZERS = {
    "SGD": dl.SGD,
    "momentum": partial(dl.SGD, momentum=0.9),
    "Nesterov": partial(dl.SGD, momentum=0.9, nesterov=True),
    "clip_norm": partial(dl.SGD, clip_norm=1e35),
    "Adagrad": dl.Adagrad,
    "RMSProp": partial(dl.RMSProp, momentum=0.9),
    "Adam": dl.Adam,
    "AdamW": dl.AdamW,
    "NAdam": dl.NAdam,
}
LOSSES = {
    "cross-entropy": dl.SoftmaxCrossEntropy,
    "smoothed": partial(dl.SoftmaxCrossEntropy, 0.1),
    "sigmoid": dl.SigmoidCrossEntropy,
    "hinge": dl.MulticlassHinge,
    "squared": dl.MeanSquaredError,
    "absolute": dl.MeanAbsoluteError,
    "Huber": partial(dl.Huber, 1e30),
}
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
    """What NumPy does about overflow; a warning is an error, as under ``python -W error``."""
    with warnings.catch_warnings(), np.errstate(over=request.param, invalid=request.param):
        warnings.simplefilter("error")
        yield request.param


def came(
    network="one layer", loss="cross-entropy", optimizer="SGD", rate=0.1, x=X, regularizer=None, nonfinite="raise"
):
    """Train on two batches an epoch, and return the words of the NonFiniteError, or the number of skipped steps."""
    targets = LABELS if isinstance(LOSSES[loss](), dl.nn.losses.softmax.ClassLoss) else X[:, :3]
    model = dl.Model(NETWORKS[network](), LOSSES[loss](), regularizer)
    trainer = dl.Trainer(model, OPTIMIZERS[optimizer](rate), rng=0)
    try:
        trainer.fit(dl.Dataset(x, targets), epochs=3, batch_size=15, nonfinite=nonfinite)
    except dl.NonFiniteError as error:
        return str(error)
    assert len(trainer.history) == 3
    return trainer.skipped_steps


CASES = {
    **{f"{name}, a rate of 1e38": {"optimizer": name, "rate": 1e38} for name in OPTIMIZERS if name != "clip_norm"},
    **{f"{name}, x * 1e38": {"optimizer": name, "x": X * 1e38} for name in OPTIMIZERS},
    **{f"{name}, a rate of 1e38": {"loss": name, "rate": 1e38} for name in LOSSES},
    **{f"{name}, x * 1e38": {"network": name, "x": X * 1e38} for name in NETWORKS},
    "a penalty": {"rate": 1e30, "regularizer": dl.L2(0.1)},
    "both penalties": {"rate": 1e30, "regularizer": dl.ElasticNet(0.1, 0.1)},
}


@pytest.mark.parametrize("case", CASES)
def test_what_overflows_is_told_in_the_same_words_whatever_numpy_does_about_it(case):
    told = []
    for kind in ("ignore", "warn", "raise"):
        with warnings.catch_warnings(), np.errstate(over=kind, invalid=kind):
            warnings.simplefilter("error")
            told.append([came(**CASES[case], nonfinite=choice) for choice in ("raise", "skip", "ignore")])
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize("case", ["SGD, x * 1e38", "squared, a rate of 1e38", "a penalty"])
def test_what_overflows_ends_training_or_is_skipped(numpy_does, case):
    assert "epoch" in came(**CASES[case])
    assert came(**CASES[case], nonfinite="skip") > 0


def test_a_cost_that_is_infinite_with_gradients_that_are_not_is_refused(numpy_does):
    """The square of 1e200 is no float64; twice 1e200 is."""
    model = dl.Model(dl.Dense(6, 3, rng=0), dl.MeanSquaredError()).astype(np.float64)
    model.parameters["weight"].value.fill(1e200)
    trainer = dl.Trainer(model, dl.SGD(0.1), rng=0)
    data = dl.Dataset(X, X[:, :3])
    for _ in range(2):
        with pytest.raises(dl.NonFiniteError, match="batch 1: the cost is inf"):
            trainer.fit(data, epochs=1, batch_size=15)
        assert (model.parameters["weight"].value == 1e200).all()
    trainer.fit(data, epochs=1, batch_size=15, nonfinite="ignore")
    fresh = dl.Model(dl.Dense(6, 3, rng=0), dl.MeanSquaredError()).astype(np.float64)
    with pytest.raises(dl.NonFiniteError, match="epoch 1, after step 2: the cost is inf"):
        dl.Trainer(fresh, dl.SGD(0.1), rng=0).fit(
            data, dl.Dataset(X * 1e200, X[:, :3] * 1e200), epochs=1, batch_size=15
        )


@pytest.mark.parametrize("nonfinite", ["raise", "skip", "ignore"])
def test_training_refuses_x_that_float32_cannot_hold(numpy_does, nonfinite):
    with pytest.raises(dl.InputError, match=r"train.x: .* that float32 can hold, .* in row 0, column 0"):
        came(x=X * 1e300, nonfinite=nonfinite)


@pytest.mark.parametrize(("scale", "refusal"), [(1e300, dl.InputError), (1e38, dl.NonFiniteError)])
def test_prediction_and_measures_refuse_what_overflows(numpy_does, scale, refusal):
    model = dl.Model(dl.Dense(6, 3, rng=0), dl.SoftmaxCrossEntropy())
    model.parameters["weight"].value *= 1000.0
    large = dl.Dataset(X * scale, LABELS)
    model.compute_cost(X * 1e30, LABELS)
    for ask in (model.predict, model.predict_proba, dl.Ensemble([model]).predict):
        with pytest.raises(refusal):
            ask(large.x)
    for measure in (model.evaluate, dl.Ensemble([model]).evaluate):
        with pytest.raises(refusal):
            measure(large)


def test_the_thread_that_helps_with_a_product_keeps_quiet_too(numpy_does, monkeypatch):
    monkeypatch.setattr(arithmetic, "IN_PIECES", True)
    monkeypatch.setattr(arithmetic, "PIECE", 3000)
    monkeypatch.setattr("threading.excepthook", lambda args: pytest.fail(f"in the thread: {args.exc_value}"))
    model = dl.Model(dl.Dense(60, 3, rng=0), dl.SoftmaxCrossEntropy())
    outputs = model.forward(np.full((320, 60), 3e38))
    assert np.isinf(outputs).any()
    assert (outputs == outputs[0]).all()


def test_a_parameter_that_its_dtype_cannot_hold_is_refused(numpy_does):
    with pytest.raises(dl.InputError, match=r"gain: expected numbers that float32 can hold, .* 1e\+300 in row 1;"):
        dl.Parameter([1.0, 1e300], name="gain")
    assert dl.Parameter([1.0, 1e300], dtype=np.float64).value[1] == 1e300
    with pytest.raises(dl.InputError, match=r"Dense.weight: .* float32 can hold"):
        dl.Dense(3, 2, weight_init=dl.Normal(1e300), rng=0)


def test_a_standardizer_refuses_what_is_too_large(numpy_does):
    scale = dl.Standardizer().fit(X)
    with pytest.raises(
        dl.InputError, match=r"Standardizer: .* float32 can hold once they are scaled, .* in row 0, column 0;"
    ):
        dl.Dataset(X * 1e300, LABELS).map(scale)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_program_in_which_numpy_raises_for_everything_trains(network, optimizer):
    """Probabilities that underflow to 0 are right."""
    with np.errstate(all="raise"):
        came(network, "cross-entropy", optimizer, 0.1, np.float32(300) * X)
