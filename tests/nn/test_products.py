"""Products in pieces equal whole products."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minidl.nn import arithmetic as products
from minidl.nn.arithmetic import product

EDGES = [1, products.NARROW, products.NARROW + 1, products.FEWEST, 100, 101]


@pytest.fixture(autouse=True, params=[True, False], ids=["in pieces", "whole"])
def in_pieces(request, monkeypatch):
    """Test with and without pieces on every machine."""
    monkeypatch.setattr(products, "IN_PIECES", request.param)


def draw(rng, shape, order, dtype):
    return np.asarray(rng.normal(size=shape), dtype=dtype, order=order)


def assert_same_product(got, a, b):
    exact = a.astype(np.float64) @ b.astype(np.float64)
    bound = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    assert got.shape == exact.shape
    assert got.dtype == a.dtype
    assert (np.abs(got - exact) <= a.shape[1] * np.finfo(a.dtype).eps * bound).all()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the fixture is the same for every example
@given(
    m=st.sampled_from(EDGES) | st.integers(1, 300),
    k=st.integers(1, 40),
    n=st.sampled_from(EDGES) | st.integers(1, 300),
    orders=st.tuples(st.sampled_from("CF"), st.sampled_from("CF"), st.sampled_from("CF")),
    dtype=st.sampled_from([np.float32, np.float64]),
    piece=st.integers(1, 5000),
    seed=st.integers(0, 100),
)
def test_every_way_gives_the_product(m, k, n, orders, dtype, piece, seed):
    rng = np.random.default_rng(seed)
    a, b = draw(rng, (m, k), orders[0], dtype), draw(rng, (k, n), orders[1], dtype)
    before = a.copy(), b.copy()
    out = np.full((m, n), np.nan, dtype, order=orders[2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "PIECE", piece)  # so that small matrices go through many pieces and two threads
        assert product(a, b, out) is out
        assert_same_product(product(a, b), a, b)
    assert_same_product(out, a, b)
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(b, before[1])


@pytest.mark.parametrize("rows", [99, 100, 101, 1000, 1234])
def test_the_sizes_of_the_main_job(rows):
    rng = np.random.default_rng(0)
    x, weight = draw(rng, (rows, 3072), "C", np.float32), draw(rng, (3072, 10), "F", np.float32)
    dy = draw(rng, (rows, 10), "C", np.float32)
    assert_same_product(product(x, weight), x, weight)
    assert_same_product(product(dy.T, x), dy.T, x)


def test_views_with_gaps_and_empty_sides():
    rng = np.random.default_rng(0)
    a, b = draw(rng, (400, 9000), "C", np.float32)[::2, ::3], draw(rng, (6000, 10), "C", np.float32)[::2]
    assert_same_product(product(a, b), a, b)
    for m, k, n in [(0, 3, 4), (3, 0, 4), (3, 4, 0)]:
        assert_same_product(product(np.ones((m, k)), np.ones((k, n))), np.ones((m, k)), np.ones((k, n)))
