"""What a beginner gets wrong, and what the error must say: where, what was expected, what came, and what to do."""

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
    """A table of another library."""

    def to_numpy(self): ...


class Tensor:
    def numpy(self): ...


SHAPES = {
    "a layer that does not fit the one before": (
        lambda: fit(of=model(hidden=7)),
        "layer 2: Dense(7, 3): expected x of shape (n, 7), got (1, 5); layer 1, ReLU(), gives it rows of shape (5,)",
    ),
    "a layer deep inside": (
        nested,
        "layer 1: body: layer 1: Dense(8, 4): expected x of shape (n, 8), got (20, 9); layer 0, Dense(4, 9), gives it",
    ),
    "data of another width": (
        lambda: fit(dl.Dataset(X[:, :4], Y)),
        "Trainer.fit: train, its first row: layer 0: Dense(6, 5): expected x of shape (n, 6), got (1, 4)",
    ),
    "validation data of another width": (
        lambda: fit(validation=dl.Dataset(X[:, :4], Y)),
        "Trainer.fit: validation, its first row: layer 0: Dense(6, 5)",
    ),
    "columns as samples": (
        lambda: dl.Dataset(X.T, Y),
        "x of shape (6, 20) and y of shape (20,); rows are samples: * x.T",
    ),
    "columns to predict for": (lambda: model().predict(X.T), "Dense(6, 5): * (n, 6), got (6, 20); * transpose an x"),
    "fewer targets than rows": (
        lambda: dl.Dataset(X, Y[:10]),
        "one target for each row of x, got x of shape (20, 6) and y",
    ),
    "flat rows into a convolution": (
        lambda: fit(dl.Dataset(IMAGES.reshape(20, -1), Y), convnet()),
        "layer 0: Conv2D(3, 4, 3): expected images of shape (height, width, 3), got (192,); * Reshape(",
    ),
    "channels first": (
        lambda: convnet().predict(np.moveaxis(IMAGES, -1, 1)),
        "(height, width, 3), got (3, 8, 8); * last",
    ),
    "grey images without a channel": (
        lambda: convnet().predict(IMAGES[..., 0]),
        "got (8, 8); * one channel: x[..., np",
    ),
    "images into a dense layer": (lambda: fit(dl.Dataset(IMAGES, Y)), "Dense(6, 5): * got (1, 8, 8, 3); put a Flatten"),
    "no Flatten after a convolution": (
        lambda: convnet(dl.Dense(144, 3)).predict(IMAGES),
        "layer 1: Dense(144, 3): * got (20, 6, 6, 4); put a Flatten before it; layer 0, Conv2D(3, 4, 3), gives it",
    ),
    "a wrong number after Flatten": (
        lambda: convnet(dl.Flatten(), dl.Dense(100, 3)).predict(IMAGES),
        "layer 2: Dense(100, 3): * (n, 100), got (20, 144); layer 1, Flatten(), gives it rows of shape (144,)",
    ),
    "one row": (lambda: model().predict(X[0]), "Dense(6, 5): * got (6,); x looks like one row: keep the batch axis"),
    "one image": (lambda: convnet().predict(IMAGES[0]), "x looks like one row: keep the batch axis, as in x[:1]"),
    "a batch in summary": (lambda: convnet().summary((20, 8, 8, 3)), "without the batch axis: did you mean (8, 8, 3)?"),
    "rows of another shape to standardize": (
        lambda: dl.Standardizer().fit(X)(X[:, :3]),
        "Standardizer: fitted on rows of shape (6,), got an x of shape (20, 3)",
    ),
    "flat rows to augment": (lambda: fit(augment=[dl.Mirror()]), "augment: expected images * images_from_rows"),
}
TARGETS = {
    "one-hot": (
        lambda: labelled(np.eye(3)[Y]),
        "Trainer.fit: train: SoftmaxCrossEntropy(): * (20,), got (20, 3); * argmax",
    ),
    "from 1": (lambda: labelled(Y + 1), "labels in 0..2, got 3 in row 2; class labels count from 0: subtract 1"),
    "too many": (
        lambda: labelled(2 * Y),
        "labels in 0..2, got 4 in row 2; outputs that are 3 wide stand for 3 classes",
    ),
    "-1 and 1": (lambda: labelled(2 * (Y > 0) - 1), "labels in 0..2, got -1 in row 0; * (targets + 1) // 2"),
    "floats": (lambda: labelled(Y.astype(float)), "integer class labels as targets, got dtype float64; * astype(int)"),
    "bools": (lambda: labelled(Y > 0), "integer class labels as targets, got dtype bool; * targets.astype(int)"),
    "a column": (
        lambda: labelled(Y[:, None]),
        "expected targets of shape (20,), got (20, 1); make it flat: targets.ravel()",
    ),
    "texts": (
        lambda: labelled(np.array(["a", "b"] * 10)),
        "y: expected real numbers, got * np.unique(y, return_inverse",
    ),
    "None": (lambda: dl.Dataset(X, None), "y: expected an array of numbers, got NoneType"),
    "a table of pandas": (lambda: dl.Dataset(Frame(), [0]), "x: * numbers, got Frame; convert it by .to_numpy()"),
    "a tensor of PyTorch": (lambda: dl.Dataset(Tensor(), [0]), "x: * numbers, got Tensor; convert it by .numpy()"),
    "flat for a regression": (
        lambda: fit_with(dl.MeanSquaredError(), X[:, 0]),
        "MeanSquaredError(): expected targets of the outputs' shape (20, 1), got (20,); * targets[:, None]",
    ),
    "-1 and 1 for a probability": (
        lambda: fit_with(dl.BinaryCrossEntropy(), 2 * (Y[:, None] > 0) - 1),
        "BinaryCrossEntropy(): expected targets in [0, 1], got -1 to 1",
    ),
}
KINDS = {
    "a class for a loss": (
        lambda: dl.Model(mlp(), dl.SoftmaxCrossEntropy),
        "loss to be a Loss, * write SoftmaxCrossEntropy()",
    ),
    "a name for a loss": (lambda: dl.Model(mlp(), "cross_entropy"), "got 'cross_entropy'; * SoftmaxCrossEntropy()"),
    "an unlike name for a loss": (lambda: dl.Model(mlp(), "zzz"), "got 'zzz'; such as SoftmaxCrossEntropy()"),
    "loss before network": (lambda: dl.Model(dl.SoftmaxCrossEntropy(), mlp()), "the order is Model(network, loss)"),
    "a list for a network": (lambda: dl.Model([dl.Dense(6, 3)], dl.Huber()), "network to be a Layer, * Sequential("),
    "a number for a regularizer": (lambda: dl.Model(mlp(), dl.Huber(), 0.1), "Regularizer, got 0.1; such as L2(0.1)"),
    "a name for an optimizer": (lambda: dl.Trainer(model(), "sgd"), "Trainer: expected optimizer * 'sgd'; * SGD(...)"),
    "a class for an optimizer": (lambda: dl.Trainer(model(), dl.SGD), "Trainer: expected optimizer * write SGD(...)"),
    "a rate for an optimizer": (
        lambda: dl.Trainer(model(), 0.1),
        "optimizer to be an Optimizer, got 0.1; such as SGD(0.1)",
    ),
    "a network for a model": (
        lambda: dl.Trainer(mlp(), dl.SGD(0.1)),
        "model to be a Model, got Sequential(Dense * Model(network",
    ),
    "one callback": (
        lambda: fit(callbacks=dl.ProgressBar()),
        "callbacks to be a Sequence, got ProgressBar(); write a list",
    ),
    "a class for a callback": (
        lambda: fit(callbacks=[dl.ProgressBar]),
        "callbacks[0] to be a Callback, * write ProgressBar()",
    ),
    "a function for a callback": (lambda: fit(callbacks=[print]), "callbacks[0] to be a Callback, * LambdaCallback"),
    "arrays to fit": (
        lambda: dl.Trainer(model(), dl.SGD(0.1)).fit(X, Y, epochs=1, batch_size=5),
        "Trainer.fit: train: expected a Dataset * got ndarray; * Dataset(x, y)",
    ),
    "a tuple to validate with": (
        lambda: fit(validation=(X, Y)),
        "Trainer.fit: validation: expected a Dataset * got tuple",
    ),
    "arrays to evaluate": (
        lambda: model().evaluate(X),
        "Model.evaluate: expected a Dataset * got ndarray; * Dataset(x, y)",
    ),
    "arrays to split": (lambda: dl.train_validation_split(X, 0.2), "expected dataset to be a Dataset, * Dataset(x, y)"),
    "a Dataset to predict for": (lambda: model().predict(DATA), "x: expected an array of numbers, got Dataset"),
    "a name for an initializer": (
        lambda: dl.Dense(6, 3, weight_init="normal"),
        "Dense: expected weight_init to be an Initializer, got 'normal'; no name but an object, such as Normal(...)",
    ),
    "an array for an initializer": (
        lambda: dl.Dense(6, 3, weight_init=X),
        "got ndarray of shape (20, 6); such as Normal(",
    ),
    "a list of layers": (
        lambda: dl.Sequential([dl.ReLU()]),
        "layer 0 to be a Layer, got a list; write Sequential(layer",
    ),
    "a class for a layer": (lambda: dl.Sequential(dl.Dense(6, 3), dl.ReLU), "layer 1 to be a Layer, * write ReLU()"),
    "a name for a layer": (
        lambda: dl.Sequential(dl.Dense(6, 3), "relu"),
        "layer 1 to be a Layer, got 'relu'; * ReLU()",
    ),
    "a function for a layer": (lambda: dl.Sequential(np.tanh), "layer 0 to be a Layer, got <ufunc 'tanh'>"),
    "a class to check": (
        lambda: dl.check_layer(dl.Dense, X),
        "check_layer: expected layer to be a Layer, * Dense(...)",
    ),
    "an augmentation alone": (lambda: fit(augment=dl.Mirror()), "a sequence such as [Mirror()], got Mirror()"),
    "integers into a layer": (
        lambda: dl.Dense(6, 3).forward(np.ones((2, 6), int)),
        "Dense(6, 3): expected x to be a floating-point array * got dtype <i8; x.astype(numpy.float32)",
    ),
    "a function that returns nothing": (
        lambda: DATA.map(lambda x: None),
        "Dataset.map: what transform returned: * NoneType",
    ),
}
VALUES = {
    "epochs as text": (lambda: fit(epochs="3"), "epochs: expected an integer >= 0, got '3'"),
    "no rows a batch": (lambda: fit(batch_size=0), "batch_size: expected an integer >= 1, got 0"),
    "a negative rate": (lambda: dl.SGD(-0.1), "learning_rate: expected a finite number > 0 or a Schedule, got -0.1"),
    "a rate as text": (lambda: dl.SGD("0.1"), "learning_rate: expected a finite number > 0 or a Schedule, got '0.1'"),
    "a momentum of 1": (lambda: dl.SGD(0.1, momentum=1), "momentum: expected a number in [0, 1), got 1"),
    "an integer dtype": (
        lambda: dl.Dense(6, 3, dtype=int),
        "dtype: expected a floating-point dtype such as numpy.float32",
    ),
    "features as a shape": (lambda: dl.Dense((6,), 3), "in_features: expected an integer >= 1, got (6,)"),
    "a dropout of 50": (lambda: dl.Dropout(50), "rate: expected a number in [0, 1), got 50"),
    "a seed as text": (
        lambda: dl.Dense(6, 3, rng="0"),
        "rng: expected a non-negative integer, a numpy.random.Generator",
    ),
    "a mode that is none": (
        lambda: fit(nonfinite="warn"),
        "nonfinite: expected 'raise', 'skip' or 'ignore', got 'warn'",
    ),
    "a validation set of all rows": (
        lambda: dl.train_validation_split(DATA, 20),
        "validation: expected 1 to 19 of the 20",
    ),
    "not a number": (
        lambda: model().predict(np.full((2, 6), np.nan)),
        "x: expected finite numbers, got 12 * (0, 0): nan",
    ),
    "weights for other classes": (
        lambda: fit(of=dl.Model(mlp(), dl.SoftmaxCrossEntropy(class_weights=[1, 2]))),
        "expected class_weights for the 3 classes, got 2",
    ),
}
NAMES = {
    "a column of the history": (lambda: fit()["acuracy"], "no column 'acuracy', there is * did you mean 'accuracy'?"),
    "a monitored quantity": (
        lambda: monitored(dl.EarlyStopping("acuracy")),
        "no 'acuracy'; the nearest names are accuracy",
    ),
    "validation where there is none": (
        lambda: monitored(dl.EarlyStopping()),
        "no 'val_loss'; pass validation data to fit",
    ),
    "a parameter to draw": (
        lambda: monitored(dl.WeightTemplates("figures", parameter="0.weights")),
        "WeightTemplates: expected a parameter '0.weights', the model has * 0.weight",
    ),
    "a file that is missing": (lambda: model().load_weights("none.safetensors"), "none.safetensors: * No such file"),
}
ORDER = {
    "one layer in two places": (shared, "Model: ReLU() stands at '1' and at '2.1'; make two layers"),
    "an optimizer for two models": (
        reused,
        "this optimizer remembers parameters of other shapes: * a new one for each model",
    ),
    "nothing to train": (frozen, "SGD(0.1): expected at least one parameter to train, got 4 frozen ones"),
    "backward before forward": (lambda: mlp().backward(np.ones((2, 3))), "backward needs a forward before it"),
    "standardizing before fit": (lambda: dl.Standardizer()(X), "Standardizer: call fit(x) on the training inputs"),
    "probabilities of a hinge": (
        lambda: dl.Model(mlp(), dl.MulticlassHinge()).predict_proba(X),
        "MulticlassHinge(): its outputs stand for no probabilities",
    ),
    "a rate that is too large": (
        diverging,
        "epoch 1, after step 1: batch 2: * training diverged? * layer 2, Dense(5, 3)",
    ),
}
MISTAKES = SHAPES | TARGETS | KINDS | VALUES | NAMES | ORDER


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_error_says_it(mistake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, said = MISTAKES[mistake]
    with pytest.raises(dl.MinidlError) as refusal:
        call()
    text, at = str(refusal.value), 0
    for part in said.split(" * "):  # in this order, with anything between them
        at = text.find(part, at)
        assert at >= 0, f"{text!r} lacks {part!r}"
    assert "\n" not in text
    assert len(text) < 400
    assert " at 0x" not in text


def test_weights_of_another_network_are_compared_by_name_and_shape(tmp_path):
    model().save_weights(tmp_path / "w.safetensors")
    with pytest.raises(dl.CheckpointError, match=r"has '0.weight' of \(6, 5\) float32 where the model has \(6, 4\)"):
        model(units=4, hidden=4).load_weights(tmp_path / "w.safetensors")
    with pytest.raises(dl.CheckpointError, match=r"no '3.weight'.*a '2.weight' that the model has not"):
        convnet(dl.ReLU(), dl.Flatten(), dl.Dense(144, 3)).load_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: dl.SGD(lr=0.1), "SGD.*unexpected keyword argument 'lr'"),
        (lambda: fit(epoch=3), "fit.*unexpected keyword argument 'epoch'"),
        (lambda: dl.Trainer(model(), dl.SGD(0.1)).fit(DATA), "fit.*missing 2 required.*'epochs' and 'batch_size'"),
    ],
)
def test_pythons_own_words_do_for_misspelled_arguments(call, said):
    with pytest.raises(TypeError, match=said):
        call()


def test_a_user_class_is_suggested_too():
    class FocalLoss(dl.Huber):
        def __init__(self, gamma):
            super().__init__()

    with pytest.raises(dl.InputError, match=r"such as FocalLoss\(\.\.\.\)"):
        dl.Model(mlp(), "focal_loss")
    with pytest.raises(dl.InputError, match=r"write FocalLoss\(\.\.\.\)"):
        dl.Model(mlp(), FocalLoss)
