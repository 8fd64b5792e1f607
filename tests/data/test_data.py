import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import CallOrderError, Dataset, InputError, NonFiniteError, ShapeError, Standardizer


def numbered(n):
    """n rows that can be told apart, each with its own number as target."""
    return Dataset(np.arange(n)[:, None] * [1.0, 10.0], np.arange(n), name="numbered", class_names=["a", "b"])


def test_rows_are_chosen_as_in_numpy():
    data = numbered(5)
    assert len(data) == 5
    assert data[2].y.tolist() == [2]
    assert data[-1].y.tolist() == [4]
    assert data[1:3].y.tolist() == [1, 2]
    assert data[[4, 0]].x.tolist() == [[4, 40], [0, 0]]
    assert data[data.y > 2].y.tolist() == [3, 4]
    with pytest.raises(IndexError, match="row 5 of 5"):
        data[5]


def test_names_travel_along():
    data = numbered(5).map(lambda x: x * 2)[:2]
    assert data.name == "numbered"
    assert data.class_names == ("a", "b")
    assert data.x.tolist() == [[0, 0], [2, 20]]


def test_map_hands_over_all_rows_and_keeps_the_original():
    data = numbered(3)
    assert data.map(lambda x: x.sum(axis=1)).x.tolist() == [0, 11, 22]
    assert data.x.shape == (3, 2)
    with pytest.raises(ShapeError, match="one target for each row"):
        data.map(lambda x: x[:2])


@given(st.integers(0, 30), st.integers(1, 40), st.none() | st.integers(0, 5))
def test_batches_hold_every_row_once_with_its_target(n, batch_size, rng):
    batches = list(numbered(n).batches(batch_size, rng))
    assert sorted(label for _, y in batches for label in y) == list(range(n))
    assert all((x[:, 0] == y).all() for x, y in batches)
    assert all(len(y) == batch_size for _, y in batches[:-1])


@given(st.integers(0, 30), st.integers(1, 40), st.sampled_from([False, True, "merge"]), st.none() | st.integers(0, 5))
def test_what_becomes_of_a_last_batch(n, batch_size, drop_last, rng):
    data = numbered(n)
    plain = [y.tolist() for _, y in data.batches(batch_size, rng)]
    if plain and drop_last is True and len(plain[-1]) < batch_size:
        plain.pop()
    if drop_last == "merge" and len(plain) > 1 and len(plain[-1]) == 1 < batch_size:
        plain[-2:] = [plain[-2] + plain[-1]]
    for first in (0, 1, 3):
        batches = list(data.batches(batch_size, rng, first=first, drop_last=drop_last))
        assert [y.tolist() for _, y in batches] == plain[first:]
        assert all((x[:, 0] == y).all() for x, y in batches)
    assert data.count_batches(batch_size, drop_last) == len(plain)


@pytest.mark.parametrize("drop_last", [0, 1, None, "keep"])
def test_drop_last_is_one_of_three(drop_last):
    with pytest.raises(InputError, match="drop_last: expected True, False or 'merge', got"):
        numbered(3).batches(2, drop_last=drop_last)


def test_without_a_seed_rows_keep_their_order_and_with_one_they_are_shuffled_by_it():
    def order(rng):
        return [int(label) for _, y in numbered(50).batches(7, rng) for label in y]

    assert order(None) == list(range(50))
    assert order(1) == order(1) == order(np.random.default_rng(1))
    assert order(1) != order(2)
    assert order(1) != order(None)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True, "3", None])
def test_a_batch_size_is_a_positive_integer(batch_size):
    with pytest.raises(InputError, match="batch_size: expected an integer >= 1"):
        numbered(3).batches(batch_size)


@pytest.mark.parametrize("rng", [-1, 1.5, "seed", True, np.random.RandomState(0)])
def test_a_seed_is_a_non_negative_integer_or_a_generator(rng):
    with pytest.raises(InputError, match="rng: expected a non-negative integer"):
        numbered(3).batches(2, rng)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ([[1.0], [2.0, 3.0]], "rows of equal length"),
        (None, "got NoneType"),
        ({"a": 1}, "got dict"),
        ("text", "got str"),
        ((i for i in range(2)), "got generator"),
        (np.array([object(), object()]), "dtype object"),
        (np.zeros((2, 1), complex), "dtype complex128"),
        (np.array(["2026-01-01", "2026-01-02"], "datetime64[D]"), "dtype datetime64"),
        (np.ma.masked_array([[1.0], [2.0]], [[True], [False]]), "masked"),
    ],
)
def test_what_is_not_an_array_of_numbers_is_refused(x, words):
    with pytest.raises(InputError, match=words):
        Dataset(x, [0, 1])


def test_x_and_y_have_one_length():
    with pytest.raises(ShapeError, match=r"x of shape \(2, 3\) and y of shape \(3,\); rows are samples"):
        Dataset(np.zeros((2, 3)), [0, 1, 2])
    with pytest.raises(ShapeError):
        Dataset(1.0, 1)


def test_lists_become_arrays_and_arrays_are_not_copied():
    assert Dataset([[1, 2]], (0,)).x.shape == (1, 2)
    x = np.zeros((2, 2))
    assert Dataset(x, [0, 1]).x is x


def test_a_standardized_training_set_has_mean_0_and_std_1(rng):
    x = rng.integers(0, 256, (3000, 5)).astype(np.uint8)
    z = Standardizer(np.float64).fit(x)(x)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(z.std(axis=0), 1, rtol=1e-12)


@pytest.mark.parametrize(
    ("train", "x", "expected"),
    [
        ([1.0, 3.0], [5.0], [3.0]),
        ([[0.0], [2.0]], [[1.0], [5.0]], [[0.0], [4.0]]),
        (np.array([[0], [255]], np.uint8), np.array([[0], [255]], np.uint8), [[-1.0], [1.0]]),
        # A feature that is constant in training alone keeps its unit.
        ([[14.62]] * 7, [[15.62]], [[1.0]]),
    ],
    ids=["no axis for the features", "another set", "bytes", "constant"],
)
def test_rows_are_scaled_by_the_training_set_to_float32(train, x, expected):
    z = Standardizer().fit(train)(x)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z, expected, rtol=1e-6)


@given(st.floats(-1e6, 1e6), st.integers(1, 3000))
def test_a_constant_feature_is_only_shifted(value, n):
    x = np.full((n, 1), value)
    z = Standardizer(np.float64).fit(x)(x)
    assert np.abs(z).max() <= 1e-12 * n * abs(value)  # the rounding of the mean, and nothing blown up by it


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Standardizer()([[1.0]]), CallOrderError, "call fit"),
        (lambda: Standardizer().fit(np.zeros((0, 3))), InputError, "at least one row"),
        (lambda: Standardizer().fit([[np.nan], [1.0]]), NonFiniteError, r"x: .* 1 that are not, .* index \(0, 0\)"),
        (lambda: Standardizer().fit([[1e200], [-1e200]]), NonFiniteError, "too large to be squared"),
        (lambda: Standardizer(np.int32), InputError, "dtype: expected a floating-point"),
        (
            lambda: Standardizer().fit(np.zeros((4, 2)))(np.zeros((1, 3))),
            ShapeError,
            r"\(2,\), got an x of .* \(1, 3\)",
        ),
    ],
)
def test_what_cannot_be_standardized_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
