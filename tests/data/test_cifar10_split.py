"""load_cifar10_split: all batches, divided into training and validation; on batches of three pictures."""

import cifar_files as files
import numpy as np
import pytest

from minidl import InputError
from minidl.data.datasets import cifar10_content, load_cifar10, load_cifar10_split


@pytest.fixture
def folder(tmp_path):
    with files.tiny_cifar10():
        yield files.official_folder(tmp_path / "cifar")


def rows_of(data):
    return sorted((x.tobytes(), int(y)) for x, y in zip(data.x, data.y, strict=True))


def test_the_five_training_batches_are_divided_and_the_test_batch_is_whole(folder):
    train, validation, test = load_cifar10_split(5, folder)
    batches = load_cifar10(folder)
    expected = sorted(row for name in files.NAMES[:5] for row in rows_of(batches[name]))
    assert sorted(rows_of(train) + rows_of(validation)) == expected
    assert (len(train), len(validation)) == (10, 5)
    np.testing.assert_array_equal(test.x, batches["test_batch"].x)
    np.testing.assert_array_equal(test.y, batches["test_batch"].y)
    for data in (train, validation, test):
        assert (data.x.dtype, data.y.dtype, data.name, data.source) == (np.uint8, np.int64, "CIFAR-10", "folder")
        assert data.class_names == cifar10_content.CLASS_NAMES


def test_the_split_is_stratified_and_the_same_for_the_same_seed(folder):
    validations = [load_cifar10_split(1 / 3, folder, rng=seed)[1] for seed in range(8)]
    nines = sum(labels.count(9) for labels in list(files.LABELS.values())[:5])
    assert all(abs((validation.y == 9).sum() - nines / 3) < 1 for validation in validations)
    assert any(rows_of(validation) != rows_of(validations[0]) for validation in validations)
    np.testing.assert_array_equal(load_cifar10_split(1 / 3, folder)[1].x, validations[0].x)


def test_the_thousand_of_the_default_is_too_many_here(folder):
    with pytest.raises(InputError, match="expected 1 to 14 of the 15 rows"):
        load_cifar10_split(data_dir=folder, download=False)
