"""Common mistakes of beginners, and the errors: where, what was expected, what it got, and what to do."""

import inspect

import numpy as np
import pytest

import minidl as dl

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((20, 6)), np.arange(20) % 3
IMAGES = rng.standard_normal((20, 8, 8, 3))
DATA = dl.Dataset(X, Y)


def mlp(features=6, units=5, hidden=5, classes=3):
    return dl.Sequential(dl.Dense(features, units, rng=0), dl.ReLU(), dl.Dense(hidden, classes, rng=0))


def model(**sizes):
    return dl.Model(mlp(**sizes), dl.SoftmaxCrossEntropy())


def convnet(*after):
    return dl.Model(dl.Sequential(dl.Conv2D(3, 4, 3, rng=0), *after), dl.SoftmaxCrossEntropy())


def fit(data=DATA, of=None, optimizer=None, callbacks=(), **options):
    trainer = dl.Trainer(of or model(), optimizer or dl.SGD(0.1), callbacks)
    return trainer.fit(data, **{"epochs": 1, "batch_size": 5, **options})


def labelled(y):
    return fit(dl.Dataset(X, y))


def fit_with(loss, y):
    return fit(dl.Dataset(X, y), dl.Model(mlp(classes=1), loss))


def monitored(callback):
    return fit(callbacks=[callback])


def nested():
    block = dl.Residual(dl.Sequential(dl.Dense(4, 9), dl.Dense(8, 4)))
    return dl.Model(dl.Sequential(mlp(classes=4), block), dl.SoftmaxCrossEntropy()).predict(X)


def shared():
    relu = dl.ReLU()
    return dl.Model(dl.Sequential(dl.Dense(6, 3), relu, dl.Sequential(dl.Dense(3, 3), relu)), dl.SoftmaxCrossEntropy())


def reused():
    optimizer = dl.SGD(0.1, momentum=0.9)
    fit(optimizer=optimizer)
    return fit(of=model(units=4, hidden=4), optimizer=optimizer)


def frozen():
    network = mlp()
    network.freeze()
    return fit(of=dl.Model(network, dl.SoftmaxCrossEntropy()))


def diverging():
    with np.errstate(over="ignore"):
        return fit(optimizer=dl.SGD(1e30), epochs=3)


class Frame:
    """A table like that of another library."""

    def to_numpy(self): ...


class Tensor:
    def numpy(self): ...


