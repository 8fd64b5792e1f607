import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from small_parts import Scale

from minidl import CallOrderError, Dense, Flatten, InputError, Layer, Normal, ReLU, Sequential, ShapeError, Softmax
from minidl import numerical_gradient as slope

LAYERS = {
    "Dense": lambda dtype: Dense(4, 3, rng=0, dtype=dtype),
    "Dense without bias": lambda dtype: Dense(4, 3, bias=False, rng=0, dtype=dtype),
    "ReLU": lambda dtype: ReLU(),
    "Scale": lambda dtype: Scale(4),
    "two layers": lambda dtype: Sequential(Dense(4, 5, rng=0, dtype=dtype), ReLU(), Dense(5, 3, rng=1, dtype=dtype)),
    "nested": lambda dtype: Sequential(Sequential(Dense(4, 2, rng=0, dtype=dtype)), Sequential()),
}
every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())


def off_the_kinks(rng, shape):
    """Numbers at least 0.1 away from 0, of both signs."""
    return rng.uniform(0.1, 1.0, shape) * rng.choice([-1.0, 1.0], shape)


@every_layer
def test_backward_agrees_with_central_differences(make, rng):
    layer = make(np.float64)
    x = off_the_kinks(rng, (3, 4))
    y = layer.forward(x, train=True)
    dy = rng.normal(size=y.shape)  # signed and uneven: with ones, rows that sum to a constant would hide errors
    dx = layer.backward(dy)
    np.testing.assert_allclose(dx, slope(lambda x: (layer.forward(x) * dy).sum(), x), atol=1e-8)
    for path, parameter in layer.named_parameters().items():
        original = parameter.value.astype(np.float64)

        def projected(value, parameter=parameter):
            parameter.value = value
            return (layer.forward(x) * dy).sum()

        if parameter.value.dtype == np.float64:
            np.testing.assert_allclose(parameter.grad, slope(projected, original), atol=1e-8, err_msg=path)
        else:  # Scale keeps float32: its slope is exact in its one multiplication, but the gain is rounded
            np.testing.assert_allclose(parameter.grad, slope(projected, original, step=0.25), atol=1e-6, err_msg=path)
        parameter.value = original


@every_layer
def test_backward_parameters_adds_the_same_gradients_as_backward(make, rng):
    one, other = make(np.float64), make(np.float64)
    x = rng.normal(size=(3, 4))
    dy = rng.normal(size=one.forward(x, train=True).shape)
    other.forward(x, train=True)
    one.backward(dy)
    other.backward_parameters(dy)
    for path, parameter in one.named_parameters().items():
        np.testing.assert_array_equal(parameter.grad, other.named_parameters()[path].grad)
    with pytest.raises(CallOrderError):
        other.backward_parameters(dy)


@every_layer
@pytest.mark.parametrize("own", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_in_is_dtype_out(make, own, dtype, rng):
    layer = make(own)
    x = rng.normal(size=(3, 4)).astype(dtype)
    y = layer.forward(x, train=True)
    assert y.dtype == dtype
    assert layer.backward(np.ones_like(y)).dtype == dtype


@every_layer
def test_callers_arrays_are_never_changed(make, rng):
    layer = make(np.float32)
    x = rng.normal(size=(3, 4)).astype(np.float32)
    x.flags.writeable = False
    dy = rng.normal(size=layer.forward(x, train=True).shape).astype(np.float32)
    dy.flags.writeable = False
    layer.backward(dy)  # writing into a read-only array would raise
    assert not x.flags.writeable


@every_layer
def test_backward_wants_one_train_forward_each(make, rng):
    layer = make(np.float32)
    x = rng.normal(size=(3, 4)).astype(np.float32)
    dy = np.ones_like(layer.forward(x))
    with pytest.raises(CallOrderError, match="train=True"):
        layer.backward(dy)
    layer.forward(x, train=True)
    layer.forward(2 * x)  # measuring in between changes nothing
    layer.backward(dy)
    with pytest.raises(CallOrderError, match="one backward"):
        layer.backward(dy)


@every_layer
def test_rows_do_not_depend_on_each_other(make, rng):
    layer, x = make(np.float64), rng.normal(size=(5, 4))
    parts = np.concatenate([layer.forward(x[:2]), layer.forward(x[2:])])
    np.testing.assert_allclose(layer.forward(x), parts, rtol=1e-12)


@every_layer
def test_output_shape_is_what_forward_gives(make, rng):
    layer = make(np.float32)
    y = layer.forward(rng.normal(size=(2, 4)).astype(np.float32))
    assert y.shape[1:] == layer.output_shape((4,))


@every_layer
def test_memory_order_of_the_input_does_not_matter(make, rng):
    layer, x = make(np.float64), rng.normal(size=(6, 4))
    for other in (np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2], x[::-1][::-1]):
        np.testing.assert_allclose(layer.forward(other), layer.forward(x), rtol=1e-14)


