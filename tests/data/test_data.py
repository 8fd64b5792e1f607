import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
from minidl import CallOrderError, Dataset, InputError, NonFiniteError, ShapeError, Standardizer


def numbered(n):
    """Return n different rows, each with its number as target."""
    names = [*"abcde"] if n <= 5 else ()
    return Dataset(np.arange(n)[:, None] * [1.0, 10.0], np.arange(n), name="numbered", class_names=names)


def test_rows_are_chosen_as_in_numpy():
    data = numbered(5)
    assert len(data) == 5
    assert data[2].y.tolist() == [2]
    assert data[-1].y.tolist() == [4]
    assert data[1:3].y.tolist() == [1, 2]
    assert data[[4, 0]].x.tolist() == [[4, 40], [0, 0]]
    assert data[data.y > 2].y.tolist() == [3, 4]
    with pytest.raises(IndexError, match="no row 5"):
        data[5]


def test_map_hands_over_all_rows_and_keeps_the_original_and_the_names():
    data = numbered(3)
    mapped = data.map(lambda x: x.sum(axis=1))[:2]
    assert mapped.x.tolist() == [0, 11]
    assert (mapped.name, mapped.class_names) == ("numbered", (*"abcde",))
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
def test_the_last_batch(n, batch_size, drop_last, rng):
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
        ((i for i in range(2)), "got generator"),
        (np.array([object(), object()]), "dtype object"),
        (np.array(["2026-01-01", "2026-01-02"], "datetime64[D]"), "dtype datetime64"),
    ],
)
def test_values_other_than_arrays_of_numbers_are_refused(x, words):
    with pytest.raises(InputError, match=words):
        Dataset(x, [0, 1])


def test_numbers_without_rows_are_no_data_set():
    with pytest.raises(ShapeError, match="one target for each row"):
        Dataset(1.0, 1)


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
        (lambda: Standardizer().fit([[np.nan], [1.0]]), NonFiniteError, r"x: .* 1 not finite, .* index \(0, 0\)"),
        (lambda: Standardizer().fit([[1e200], [-1e200]]), NonFiniteError, "too large to square"),
        (lambda: Standardizer(np.int32), InputError, "dtype: expected a floating-point"),
    ],
)
def test_invalid_data_for_standardizing_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


LARGE = r"that float32 can hold.* -1.797e\+308 in row 2007, column 1"


def too_large():
    x = np.random.default_rng(0).normal(size=(2500, 3))
    x[2007, 1] = -1.797e308
    return Dataset(x, np.arange(2500) % 2)


def small_model(network=None):
    return dl.Model(network or dl.Dense(3, 2, rng=0), dl.SoftmaxCrossEntropy())


FINE = dl.Dataset(np.ones((20, 3)), np.arange(20) % 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda trainer, data: trainer.fit(data, epochs=1, batch_size=10),
        lambda trainer, data: trainer.fit(FINE, data, epochs=1, batch_size=10, nonfinite="skip"),
        lambda trainer, data: trainer.model.evaluate(data),
        lambda trainer, data: trainer.model.predict(data.x),
        lambda trainer, data: trainer.model.compute_gradients(data.x, data.y),
        lambda trainer, data: dl.Ensemble([trainer.model, small_model()]).predict(data.x),
        lambda trainer, data: dl.find_learning_rate(trainer, data),
        lambda trainer, data: dl.dead_units(trainer.model, data.x),
        lambda trainer, data: Standardizer().fit(data.x[:9])(data.x),
    ],
)
def test_numbers_that_float32_cannot_hold_are_refused_with_row_and_column_and_nothing_changes(call):
    trainer, data = dl.Trainer(small_model(), dl.SGD(0.1, 0.9), rng=0), too_large()
    before = trainer.model.network.weight.value.tobytes()
    for _ in range(2):
        with pytest.raises(InputError, match=LARGE):
            call(trainer, data)
    assert trainer.model.network.weight.value.tobytes() == before
    assert (trainer.epoch, trainer.step, trainer.history.rows, trainer.optimizer.state) == (0, 0, [], {})