# Whole messages; " * " matches any text between two parts.
SENTENCES = [
    (lambda: fit(of=model(hidden=7)), "layer 2: Dense(7, 3): expected x of shape (n, 7), got (1, 5); layer 1, ReLU"),
    (nested, "layer 1: body: layer 1: Dense(8, 4): * of shape (n, 8), got (20, 9); layer 0, Dense(4, 9), returns"),
    (lambda: model().predict(X[0]), "Dense(6, 5): * got (6,); x looks like one row: keep the batch axis"),
    (lambda: fit(dl.Dataset(IMAGES, Y)), "Dense(6, 5): * got (1, 8, 8, 3); put a Flatten"),
    (lambda: labelled(Y + 1), "labels in 0..2, got 3 in row 2; class labels count from 0: subtract 1"),
    (lambda: labelled(Y[:, None]), "expected targets of shape (20,), got (20, 1); flatten it: targets.ravel()"),
    (lambda: labelled(2 * Y), "labels in 0..2, got 4 in row 2; 3 outputs mean 3 classes"),
    (lambda: dl.Dataset(Frame(), [0]), "x: * numbers, got Frame; convert it with .to_numpy()"),
    (lambda: dl.Model(mlp(), dl.Huber(), 0.1), "Regularizer, got 0.1; for example L2(0.1)"),
    (lambda: fit(callbacks=dl.ProgressBar()), "callbacks to be a Sequence, got ProgressBar(); write a list"),
    (lambda: dl.Sequential([dl.ReLU()]), "layer 0 to be a Layer, got a list; write Sequential(layer"),
    (lambda: fit(nonfinite="warn"), "nonfinite: expected 'raise', 'skip' or 'ignore', got 'warn'"),
    (lambda: model().predict(np.full((2, 6), np.nan)), "x: expected finite numbers, got 12 * (0, 0): nan"),
    (lambda: fit()["acuracy"], "no column 'acuracy'; available: * did you mean 'accuracy'?"),
    (frozen, "SGD(0.1): expected at least one parameter to train, got 4 frozen ones"),
    (diverging, "epoch 1, after step 1: batch 2: * training diverged? * layer 2, Dense(5, 3)"),
]
# For the others, the argument's name or value, and the key word of the advice.
SHAPES = [
    (lambda: fit(dl.Dataset(X[:, :4], Y)), "Trainer.fit: train, * layer 0: Dense(6, 5): * (n, 6) * (1, 4)"),
    (lambda: fit(validation=dl.Dataset(X[:, :4], Y)), "Trainer.fit: validation, * layer 0: Dense(6, 5)"),
    (lambda: dl.Dataset(X.T, Y), "x * (6, 20) * y * (20,) * x.T"),
    (lambda: model().predict(X.T), "Dense(6, 5): * (6, 20) * transpose"),
    (lambda: dl.Dataset(X, Y[:10]), "x * (20, 6) * y"),
    (lambda: fit(dl.Dataset(IMAGES.reshape(20, -1), Y), convnet()), "layer 0: Conv2D(3, 4, 3): * (192,) * Reshape("),
    (lambda: convnet().predict(np.moveaxis(IMAGES, -1, 1)), "(height, width, 3) * (3, 8, 8) * last"),
    (lambda: convnet().predict(IMAGES[..., 0]), "(8, 8) * x[..., np"),
    (lambda: convnet(dl.Dense(144, 3)).predict(IMAGES), "Dense(144, 3): * (20, 6, 6, 4) * Flatten * layer 0, Conv2D"),
    (lambda: convnet(dl.Flatten(), dl.Dense(9, 3)).predict(IMAGES), "layer 2: Dense(9, 3): * (20, 144) * layer 1, "),
    (lambda: convnet().summary((20, 8, 8, 3)), "batch axis * (8, 8, 3)"),
    (lambda: dl.Standardizer().fit(X)(X[:, :3]), "Standardizer: * (6,) * x of shape (20, 3)"),
    (lambda: fit(augment=[dl.Mirror()]), "augment: * images_from_rows"),
    (lambda: labelled(np.eye(3)[Y]), "Trainer.fit: train: SoftmaxCrossEntropy(): * (20, 3) * argmax"),
    (lambda: fit_with(dl.MeanSquaredError(), X[:, 0]), "MeanSquaredError(): * targets * (20,) * targets[:, None]"),
]
TARGETS = [
    (lambda: labelled(2 * (Y > 0) - 1), "got -1 in row 0 * (targets + 1) // 2"),
    (lambda: labelled(Y > 0), "targets * bool * targets.astype(int)"),
    (lambda: labelled(np.array(["a", "b"] * 10)), "y: * np.unique(y, return_inverse"),
    (lambda: dl.Dataset(Tensor(), [0]), "x: * Tensor * .numpy()"),
    (lambda: fit_with(dl.BinaryCrossEntropy(), Y[:, None] - 1), "BinaryCrossEntropy(): * targets in [0, 1] * -1"),
]
KINDS = [
    (lambda: dl.Model(mlp(), dl.SoftmaxCrossEntropy), "loss * Loss * write SoftmaxCrossEntropy()"),
    (lambda: dl.Model(mlp(), "cross_entropy"), "'cross_entropy' * SoftmaxCrossEntropy()"),
    (lambda: dl.Model(dl.SoftmaxCrossEntropy(), mlp()), "order * Model(network, loss)"),
    (lambda: dl.Model([dl.Dense(6, 3)], dl.Huber()), "network * Layer * Sequential("),
    (lambda: dl.Trainer(model(), "sgd"), "Trainer: * optimizer * 'sgd' * SGD(...)"),
    (lambda: dl.Trainer(model(), 0.1), "an Optimizer, got 0.1 * SGD(0.1)"),
    (lambda: dl.Trainer(mlp(), dl.SGD(0.1)), "model * Model, * Sequential(Dense * Model(network"),
    (lambda: fit(callbacks=[dl.ProgressBar]), "callbacks[0] * Callback * write ProgressBar()"),
    (lambda: fit(callbacks=[print]), "callbacks[0] * Callback * LambdaCallback"),
    (lambda: fit(X, validation=Y), "train * Dataset * ndarray * Dataset(x, y)"),
    (lambda: dl.train_validation_split(X, 0.2), "dataset * Dataset * Dataset(x, y)"),
    (lambda: model().predict(DATA), "x: * array * Dataset"),
    (lambda: dl.Dense(6, 3, weight_init="normal"), "Dense: * weight_init * an Initializer * 'normal' * Normal(...)"),
    (lambda: dl.Sequential(dl.Dense(6, 3), dl.ReLU), "layer 1 * Layer * write ReLU()"),
    (lambda: dl.Sequential(np.tanh), "layer 0 * Layer * <ufunc 'tanh'>"),
    (lambda: dl.check_layer(dl.Dense, X), "check_layer: * layer * Layer * Dense(...)"),
    (lambda: fit(augment=dl.Mirror()), "sequence * [Mirror()]"),
    (lambda: dl.Dense(6, 3).forward(np.ones((2, 6), int)), "Dense(6, 3): * x * <i8 * x.astype(numpy.float32)"),
    (lambda: DATA.map(lambda x: None), "Dataset.map: * transform * NoneType"),
]
VALUES = [
    (lambda: dl.Dense(6, 3, dtype=int), "dtype: * numpy.float32"),
    (lambda: monitored(dl.EarlyStopping("acuracy")), "'acuracy' * accuracy"),
    (lambda: monitored(dl.EarlyStopping()), "'val_loss' * validation"),
    (lambda: monitored(dl.WeightTemplates("a", parameter="0.w")), "WeightTemplates: * '0.w' * 0.weight"),
    (shared, "ReLU() * '1' * '2.1' * two layers"),
    (reused, "another one * new optimizer"),
]
CASES = [
    *((dl.MinidlError, *case) for case in SENTENCES),
    *((dl.ShapeError, *case) for case in SHAPES),
    *((dl.InputError, *case) for case in [*TARGETS, *KINDS, *VALUES]),
    (dl.CheckpointError, lambda: model().load_weights("none.safetensors"), "none.safetensors: * No such file"),
]