def test_dense_is_the_affine_map_it_says(rng):
    layer, x = Dense(3, 2, rng=0, dtype=np.float64), rng.normal(size=(5, 3))
    layer.bias.value = [1.0, -1.0]
    expected = [
        [sum(x[i, k] * layer.weight.value[k, j] for k in range(3)) + [1, -1][j] for j in (0, 1)] for i in range(5)
    ]
    np.testing.assert_allclose(layer.forward(x), expected)
    assert layer.weight.value.shape == (3, 2)


@pytest.mark.parametrize("shape", [(5, 4), (3,), (2, 3, 1), (3, 5)])
def test_dense_refuses_rows_of_another_width(shape):
    with pytest.raises(ShapeError, match=r"Dense\(3, 2\): expected x of shape \(n, 3\), got"):
        Dense(3, 2).forward(np.zeros(shape))


def test_samples_in_columns_get_a_hint():
    with pytest.raises(ShapeError, match="transpose an x that has them in columns"):
        Dense(3, 2).forward(np.zeros((3, 5)))


@pytest.mark.parametrize("shape", [(2, 4), (1, 2), (2,)])
def test_a_wrong_dy_is_refused(shape):
    for layer in (Dense(3, 2), Sequential(Dense(3, 2), ReLU())):
        layer.forward(np.zeros((4, 3)), train=True)
        with pytest.raises(ShapeError, match=r"expected dy of shape \(4, 2\), got"):
            layer.backward(np.zeros(shape))


def test_relu_lets_nothing_through_where_it_is_off():
    layer = ReLU()
    layer.forward(np.array([-1.0, 1.0]), train=True)
    assert layer.backward(np.array([1e300, 1.0])).tolist() == [0, 1]


@pytest.mark.parametrize("init", ["xavier", Normal, 0.01, np.zeros((3, 2))])
def test_dense_takes_an_initializer_and_nothing_else(init):
    with pytest.raises(InputError, match="expected weight_init to be an Initializer"):
        Dense(3, 2, weight_init=init)


def test_an_initializer_of_ones_own_must_keep_to_the_shape():
    class Turned(Normal):
        def __call__(self, shape, rng):
            return super().__call__(shape[::-1], rng)

    with pytest.raises(ShapeError, match=r"shape \(3, 2\), got \(2, 3\)"):
        Dense(3, 2, weight_init=Turned(1.0))


@pytest.mark.parametrize("dtype", [int, complex, "foo", None, bool])
def test_parameters_are_floating_point_numbers(dtype):
    with pytest.raises(InputError, match="dtype: expected a floating-point dtype"):
        Dense(3, 2, dtype=dtype)


def test_foreign_byte_order_is_turned_around_or_refused():
    assert Dense(3, 2, dtype=">f8").weight.value.dtype == np.float64
    with pytest.raises(InputError, match="native byte order, got dtype >f4"):
        Dense(3, 2).forward(np.zeros((1, 3), ">f4"))


def test_the_container_says_which_layer_refused():
    network = Sequential(Dense(3, 4), Sequential(ReLU(), Dense(5, 2)))
    with pytest.raises(
        ShapeError, match=r"layer 1: layer 1: Dense\(5, 2\): expected x of shape \(n, 5\), got \(1, 4\)"
    ):
        network.forward(np.zeros((1, 3)))
    with pytest.raises(ShapeError, match=r"layer 1: layer 1: Dense\(5, 2\)"):
        network.output_shape((3,))


@pytest.mark.parametrize("x", [np.zeros((2, 3), int), [[0.0, 0.0, 0.0]], None, np.zeros((2, 3), complex)])
def test_layers_take_floating_point_arrays(x):
    for layer in (Dense(3, 2), ReLU()):
        with pytest.raises(InputError, match="floating-point array"):
            layer.forward(x)


@pytest.mark.parametrize("features", [0, -1, 2.0, True, "3", None])
def test_dense_refuses_impossible_sizes(features):
    with pytest.raises(InputError, match="in_features: expected an integer >= 1"):
        Dense(features, 2)
    with pytest.raises(InputError, match="out_features: expected an integer >= 1"):
        Dense(2, features)


def test_the_same_seed_draws_the_same_weights_in_every_dtype():
    single, double = (
        Dense(4, 3, weight_init=Normal(0.1), rng=7, dtype=d).weight.value for d in (np.float32, np.float64)
    )
    np.testing.assert_array_equal(single, double.astype(np.float32))


def test_a_bias_is_not_penalized():
    parameters = Dense(4, 3).named_parameters()
    assert {path: p.penalized for path, p in parameters.items()} == {"weight": True, "bias": False}