def test_a_float64_model_holds_them_and_integers_and_infinity_are_no_matter_of_the_cast():
    x = np.array([[1e300, -1e300, 1.0]])
    assert small_model().astype(np.float64).predict(x).shape == (1,)
    assert small_model().predict(np.full((2, 3), 2**62)).shape == (2,)
    with pytest.raises(NonFiniteError, match="x: expected finite numbers, got 1 "):
        small_model().predict([[np.inf, 0.0, 1.0]])


def test_sanity_check_and_images_name_the_place_too():
    (fault,) = dl.sanity_check(dl.Trainer(small_model(), dl.SGD(0.1)), too_large()).faults
    assert (fault.name, "row 2007, column 1" in fault.sentence) == ("inputs", True)
    images = np.zeros((3, 2, 2, 3))
    images[1, 0, 1, 2] = 1e39
    with pytest.raises(InputError, match=r"got 1e\+39 in row 1, column 0, 1, 2;"):
        small_model(dl.Sequential(dl.Flatten(), dl.Dense(12, 2, rng=0))).predict(images)


def test_targets_that_float32_cannot_hold_are_refused_too():
    y = np.zeros((20, 1))
    y[9] = 1e200
    model, data = dl.Model(dl.Dense(3, 1, rng=0), dl.MeanSquaredError()), Dataset(np.ones((20, 3)), y)
    with pytest.raises(InputError, match=r"train.y: .* float32 can hold.* 1e\+200 in row 9, column 0"):
        dl.Trainer(model, dl.SGD(0.1)).fit(data, epochs=1, batch_size=10)
    with pytest.raises(InputError, match=r"targets: .* 1e\+200 in row 9, column 0"):
        model.evaluate(data)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({0: "a", 1: "b", 2: "c"}, r"got \{0: 'a'.*; write \[names\[k\] for k"),
        ("abc", "got 'abc'; write a list"),
        ([0, 1, 2], r"write \[str\(name\)"),
        (np.array("abc"), "write a list"),
        ((name for name in "abc"), "write a list"),
        (["a", "b"], "got 2 names, but label 2 needs 3"),
    ],
)
def test_class_names_that_are_none_or_too_few_are_refused(names, words):
    for _ in range(2):
        with pytest.raises(InputError, match=f"Dataset: expected class_names .*{words}"):
            Dataset(np.eye(3), [0, 1, 2], class_names=names)


def test_names_in_an_array_become_plain_texts():
    names, y = np.unique(["cat", "dog", "cat"], return_inverse=True)
    for kind in (names, list(names)):
        data = Dataset(np.eye(3), y, class_names=kind)
        assert data.class_names == ("cat", "dog")
        assert {type(name) for name in data.class_names} == {str}


def test_more_names_than_labels_are_fine_until_the_network_has_fewer_outputs():
    data = Dataset(np.eye(3), [0, 1, 1], class_names=["a", "b", "c"])
    dl.Trainer(small_model(dl.Dense(3, 3, rng=0)), dl.SGD(0.1)).fit(data, epochs=1, batch_size=3)
    trainer = dl.Trainer(small_model(), dl.SGD(0.1))
    for train, validation in ((data, None), (FINE, data)):
        with pytest.raises(InputError, match=r"one for each of the network's 2 outputs, got 3; .*names\[:2\]"):
            trainer.fit(train, validation, epochs=1, batch_size=3)
    assert trainer.step == 0
    regression = dl.Model(dl.Dense(3, 1, rng=0), dl.MeanSquaredError())
    numbers = Dataset(np.eye(3), np.ones((3, 1)), class_names=["a", "b"])
    dl.Trainer(regression, dl.SGD(0.1)).fit(numbers, epochs=1, batch_size=3)


def test_batches_are_rows_of_x_however_it_lies_in_memory():
    x = np.arange(60, dtype=np.float32).reshape(10, 6)
    raw = np.zeros(x.nbytes + 1, np.uint8)
    unaligned = raw[1:].view(np.float32).reshape(x.shape)
    unaligned[...] = x
    locked = x.copy()
    locked.flags.writeable = False
    for same in (x, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], unaligned, locked, x.astype(">f4")):
        batches = Dataset(same, np.arange(10)).batches(4, np.random.default_rng(0))
        for rows, y in batches:
            np.testing.assert_array_equal(rows, x[y])
            assert rows.base is not same
            rows += 1
    np.testing.assert_array_equal(x, np.arange(60).reshape(10, 6))
