"""A file of weights describes its network, and loading it into another network of the same shapes warns."""

import copy
import warnings

import numpy as np
import pytest

import minidl as dl
from minidl._storage.tensors import read_tensors, write_tensors
from minidl.nn.blueprint import LONGEST, blueprint, differences


def model(between, last="", dtype="float32", **options):
    """A network with layers, given by their code, between two others, and more layers at the end."""
    inner, end = (eval(f"[{code}]", vars(dl) | globals()) for code in (between, last))
    layers = dl.Dense(4, 8, dtype=dtype, **options), *inner, dl.Dense(8, 3, dtype=dtype), *end
    return dl.Model(dl.Sequential(*layers), dl.SoftmaxCrossEntropy())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.safetensors"


def load_in_silence(model, path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.load_weights(path)


def bits(model):
    return {name: array.tobytes() for name, array in model.weights().items()}


def test_weights_of_another_network_load_with_a_warning_until_saved_again(path):
    saved, other = model("ReLU()"), model("Sigmoid()")
    saved.save_weights(path)
    words = r"w.safetensors: .* layer 1 is ReLU\(\) in the file and Sigmoid\(\) here. .*save_weights"
    for _ in range(2):
        with pytest.warns(UserWarning, match=words) as caught:
            other.load_weights(path)
        assert [warning.filename for warning in caught] == [__file__]
    assert bits(other) == bits(saved)
    other.save_weights(path)
    load_in_silence(other, path)


@pytest.mark.parametrize(
    ("other", "error", "words"),
    [
        (lambda: model("Tanh()"), UserWarning, "another network"),
        (
            lambda: dl.Model(dl.Sequential(dl.Dense(4, 9)), dl.Huber()),
            dl.CheckpointError,
            r"'0.weight': .* got \(4, 8\)",
        ),
    ],
)
def test_nothing_changes_if_the_warning_is_an_error_or_shapes_differ(other, error, words, path):
    model("ReLU()").save_weights(path)
    other = other()
    before = bits(other)
    for _ in range(2):
        with pytest.raises(error, match=words):
            load_in_silence(other, path)
        assert bits(other) == before


RESIDUAL = "Residual(Sequential(Dense(8, 8), {}))"


@pytest.mark.parametrize(
    ("saved", "loading", "words"),
    [
        (["ReLU()"], ["GELU()"], r"layer 1 is ReLU\(\) .* and GELU\(\) here"),
        (["LeakyReLU(0.1)"], ["LeakyReLU(0.3)"], r"LeakyReLU\(0.1\) .*LeakyReLU\(0.3\)"),
        (["ReLU()"], ["ReLU()", "LogSoftmax()"], "layer 3 is missing in the file"),
        (["", "LogSoftmax()"], [""], r"layer 2 is LogSoftmax\(\) in the file and missing here"),
        (
            ["BatchNorm(8)"],
            ["BatchNorm(8, epsilon=0.1)"],
            r"BatchNorm\(8\) in the file and BatchNorm\(8, epsilon=0.1\)",
        ),
        ([RESIDUAL.format("ReLU()")], [RESIDUAL.format("Tanh()")], r"shapes: layer 1.body.1 is ReLU\(\) .*here\. "),
        (
            ["Sequential(ReLU())"],
            ["Parallel(ReLU())"],
            r"layer 1 is Sequential\(...\) in the file and Parallel\(...\) here",
        ),
        (["ReLU(), " * 5], ["Tanh(), " * 5], "layer 3 is .*; and 2 more. Build"),
        (["Gain(2)"], ["Gain(3)"], r"layer 1 is Gain\(power=2\) in the file and Gain\(power=3\) here"),
    ],
)
def test_the_warning_names_the_layers_that_differ(saved, loading, words, path):
    model(*saved).save_weights(path)
    with pytest.warns(UserWarning, match=words):
        model(*loading).load_weights(path)


class Gain(dl.Layer):
    """A user's layer, with one argument in its repr, and one whose repr contains a memory address."""

    def __init__(self, power=1, how=None):
        super().__init__()
        self.power, self.how = power, how
        self.gain = self.add_parameter("gain", np.ones(8))

    def forward(self, x, train=False):
        return x * self.gain.value.astype(x.dtype) ** self.power

    def backward(self, dy):
        return dy


class Rude(Gain):
    def __repr__(self):
        raise RuntimeError("no words")


class Split(Gain):
    def __repr__(self):
        return "Split(\n  \x1b[31m \ud800)"


SAME = {
    "seed": lambda: (model("ReLU()"), model("ReLU()", rng=3)),
    "initializer": lambda: (model("ReLU()"), model("ReLU()", weight_init=dl.Normal(0.5))),
    "wider": lambda: (model("ReLU()"), model("ReLU()", dtype="float64")),
    # The rate matters only in training, and users often continue with another rate.
    "dropout": lambda: (model("Dropout(0.5, rng=1)"), model("Dropout(0.2, rng=2)")),
    "loss": lambda: (one := model("ReLU()"), dl.Model(copy.deepcopy(one.network), dl.MulticlassHinge(), dl.L2(0.1))),
    "cast": lambda: (one := model("GELU()"), one.astype(np.float64)),
    "places in memory": lambda: (model("Gain(how=object())"), model("Gain(how=object())")),
    "functions": lambda: (model("Gain(how=lambda: 1)"), model("Gain(how=lambda: 1)")),
    "no repr": lambda: (model("Rude()"), model("Rude(2)")),
    "odd repr": lambda: (model("Split()"), model("Split()")),
}


@pytest.mark.parametrize("kind", SAME)
def test_the_same_network_gives_no_warning(kind, path):
    saved, other = SAME[kind]()
    saved.save_weights(path)
    load_in_silence(other, path)
    load_in_silence(copy.deepcopy(other), path)
    other.network.freeze()
    load_in_silence(other, path)


def test_files_without_a_blueprint_load_without_a_warning(path, tmp_path):
    trained = model("ReLU()")
    # As written by older versions, and by other tools.
    for metadata in ({}, {"format": "pt"}):
        write_tensors(path, trained.weights(), metadata)
        load_in_silence(model("Sigmoid()"), path)
    data = dl.Dataset(np.ones((6, 4)), [0, 1, 2, 0, 1, 2])
    dl.Trainer(trained, dl.SGD(0.1), [dl.Checkpoint(tmp_path / "runs")], rng=0).fit(data, epochs=1, batch_size=3)
    (checkpoint,) = (tmp_path / "runs").glob("*.safetensors")
    load_in_silence(model("ReLU()"), checkpoint)


def test_the_blueprint_of_a_deep_network_is_limited_and_shows_the_first_difference(path):
    def deep(first):
        return dl.Model(dl.Sequential(first, *(dl.ReLU() for _ in range(3_000))), dl.MeanSquaredError())

    deep(dl.Tanh()).save_weights(path)
    assert len(read_tensors(path)[1]["minidl.network"]) <= LONGEST
    load_in_silence(deep(dl.Tanh()), path)
    with pytest.warns(UserWarning, match=r"layer 0 is Tanh\(\) in the file and Sigmoid\(\) here\. "):
        deep(dl.Sigmoid()).load_weights(path)


@pytest.mark.parametrize("text", ["", "\n", "nonsense", ": : :", "0: \x1b[31mReLU()\n" * 9, "-: " + "a" * 10**6])
def test_a_forged_blueprint_only_causes_a_short_printable_warning(text, path):
    network = model("ReLU()")
    write_tensors(path, network.weights(), {"minidl.network": text})
    with pytest.warns(UserWarning, match="another network") as caught:
        network.load_weights(path)
    words = str(caught[0].message)
    assert words.isprintable()
    assert len(words) < 700 + len(str(path))


def test_a_blueprint_is_one_line_for_each_layer():
    network = dl.Sequential(dl.Dense(2, 3), dl.Residual(dl.Dense(3, 3)))
    text = "-: Sequential(...)\n0: Dense(2, 3)\n1: Residual(...)\n1.body: Dense(3, 3)"
    assert blueprint(network) == text
    assert differences(text, network) == []
    assert differences("-: ReLU()", dl.ELU()) == ["the network is ReLU() in the file and ELU() here"]