def test_paths_follow_the_nesting():
    network = Sequential(Dense(4, 3), ReLU(), Sequential(Dense(3, 2), Scale(2)))
    assert list(network.named_parameters()) == ["0.weight", "0.bias", "2.0.weight", "2.0.bias", "2.1.gain"]


def test_a_thousand_layers_in_a_row_work():
    network = Sequential(*(ReLU() for _ in range(1000)))
    x = np.ones((1, 2))
    np.testing.assert_array_equal(network.forward(x, train=True), x)
    np.testing.assert_array_equal(network.backward(x), x)


def test_buffers_are_found_by_path_and_changed_in_place():
    class Counter(ReLU):
        def __init__(self):
            super().__init__()
            self.count = self.add_buffer("count", 0.0)

    network = Sequential(Counter())
    network.layers[0].count += 3
    assert network.named_buffers()["0.count"] == 3
    assert network.named_parameters() == {}


def test_forgetting_to_call_the_base_constructor_does_no_harm():
    class Forgetful(ReLU):
        def __init__(self):
            self.gain = self.add_parameter("gain", np.ones(1))

    assert list(Sequential(Forgetful(), Forgetful()).named_parameters()) == ["0.gain", "1.gain"]
    assert copy.deepcopy(Forgetful()).named_parameters()["gain"].value == 1


@pytest.mark.parametrize("name", ["weight", "", "a.b"])
def test_a_name_is_new_and_has_no_dot(name):
    layer = Dense(2, 2)
    with pytest.raises(InputError, match="expected a new name without a dot"):
        layer.add_parameter(name, np.ones(2))


def test_a_container_takes_layers_alone():
    with pytest.raises(InputError, match=r"Sequential: expected layer 1 to be a Layer, got <class .*; write ReLU\(\)$"):
        Sequential(Dense(1, 1), ReLU)
    with pytest.raises(InputError, match=r"layer 0 to be a Layer, got a list; write Sequential\(layer, layer, "):
        Sequential([Dense(1, 1), ReLU()])
    with pytest.raises(InputError, match=r"layer 0 to be a Layer, got ndarray of shape \(30, 30\)$"):
        Sequential(np.zeros((30, 30)))


@pytest.mark.parametrize("make", [lambda: ReLU(0.1), lambda: Flatten(1), lambda: Softmax(axis=0), lambda: Counting(1)])
def test_an_argument_that_a_layer_does_not_know_is_refused(make):
    with pytest.raises(TypeError, match="argument"):
        make()


class Counting(ReLU):
    def __init__(self):  # forgets the base constructor
        self.count = self.add_buffer("count", 2**53 + 1, dtype=np.int64)
        self.mean = self.add_buffer("mean", 0.5)


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net)), lambda n: n.astype("f8")])
def test_copies_share_nothing_and_a_counter_stays_an_integer(twin):
    network = Sequential(Counting(), Dense(2, 3))
    other = twin(network)
    assert list(other.named_parameters()) == ["1.weight", "1.bias"]
    assert other.layers[0].count is other.named_buffers()["0.count"]
    assert (other.layers[0].count.dtype, other.layers[0].count) == (np.int64, 2**53 + 1)
    other.layers[0].count += 1
    assert network.layers[0].count == 2**53 + 1
    assert network.astype("f8").layers[0].mean.dtype == np.float64


@pytest.mark.parametrize("dtype", [bool, complex, str, None, object])
def test_buffers_are_numbers(dtype):
    with pytest.raises(InputError, match="dtype: expected a floating-point or integer dtype"):
        ReLU().add_buffer("b", 0, dtype=dtype)


def test_a_layer_must_define_forward_and_backward():
    with pytest.raises(TypeError, match="abstract"):
        Layer()


@given(
    arrays(
        np.float32, st.tuples(st.integers(0, 4), st.integers(0, 4)), elements=st.floats(-(2.0**100), 2.0**100, width=32)
    )
)
def test_relu_is_the_larger_of_x_and_zero(x):
    y = ReLU().forward(x)
    assert y.shape == x.shape
    assert all(b == max(a, 0.0) for a, b in zip(x.flat, y.flat, strict=True))


def test_the_slope_of_relu_at_its_kink_is_zero():
    layer = ReLU()
    layer.forward(np.array([[-1.0, 0.0, 2.0]]), train=True)
    assert layer.backward(np.array([[5.0, 5.0, 5.0]])).tolist() == [[0, 0, 5]]


def test_representations_read_like_the_code():
    assert repr(Sequential(Dense(4, 3), ReLU(), Dense(3, 2, bias=False))) == (
        "Sequential(Dense(4, 3), ReLU(), Dense(3, 2, bias=False))"
    )
