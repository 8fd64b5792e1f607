"""Both ends of a network: a last layer that does not fit the loss, and pixels that are not scaled."""

import copy
import pickle

import numpy as np
import pytest
from small_parts import SquaredError

import minidl as dl
from minidl.nn.ends import limited_outputs


def dense(seed=0):
    return dl.Dense(5, 3, rng=seed)


class OwnSoftmax(dl.Softmax):
    pass


class OwnActivation(dl.Activation):
    """A user's activation, which states no output range."""

    def function(self, x):
        return x * x

    def derivative(self, x):
        return 2 * x


LIMITING = [
    *(dl.Softmax(), dl.Sigmoid(), dl.Tanh(), dl.ReLU(), dl.Softplus(), dl.SiLU(), dl.GELU(), dl.GELU("tanh")),
    *(dl.ELU(), dl.LeakyReLU(0.0), OwnSoftmax()),
]
LOGITS = [dl.SoftmaxCrossEntropy(0.1), dl.SigmoidCrossEntropy(), dl.BinaryCrossEntropy(), dl.MulticlassHinge()]
PLACES = {
    "alone": lambda layer: layer,
    "last": lambda layer: dl.Sequential(dense(), layer),
    "nested": lambda layer: dl.Sequential(dense(), dl.Sequential(dl.Sequential(layer))),
    "before what keeps values": lambda layer: dl.Sequential(
        dense(), layer, dl.Dropout(0.1, rng=0), dl.Sequential(dl.Reshape((3, 1)), dl.Flatten())
    ),
    "in a branch": lambda layer: dl.Sequential(dl.Parallel(dense(), dl.Sequential(dense(1), layer))),
}


@pytest.mark.parametrize("loss", LOGITS, ids=repr)
@pytest.mark.parametrize("layer", LIMITING, ids=repr)
@pytest.mark.parametrize("place", PLACES)
def test_a_last_layer_that_limits_logits_warns_each_time(place, layer, loss):
    for _ in range(2):
        with pytest.warns(UserWarning, match="but .* expects logits.* remove this layer") as caught:
            dl.Model(PLACES[place](copy.deepcopy(layer)), loss)
        (warning,) = caught
        assert repr(layer) in str(warning.message)
        # At the caller's line.
        assert warning.filename == __file__


@pytest.mark.parametrize(
    ("network", "loss"),
    [
        (dl.Sequential(dense(), dl.ReLU()), dl.MeanSquaredError()),
        (dl.Sequential(dense(), dl.Softmax()), SquaredError()),
        (dl.Sequential(dense(), dl.LogSoftmax()), dl.SoftmaxCrossEntropy()),
        (dl.Sequential(dense(), dl.LeakyReLU()), dl.SoftmaxCrossEntropy()),
        (dl.Sequential(dense(), dl.ELU(100.0)), dl.BinaryCrossEntropy()),
        (dl.Sequential(dense(), OwnActivation()), dl.SoftmaxCrossEntropy()),
        (dl.Sequential(dl.Softmax(), dense()), dl.SoftmaxCrossEntropy()),
        (dl.Residual(dl.Sequential(dl.ReLU())), dl.SoftmaxCrossEntropy()),
        # As in "Network in network" and in "Striving for simplicity".
        (dl.Sequential(dl.Conv2D(3, 10, 1, rng=0), dl.ReLU(), dl.GlobalAvgPool2D()), dl.SoftmaxCrossEntropy()),
        (dl.Sequential(dense(), dl.ReLU(), dl.BatchNorm(3)), dl.SoftmaxCrossEntropy()),
        (dl.Sequential(), dl.SoftmaxCrossEntropy()),
    ],
    ids=repr,
)
def test_a_last_layer_that_fits_the_loss_gives_no_warning(network, loss):
    dl.Model(network, loss)


def test_copies_of_a_model_do_not_warn_again_and_sanity_check_names_the_softmax_first():
    with pytest.warns(UserWarning, match="expects logits"):
        model = dl.Model(dl.Sequential(dense(), dl.Softmax()), dl.SoftmaxCrossEntropy())
    copy.deepcopy(model)
    pickle.loads(pickle.dumps(model))
    model.astype(np.float64)
    dl.Ensemble([model])
    trainer = dl.Trainer(model, dl.SGD(0.1), rng=0)
    x = np.random.default_rng(0).normal(size=(300, 5))
    data = dl.Dataset(x, x[:, :3].argmax(axis=1))
    trainer.fit(data, epochs=1, batch_size=10)
    report = dl.sanity_check(trainer, data)
    (fault,) = report.faults
    assert report.items[0] is fault
    assert "ends with Softmax()" in fault.sentence
    assert "gradient wrong" not in str(report)


