"""Parts that are not registered would not be trained: an error when the Model is created, or before the first step."""

import copy
import pickle

import numpy as np
import pytest

import minidl as dl
from minidl.nn.layers.base import HELD_BY_ALL


class Way(dl.Layer):
    """Returns x, and stores its arguments as attributes."""

    def __init__(self, **attributes):
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x, train=False):
        return x

    def backward(self, dy):
        return dy


def dense():
    return dl.Dense(3, 3, rng=0)


def model_of(layer):
    return dl.Model(dl.Sequential(layer, dl.Dense(3, 3, rng=1)), dl.SoftmaxCrossEntropy())


DATA = dl.Dataset(np.random.default_rng(0).normal(size=(30, 3)).astype("f"), np.arange(30) % 3)


def fit(model):
    return dl.Trainer(model, dl.SGD(0.1), rng=0).fit(DATA, epochs=2, batch_size=10)


@pytest.mark.parametrize(
    ("layer", "line"),
    [
        (Way(d=dense()), r'self.add_layer\("d", self.d\)'),
        (Way(blocks=[dl.ReLU(), dense()]), r'self.add_layer\("blocks_1", self.blocks\[1\]\)'),
        (Way(heads={"q": (dense(),)}), r'self.add_layer\("heads_q_0", self.heads\[\'q\'\]\[0\]\)'),
        (Way(w=dl.Parameter([1.0])), r'self.w = self.add_parameter\("w", self.w.value\)'),
        (Way(ws=[dl.Parameter([1.0])]), r'self.ws\[0\] = self.add_parameter\("ws_0", self.ws\[0\].value\)'),
        (Way(inner=Way(d=dense())), r"at '0.inner', .*self.add_layer\(\"d\", self.d\)"),
        (dl.Residual(Way(d=dense())), r"at '0.body', "),
        (Way(drop=dl.Dropout(0.5, rng=0)), r"neither trained nor saved; .*\"drop\""),
        (type("Shared", (Way,), {"d": dense()})(), r'self.add_layer\("d", self.d\)'),
    ],
)
def test_a_part_that_is_only_an_attribute_is_refused(layer, line):
    held = set(vars(layer)) - HELD_BY_ALL
    for _ in range(2):
        with pytest.raises(dl.InputError, match=f"^Model: .*{line}"):
            model_of(layer)
        # The registries are created on first use.
        assert set(vars(layer)) - HELD_BY_ALL == held
        assert not layer.named_parameters()
    if isinstance(layer, Way):
        assert not dl.check_layer(layer, DATA.x[:3]).ok


def test_references_cycles_and_layers_without_parameters_are_allowed():
    shared, loop, one, two = dense(), [], Way(act=dl.ReLU()), Way()
    loop.append(loop)
    one.loop, one.me, one.friends, two.one, one.two = loop, one, {"me": [one]}, one, two
    network = dl.Sequential(shared, Way(w=shared.weight, encoder=[shared]), one)
    history = fit(dl.Model(network, dl.SoftmaxCrossEntropy()))
    assert history["loss"][1] < history["loss"][0]


class Memory(Way):
    """Has a cache, and registered parts with several names."""

    def __init__(self):
        super().__init__()
        self.ways = [self.add_layer(str(i), dense()) for i in range(2)]
        self.active = None

    def forward(self, x, train=False):
        self.active, self._cache = self.ways[self.ways[0] is self.active], {"x": x, "way": self.active}
        self.keep(self.active)
        return self.active.forward(x, train)

    def backward(self, dy):
        (way,) = self.kept()
        self._cache = None
        return way.backward(dy)


def test_caches_and_selections_of_registered_layers_are_allowed():
    model = model_of(Memory())
    fit(model)
    fit(model.astype(np.float64))
    fit(pickle.loads(pickle.dumps(model)))


