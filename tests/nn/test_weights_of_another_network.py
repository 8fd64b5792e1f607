"""A file of weights says which network they are of, and loading them into another one of the same shapes warns."""

import copy
import warnings

import numpy as np
import pytest

import minidl as dl
from minidl._storage.tensors import read_tensors, write_tensors
from minidl.nn.blueprint import LONGEST, blueprint, differences


def model(*between, last=(), dtype="float32", seed=0, init=None):
    first = dl.Dense(4, 8, rng=seed, dtype=dtype, weight_init=init)
    network = dl.Sequential(first, *between, dl.Dense(8, 3, rng=1, dtype=dtype), *last)
    return dl.Model(network, dl.SoftmaxCrossEntropy())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.safetensors"


def silent(load):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load()


def bits(model):
    return {name: array.tobytes() for name, array in model.weights().items()}


def test_the_program_of_the_notes_warns_and_names_the_layer(path):
    model(dl.ReLU()).save_weights(path)
    other = model(dl.Sigmoid(), seed=5)
    words = (
        r"w.safetensors: these weights are of another network of the same shapes: layer 1 is ReLU\(\) in the file and "
        r"Sigmoid\(\) here. Build the network as in the file; if you mean it, call save_weights again"
    )
    for _ in range(2):
        with pytest.warns(UserWarning, match=words) as caught:
            other.load_weights(path)
        assert len(caught) == 1
        assert caught[0].filename == __file__
    assert bits(other) == bits(model(dl.ReLU()))
    # As the warning says.
    other.save_weights(path)
    silent(lambda: other.load_weights(path))


def test_with_warnings_as_errors_nothing_changes(path):
    model(dl.ReLU()).save_weights(path)
    other = model(dl.Tanh(), seed=5)
    before = bits(other)
    for _ in range(2):
        with pytest.raises(UserWarning, match="another network"):
            silent(lambda: other.load_weights(path))
        assert bits(other) == before


DIFFERENT = {
    "GELU": (lambda: model(dl.ReLU()), lambda: model(dl.GELU()), r"layer 1 is ReLU\(\) .* and GELU\(\) here"),
    "slope": (
        lambda: model(dl.LeakyReLU(0.1)),
        lambda: model(dl.LeakyReLU(0.3)),
        r"LeakyReLU\(0.1\) .*LeakyReLU\(0.3\)",
    ),
    "one more": (
        lambda: model(dl.ReLU()),
        lambda: model(dl.ReLU(), last=[dl.LogSoftmax()]),
        "layer 3 is missing in the file",
    ),
    "one less": (
        lambda: model(last=[dl.LogSoftmax()]),
        model,
        r"layer 2 is LogSoftmax\(\) in the file and missing here",
    ),
    "padding": (
        lambda: dl.Model(dl.Conv2D(1, 2, 3), dl.MeanSquaredError()),
        lambda: dl.Model(dl.Conv2D(1, 2, 3, padding="same"), dl.MeanSquaredError()),
        r"the network is Conv2D\(1, 2, 3\) in the file and Conv2D\(1, 2, 3, padding='same'\) here",
    ),
    "epsilon": (
        lambda: model(dl.BatchNorm(8)),
        lambda: model(dl.BatchNorm(8, epsilon=0.1)),
        r"layer 1 is BatchNorm\(8\) in the file and BatchNorm\(8, epsilon=0.1\) here",
    ),
    "nested": (
        lambda: model(dl.Residual(dl.Sequential(dl.Dense(8, 8), dl.ReLU()))),
        lambda: model(dl.Residual(dl.Sequential(dl.Dense(8, 8), dl.Tanh()))),
        r"shapes: layer 1.body.1 is ReLU\(\) in the file and Tanh\(\) here\. ",
    ),
    "container": (
        lambda: dl.Model(dl.Sequential(dl.Dense(4, 4), dl.Dense(4, 4)), dl.MeanSquaredError()),
        lambda: dl.Model(dl.Parallel(dl.Dense(4, 4), dl.Dense(4, 4)), dl.MeanSquaredError()),
        r"the network is Sequential\(...\) in the file and Parallel\(...\) here",
    ),
    "many": (
        lambda: model(*[dl.ReLU()] * 0, *(dl.ReLU() for _ in range(5))),
        lambda: model(*(dl.Tanh() for _ in range(5))),
        "layer 3 is .*; and 2 more. Build",
    ),
}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_another_network_is_told_by_what_differs(kind, path):
    saved, loading, words = DIFFERENT[kind]
    saved().save_weights(path)
    with pytest.warns(UserWarning, match=words):
        loading().load_weights(path)


