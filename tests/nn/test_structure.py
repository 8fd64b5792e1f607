"""Flatten, Reshape, Residual and Parallel; and the errors of containers for wrong shapes."""

import numpy as np
import pytest

import minidl as dl
from minidl import Dense, Flatten, InputError, Layer, Parallel, ReLU, Reshape, Residual, Sequential, ShapeError

# ---- shape


@pytest.mark.parametrize(
    ("layer", "row"), [(Flatten(), (16,)), (Reshape((4, -1)), (4, 4)), (Reshape((-1,)), (16,))], ids=repr
)
def test_entries_keep_their_order_for_any_memory_layout(layer, row, rng):
    x = rng.normal(size=(3, 2, 4, 2))
    for same in (x, np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2]):
        y = layer.forward(same, train=True)
        assert y.shape == (3, *row)
        assert list(y.flat) == list(x.flat)
        np.testing.assert_array_equal(layer.backward(y.copy()), x)


def test_reshaping_returns_views_where_possible():
    x, dy = np.ones((2, 3, 4)), np.ones((2, 12))
    for layer in (Flatten(), Reshape((12,))):
        assert np.shares_memory(layer.forward(x, train=True), x)
        assert np.shares_memory(layer.backward(dy), dy)


def test_one_number_per_row_becomes_a_column():
    assert Flatten().forward(np.zeros(3)).shape == (3, 1)
    assert Flatten().output_shape(()) == (1,)


# ---- Residual and Parallel


def test_residual_is_the_sum_of_body_and_shortcut(rng):
    body, shortcut, x = Dense(4, 3, rng=0), Dense(4, 3, rng=1), rng.normal(size=(2, 4))
    np.testing.assert_allclose(Residual(body, shortcut).forward(x), body.forward(x) + shortcut.forward(x))
    square = Dense(4, 4, rng=2)
    np.testing.assert_allclose(Residual(square).forward(x), square.forward(x) + x)


def test_parallel_concatenates_its_branches(rng):
    one, other, x = Dense(4, 3, rng=0), Dense(4, 1, rng=1), rng.normal(size=(2, 4))
    np.testing.assert_allclose(Parallel(one, other).forward(x), np.hstack([one.forward(x), other.forward(x)]))
    images = rng.normal(size=(2, 3, 3, 2))
    assert Parallel(ReLU(), dl.Tanh()).forward(images).shape == (2, 3, 3, 4)


def test_parameters_are_named_by_place():
    block = Residual(Sequential(Dense(4, 4), Parallel(Dense(4, 2), Dense(4, 2))), Dense(4, 4, bias=False))
    assert list(block.named_parameters()) == [
        *("body.0.weight", "body.0.bias", "body.1.0.weight", "body.1.0.bias", "body.1.1.weight", "body.1.1.bias"),
        "shortcut.weight",
    ]


@pytest.mark.parametrize("shortcut", [None, Dense(4, 5)], ids=["identity", "shortcut"])
def test_residual_refuses_body_and_shortcut_of_different_shapes(shortcut):
    network = Sequential(ReLU(), Residual(Dense(4, 3), shortcut))
    width = 4 if shortcut is None else 5
    wanted = rf"layer 1: Residual\(.*: expected .* of the same shape, got \(3,\) and \({width},\); pass a shortcut"
    with pytest.raises(ShapeError, match=wanted):
        network.output_shape((4,))
    with pytest.raises(ShapeError, match=wanted):
        network.forward(np.zeros((2, 4)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Residual(ReLU), "to be a Layer"),
        (lambda: Parallel(ReLU(), np.zeros((30, 30))), "to be a Layer"),
        (lambda: Parallel(), "expected at least one branch"),
        (lambda: Parallel((ReLU(), ReLU())), r"branch 0 to be a Layer, got a tuple; write Parallel\(branch"),
    ],
)
def test_containers_accept_only_layers(make, words):
    with pytest.raises(InputError, match=words):
        make()


# ---- places in errors


def test_an_error_names_the_place_in_nested_containers():
    network = Sequential(ReLU(), Residual(Sequential(Dense(4, 3), Parallel(ReLU(), Dense(5, 2)))))
    place = r"^layer 1: body: layer 1: branch 1: Dense\(5, 2\): expected "
    with pytest.raises(ShapeError, match=place + r"x of shape \(n, 5\), got \(2, 3\)$"):
        network.forward(np.zeros((2, 4)))
    with pytest.raises(ShapeError, match=place + r"rows of shape \(5,\), got \(3,\)$"):
        network.output_shape((4,))
    with pytest.raises(ShapeError, match=r"^shortcut: Dense\(5, 4\)"):
        Residual(ReLU(), Dense(5, 4)).forward(np.zeros((2, 4)))


def test_sequential_says_where_a_wrong_shape_comes_from():
    network = Sequential(Dense(4, 3), ReLU(), Dense(5, 2))
    for call in (lambda: network.forward(np.zeros((2, 4))), lambda: network.output_shape((4,))):
        with pytest.raises(ShapeError, match=r"^layer 2: Dense\(5, 2\): .*; layer 1, ReLU\(\), returns shape \(3,\)$"):
            call()
    with pytest.raises(ShapeError, match=r"^layer 0: Dense\(4, 3\): expected x of shape \(n, 4\), got \(2, 5\)$"):
        network.forward(np.zeros((2, 5)))


def test_an_error_that_is_not_about_shapes_stays_an_input_error():
    class Choosy(ReLU):
        def forward(self, x, train=False):
            raise InputError("not today")

    with pytest.raises(InputError, match=r"^layer 1: body: not today$") as caught:
        Sequential(ReLU(), Residual(Choosy())).forward(np.zeros((1, 2)))
    assert not isinstance(caught.value, ShapeError)


def test_a_body_that_returns_nothing_is_named():
    class Mute(ReLU):
        def forward(self, x, train=False):
            super().forward(x, train)

    for make, name in ((Residual, r"body\.forward"), (Parallel, r"branch 0\.forward")):
        with pytest.raises(InputError, match=rf"{name}: expected it to return an array, got NoneType"):
            make(Mute()).forward(np.zeros((1, 2)))


# ---- a thousand layers


@pytest.mark.parametrize(
    "block", [lambda: Residual(Dense(3, 3)), lambda: Parallel(Dense(3, 2), Dense(3, 1)), lambda: Dense(3, 3)]
)
def test_a_thousand_layers_in_sequence_work(block):
    network: Layer = Sequential(*(block() for _ in range(1000)))
    parameters = network.named_parameters()
    assert len(parameters) == 1000 * len(block().named_parameters())
    for parameter in parameters.values():
        parameter.value *= 1e-3
    assert network.output_shape((3,)) == (3,)
    y = network.forward(np.ones((1, 3)), train=True)
    assert np.isfinite(network.backward(np.ones_like(y))).all()
    assert len(list(network.astype(np.float64).walk())) == len(list(network.walk()))


def test_a_summary_lists_body_and_shortcut():
    network = Sequential(Residual(Dense(4, 3), Dense(4, 3)), Parallel(ReLU(), Flatten()))
    assert [(path, shape) for path, _, shape in network.output_shapes((4,))] == [
        *(("0.body.", (3,)), ("0.shortcut.", (3,)), ("0.", (3,))),
        *(("1.0.", (3,)), ("1.1.", (3,)), ("1.", (6,))),
    ]