def test_a_loss_with_its_own_parameter_is_refused():
    layer, loss = dense(), dl.MeanSquaredError()
    loss._center = layer.weight
    assert dl.Model(layer, loss).parameters
    loss._center = dl.Parameter([1.0])
    with pytest.raises(dl.InputError, match=r"has Parameter.* as attribute _center; it is not trained"):
        dl.Model(dense(), loss)


class Lazy(Way):
    """Registers its parameter in the first forward, like `build` in Keras."""

    w = None

    def forward(self, x, train=False):
        if self.w is None:
            self.w = self.add_parameter("w", np.ones(3))
        return x * self.w.value


def test_a_parameter_newer_than_the_model_is_refused_before_the_first_step():
    growing = Way(blocks=[])
    for layer, words in [(Lazy(), "'0.w' is newer than the Model"), (growing, r"only as its attribute blocks\[0\],")]:
        model = model_of(layer)
        growing.blocks.append(dense())
        before = model.weights()["1.weight"].copy()
        for _ in range(2):
            with pytest.raises(dl.InputError, match=words):
                fit(model)
            assert (model.weights()["1.weight"] == before).all()
        growing.blocks.clear()


NORM = dl.BatchNorm(3)


@pytest.mark.parametrize(
    ("layer", "name", "value", "way"),
    [
        (dense(), "weight", np.zeros((3, 3)), r"layer.weight.value\[...\] = ..."),
        (dense(), "bias", None, r"layer.bias.value\[...\] = ..."),
        (NORM, "gamma", NORM.beta, r"layer.gamma.value\[...\] = ..."),
        (NORM, "running_mean", np.zeros(3), r"layer.running_mean\[...\] = ..."),
        (dl.Sequential(dense(), dl.ReLU()), "layers", (dense(),), "create a new layer"),
        (dl.Residual(dense()), "body", dl.ReLU(), "create a new layer"),
        (dl.Parallel(dense(), dense()), "branches", [], "create a new layer"),
        (pickle.loads(pickle.dumps(dense())), "weight", np.zeros((3, 3)), "in place"),
        (Memory(), "ways", [dense()], "create a new layer"),
    ],
)
def test_replacing_a_registered_part_is_refused(layer, name, value, way):
    before, held = {**layer.named_parameters(), **layer.named_buffers()}, getattr(layer, name)
    for _ in range(2):
        with pytest.raises(dl.InputError, match=f"{name} is registered.*{way}"):
            setattr(layer, name, value)
        assert getattr(layer, name) is held
        assert {**layer.named_parameters(), **layer.named_buffers()} == before


def test_values_and_buffers_change_in_place():
    layer, norm = dense(), dl.BatchNorm(3)
    layer.weight.value = np.ones((3, 3))
    layer.weight.value[...] = 2.0
    layer.weight = layer.weight
    norm.running_mean += 1.0
    assert layer.named_parameters()["weight"].value.sum() == 18
    assert norm.named_buffers()["running_mean"].tolist() == [1, 1, 1]


def test_another_network_needs_a_new_model():
    model = model_of(dl.ReLU())
    for name in ("network", "parameters"):
        with pytest.raises(AttributeError, match=name):
            setattr(model, name, getattr(model_of(dl.Tanh()), name))


def test_weights_are_copied_between_models_in_place():
    model = model_of(dl.ReLU())
    for of_model in (model.parameters, model.weights()):
        for change in (lambda d: d.update(d), lambda d: d.__setitem__("1.weight", d), lambda d: d.pop("1.weight")):
            with pytest.raises(dl.InputError, match=r"in place: model.parameters\[path\].value\[...\] = array"):
                change(of_model)
    model.parameters["1.weight"].value[...] = 2.0
    kept = copy.deepcopy(model.parameters), pickle.loads(pickle.dumps(model.weights()))
    assert [type(twin) for twin in kept] == [dict, dict]
    assert kept[0]["1.weight"].value.sum() == kept[1]["1.weight"].sum() == 18