@pytest.mark.parametrize(("error", "call", "said"), CASES, ids=[said.replace(" * ", " ") for *_, said in CASES])
def test_the_error_has_these_words(error, call, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as refusal:
        call()
    text, at = str(refusal.value), 0
    for part in said.split(" * "):
        at = text.find(part, at)
        assert at >= 0, f"{text!r} lacks {part!r}"
    assert "\n" not in text
    assert len(text) < 400
    assert " at 0x" not in text


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: dl.SGD(lr=0.1), "^SGD: got an .* 'lr'; it is called learning_rate"),
        (lambda: dl.Adam(), "^Adam: missing .*'learning_rate'$"),
        (lambda: dl.AdamW(0.1, clip_norn=1), "^AdamW: .* 'clip_norn'; did you mean 'clip_norm'"),
        (lambda: dl.StepDecay(), "^StepDecay: missing .*'initial', 'factor'"),
        (lambda: dl.SGD(0.1, 0.9, True, 1, 2), "^SGD: takes .* positional arguments"),
        (lambda: dl.Dense(3, 4, activation="relu"), r"^Dense: .* 'activation'; .* such as ReLU\(\)"),
        (lambda: dl.Trainer(None, None, epochs=3), "^Trainer: .* 'epochs'; pass .* to Trainer.fit"),
        (lambda: dl.Dense(3, 4, colour=1), "^Dense: got an unexpected keyword argument 'colour'$"),
    ],
)
def test_a_wrong_argument_of_a_constructor_gets_a_hint(call, said):
    with pytest.raises(TypeError, match=said):
        call()


def test_errors_inside_a_constructor_and_its_signature_are_unchanged():
    class Mine(dl.Dense):
        def __init__(self, units):
            super().__init__(3, len(units))

    with pytest.raises(TypeError, match="has no len"):
        Mine(4)
    assert list(inspect.signature(dl.SGD).parameters) == ["learning_rate", "momentum", "nesterov", "clipping"]
    with pytest.warns(UserWarning, match="Softmax") as caught:
        dl.Model(dl.Softmax(), dl.SoftmaxCrossEntropy())
    assert caught[0].filename == __file__


def test_a_user_class_is_suggested_too():
    class FocalLoss(dl.Huber):
        def __init__(self, gamma):
            super().__init__()

    with pytest.raises(dl.InputError, match=r"not its name: FocalLoss\(\.\.\.\)"):
        dl.Model(mlp(), "focal_loss")
    with pytest.raises(dl.InputError, match=r"write FocalLoss\(\.\.\.\)"):
        dl.Model(mlp(), FocalLoss)