class Gain(dl.Layer):
    """A layer of a user's own, with an argument that its repr tells, and one that has a place in memory."""

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
    "seed": (lambda: model(dl.ReLU()), lambda: model(dl.ReLU(), seed=3)),
    "initializer": (lambda: model(dl.ReLU()), lambda: model(dl.ReLU(), init=dl.Normal(0.5))),
    "wider": (lambda: model(dl.ReLU()), lambda: model(dl.ReLU(), dtype="float64")),
    "dropout's seed": (lambda: model(dl.Dropout(0.3, rng=1)), lambda: model(dl.Dropout(0.3, rng=2))),
    # It matters in training alone, and to train on with another one is usual.
    "dropout's rate": (lambda: model(dl.Dropout(0.5, rng=1)), lambda: model(dl.Dropout(0.2, rng=1))),
    "loss and regularizer": (
        lambda: model(dl.ReLU()),
        lambda: dl.Model(model(dl.ReLU()).network, dl.MulticlassHinge(), dl.L2(0.1)),
    ),
    "copy": (lambda: model(dl.GELU()), lambda: copy.deepcopy(model(dl.GELU()))),
    "cast": (lambda: model(dl.GELU()), lambda: model(dl.GELU()).astype(np.float64)),
    "own": (lambda: model(Gain(2)), lambda: model(Gain(2))),
    "places in memory": (lambda: model(Gain(how=object())), lambda: model(Gain(how=object()))),
    "functions": (lambda: model(Gain(how=lambda: 1)), lambda: model(Gain(how=lambda: 1))),
    "no repr": (lambda: model(Rude()), lambda: model(Rude(2))),
    "odd repr": (lambda: model(Split()), lambda: model(Split())),
}


@pytest.mark.parametrize("kind", SAME)
def test_the_same_network_is_silent(kind, path):
    saved, loading = SAME[kind]
    model = saved()
    model.save_weights(path)
    other = loading()
    silent(lambda: other.load_weights(path))
    silent(lambda: copy.deepcopy(other).load_weights(path))
    other.network.freeze()
    silent(lambda: other.load_weights(path))


def test_an_argument_of_an_own_layer_differs(path):
    model(Gain(2)).save_weights(path)
    with pytest.warns(UserWarning, match=r"layer 1 is Gain\(power=2\) in the file and Gain\(power=3\) here"):
        model(Gain(3)).load_weights(path)


def test_files_that_do_not_say_whose_they_are_load_in_silence(path, tmp_path):
    trained = model(dl.ReLU())
    # As minidl wrote them before, and as other tools do.
    write_tensors(path, trained.weights())
    silent(lambda: model(dl.Sigmoid()).load_weights(path))
    write_tensors(path, trained.weights(), {"format": "pt"})
    silent(lambda: model(dl.Sigmoid()).load_weights(path))
    data = dl.Dataset(np.ones((6, 4)), [0, 1, 2, 0, 1, 2])
    dl.Trainer(trained, dl.SGD(0.1), [dl.Checkpoint(tmp_path / "runs")], rng=0).fit(data, epochs=1, batch_size=3)
    (checkpoint,) = (tmp_path / "runs").glob("*.safetensors")
    silent(lambda: model(dl.ReLU()).load_weights(checkpoint))


def test_shapes_that_differ_are_refused_as_before_and_nothing_changes(path):
    model(dl.ReLU()).save_weights(path)
    other = dl.Model(
        dl.Sequential(dl.Dense(4, 9, rng=0), dl.Sigmoid(), dl.Dense(9, 3, rng=0)), dl.SoftmaxCrossEntropy()
    )
    before = bits(other)
    for _ in range(2):
        with pytest.raises(dl.CheckpointError, match=r"'0.weight' of \(4, 8\)"):
            silent(lambda: other.load_weights(path))
        assert bits(other) == before


def test_a_very_deep_network_has_a_bounded_text_and_the_first_difference_is_seen(path):
    def deep(*first):
        return dl.Model(
            dl.Sequential(*first, *(dl.ReLU() for _ in range(3_000)), dl.Dense(4, 3)), dl.MeanSquaredError()
        )

    deep(dl.Tanh()).save_weights(path)
    assert len(read_tensors(path)[1]["minidl.network"]) <= LONGEST
    silent(lambda: deep(dl.Tanh()).load_weights(path))
    with pytest.warns(UserWarning, match=r"layer 0 is Tanh\(\) in the file and Sigmoid\(\) here\. "):
        deep(dl.Sigmoid()).load_weights(path)


@pytest.mark.parametrize("text", ["", "\n", "nonsense", ": : :", "0: \x1b[31mReLU()\n" * 9, "-: " + "a" * 10**6])
def test_a_forged_text_can_do_no_more_than_warn_in_a_few_printable_words(text, path):
    network = model(dl.ReLU())
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
    assert blueprint(dl.Dense(2, 3)) == "-: Dense(2, 3)"