@pytest.mark.parametrize("layer", [layer for layer in LIMITING if layer.output_range[0] > -10], ids=repr)
def test_outputs_are_within_the_output_range(layer):
    low, high = layer.output_range
    y = layer.forward(np.linspace(-100, 100, 3003).reshape(3, -1).T)
    assert low <= y.min()
    assert y.max() <= high
    # The range is not wider than necessary, except for rounding.
    assert y.min() < low + 0.01


PIXELS = np.random.default_rng(0).integers(0, 256, (40, 2, 2, 3)).astype(np.uint8)
NETWORKS = {
    "flat": lambda: dl.Sequential(dl.Flatten(), dl.Dense(12, 2, rng=0)),
    "nested": lambda: dl.Sequential(dl.Sequential(dl.Reshape((12,))), dl.Sequential(dl.Dense(12, 2, rng=0))),
    "convolution": lambda: dl.Sequential(dl.Conv2D(3, 2, 1, rng=0), dl.ReLU(), dl.GlobalAvgPool2D()),
    "dropout": lambda: dl.Sequential(dl.Dropout(0.1, rng=0), dl.Flatten(), dl.Dense(12, 2, rng=0)),
    "branches": lambda: dl.Sequential(
        dl.Flatten(), dl.Parallel(dl.Dense(12, 2, rng=0), dl.Dense(12, 2, rng=1)), dl.Dense(4, 2, rng=2)
    ),
}


def trainer_of(network):
    return dl.Trainer(dl.Model(network, dl.SoftmaxCrossEntropy()), dl.SGD(1e-6), rng=0)


def fit(trainer, *sets):
    trainer.fit(*(dl.Dataset(x, np.arange(len(x)) % 2) for x in sets), epochs=1, batch_size=20)


@pytest.mark.parametrize("name", NETWORKS)
def test_raw_pixels_warn_each_time_with_the_remedy(name):
    for sets in ([PIXELS], [PIXELS], [PIXELS / 255, PIXELS]):
        with pytest.warns(UserWarning, match=r"raw pixels \(uint8, up to 25.*Standardizer\(\).*255") as caught:
            fit(trainer_of(NETWORKS[name]()), *sets)
        assert caught[0].filename == __file__
        assert ("validation" in str(caught[0].message)) == (len(sets) == 2)


def test_a_warning_as_an_error_is_raised_before_anything_changes():
    trainer = trainer_of(NETWORKS["flat"]())
    fit(trainer, PIXELS.astype(np.float32))
    before = trainer.model.network.layers[1].weight.value.copy()
    for _ in range(2):
        with pytest.raises(UserWarning, match="raw pixels"):
            fit(trainer, PIXELS)
    assert (trainer.model.network.layers[1].weight.value == before).all()
    assert (trainer.epoch, trainer.step) == (1, 2)


@pytest.mark.parametrize(
    ("network", "x"),
    [
        (NETWORKS["flat"], PIXELS.astype(np.float32)),
        (NETWORKS["flat"], PIXELS / 255),
        (NETWORKS["flat"], PIXELS % 2),
        (NETWORKS["flat"], PIXELS.astype(bool)),
        (lambda: dl.Sequential(dl.BatchNorm(3), dl.Flatten(), dl.Dense(12, 2, rng=0)), PIXELS),
        (lambda: dl.Sequential(OwnActivation(), dl.Flatten(), dl.Dense(12, 2, rng=0)), PIXELS // 16),
    ],
)
def test_other_numbers_and_other_first_layers_give_no_warning(network, x):
    fit(trainer_of(network()), x)


def test_a_user_may_set_the_output_range_of_a_layer():
    layer = OwnActivation()
    layer.output_range = (0.0, np.inf)
    assert "at least 0" in limited_outputs(layer, dl.SoftmaxCrossEntropy())
