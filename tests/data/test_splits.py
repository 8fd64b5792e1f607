"""Splitting and joining datasets: complete, disjoint, with exact numbers per class."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minidl import Dataset, InputError, train_validation_split

NAMES = tuple("abcdefgh")
LABELS = st.lists(st.sampled_from([0, 1, 2, 7]), min_size=2, max_size=40)


def numbered(y):
    """Different rows: each is its own number."""
    return Dataset(np.arange(len(y)), np.array(y), name="numbered", source="here", class_names=NAMES)


@given(LABELS, st.data(), st.booleans(), st.integers(0, 3))
def test_parts_are_complete_disjoint_of_exact_size_and_in_order(y, data, stratify, seed):
    count = data.draw(st.integers(1, len(y) - 1))
    parts = train_validation_split(numbered(y), count, seed, stratify)
    train, validation = (part.x.tolist() for part in parts)
    assert sorted(train + validation) == list(range(len(y)))
    assert len(validation) == count
    assert (train, validation) == (sorted(train), sorted(validation))
    for part in parts:
        assert part.y.tolist() == [y[row] for row in part.x]
        assert (part.name, part.source, part.class_names) == ("numbered", "here", NAMES)


@given(LABELS, st.data(), st.integers(0, 3))
def test_each_class_has_its_share_to_within_one_row(y, data, seed):
    count = data.draw(st.integers(1, len(y) - 1))
    _, validation = train_validation_split(numbered(y), count, seed)
    for label in set(y):
        assert abs(validation.y.tolist().count(label) - Fraction(count * y.count(label), len(y))) < 1


@given(LABELS, st.floats(0.01, 0.99))
def test_a_share_is_rounded_to_rows(y, share):
    count = round(share * len(y))
    assume(1 <= count < len(y))
    assert len(train_validation_split(numbered(y), share)[1]) == count
    assert len(train_validation_split(numbered(y), np.float32(share))[1]) == round(float(np.float32(share)) * len(y))


@pytest.mark.parametrize("stratify", [True, False])
def test_the_seed_decides_and_is_0_unless_given(stratify):
    data = numbered([0, 1] * 50)

    def rows(*rng):
        return train_validation_split(data, 20, *rng, stratify=stratify)[1].x.tolist()

    assert rows() == rows(0) == rows(np.random.default_rng(0))
    assert rows(1) == rows(1) != rows(2)


@pytest.mark.parametrize("stratify", [True, False])
def test_each_row_is_as_likely_as_another(stratify):
    data, counts = numbered([0] * 10 + [1] * 20), np.zeros(30)
    for seed in range(600):
        counts[train_validation_split(data, 6, seed, stratify)[1].x] += 1
    # 120 on the average, standard deviation 600 * 0.2 * 0.8 = 9.8**2
    assert abs(counts - 120).max() < 4.5 * 9.8


@pytest.mark.parametrize("validation", [0, -1, 4, 5, 0.0, 1.0, -0.5, 2.0, 0.01, 0.99, True, "1", None, float("nan")])
def test_both_parts_need_a_row(validation):
    with pytest.raises(InputError, match=r"^validation: expected"):
        train_validation_split(numbered([0, 0, 1, 1]), validation)


@pytest.mark.parametrize("y", [np.zeros(4), np.zeros((4, 2), int)])
def test_stratifying_needs_labels(y):
    data = Dataset(np.arange(4), y)
    with pytest.raises(InputError, match=r"stratify: expected integer class labels of shape .* pass stratify=False"):
        train_validation_split(data, 2)
    assert len(train_validation_split(data, 2, stratify=False)[0]) == 2


def test_one_row_cannot_be_split():
    with pytest.raises(InputError, match="of the 1 rows"):
        train_validation_split(numbered([0]), 1)


def test_joined_datasets_follow_one_another():
    data = numbered([0, 1, 0, 1, 1])
    joined = Dataset.concatenate([data[3:], data[:1], data[1:3]])
    assert joined.x.tolist() == [3, 4, 0, 1, 2]
    assert joined.y.tolist() == [1, 1, 0, 1, 0]
    assert (joined.name, joined.source, joined.class_names) == ("numbered", "here", NAMES)
    assert not np.shares_memory(joined.x, data.x)


def test_names_and_sources_that_differ_are_listed_once():
    one, two, three = (Dataset([1.0], [0], name=name, source="disk") for name in ("one", "", "two"))
    joined = Dataset.concatenate((one, two, three, one))
    assert (joined.name, joined.source) == ("one + two", "disk")


@pytest.mark.parametrize(
    "other",
    [
        Dataset(np.zeros((1, 3), np.float32), [0]),
        Dataset(np.zeros((1, 2), np.float64), [0]),
        Dataset(np.zeros((1, 2), np.float32), [0.5]),
        Dataset(np.zeros((1, 2), np.float32), [[0]]),
        Dataset(np.zeros((1, 2), np.float32), [0], class_names=["a"]),
    ],
    ids=["row shape", "dtype", "target dtype", "target shape", "class names"],
)
def test_datasets_that_differ_are_not_joined(other):
    first = Dataset(np.zeros((1, 2), np.float32), [0])
    with pytest.raises(InputError, match=r"Dataset.concatenate: expected datasets with the same .*datasets\[1\]"):
        Dataset.concatenate([first, other])


@pytest.mark.parametrize(
    ("sets", "words"), [([], "at least one dataset"), ([np.zeros(3)], r"datasets\[0\] to be a Dataset")]
)
def test_there_is_something_to_join(sets, words):
    with pytest.raises(InputError, match=words):
        Dataset.concatenate(sets)
