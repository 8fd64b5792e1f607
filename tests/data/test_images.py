"""Conversion of flat rows to images and back, against loops over every pixel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minidl import InputError, ShapeError, images_from_rows, rows_from_images

SHAPES = st.tuples(*[st.integers(1, 5)] * 3)
DTYPES = st.sampled_from([np.uint8, np.int64, np.float16, np.float32, np.float64, np.bool_, ">f4"])


def by_loops(rows, shape):
    height, width, _ = shape
    images = np.empty((len(rows), *shape), rows.dtype)
    for i, y, x, c in np.ndindex(images.shape):
        images[i, y, x, c] = rows[i, c * height * width + y * width + x]
    return images


@given(SHAPES, st.integers(0, 3), DTYPES)
def test_images_equal_loops_over_planes(shape, n, dtype):
    rows = (np.arange(n * np.prod(shape)) * 7 % 256).reshape(n, -1 if n else int(np.prod(shape))).astype(dtype)
    images = images_from_rows(rows, shape)
    np.testing.assert_array_equal(images, by_loops(rows, shape))
    assert images.dtype == rows.dtype
    assert images.flags.c_contiguous
    assert not np.shares_memory(images, rows)


@given(st.data())
def test_the_two_undo_each_other(data):
    shape, n = data.draw(SHAPES), data.draw(st.integers(0, 3))
    images = data.draw(hnp.arrays(data.draw(DTYPES), (n, *shape)))
    for layout in (images, np.asfortranarray(images), np.repeat(images, 2, axis=0)[::2]):
        rows = rows_from_images(layout)
        assert rows.shape == (n, np.prod(shape))
        assert not np.shares_memory(rows, layout)
        back = images_from_rows(rows, shape)
        assert back.dtype == images.dtype
        np.testing.assert_array_equal(back, images)
        np.testing.assert_array_equal(rows_from_images(back), rows)


def test_a_single_row_is_a_single_image():
    row = np.arange(3072)
    image = images_from_rows(row)
    assert image.shape == (32, 32, 3)
    assert image[1, 2].tolist() == [34, 34 + 1024, 34 + 2048]
    np.testing.assert_array_equal(image, images_from_rows(row[None])[0])
    np.testing.assert_array_equal(rows_from_images(image), row)


@pytest.mark.parametrize(
    ("rows", "shape", "words"),
    [
        (np.zeros((2, 3071)), (32, 32, 3), r"expected rows of shape \(n, 3072\) .* got \(2, 3071\)$"),
        (np.zeros((2, 32, 32, 3)), (32, 32, 3), r"got \(2, 32, 32, 3\); they are images already"),
        (np.float64(1), (1, 1, 1), r"got \(\)"),
        (np.zeros((2, 12)), (2, 2), "shape: expected "),
        (np.zeros((2, 12)), (0, 2, 3), "height: expected an integer >= 1, got 0"),
        ("rows", (2, 2, 3), "got str"),
    ],
)
def test_rows_that_are_no_images_are_refused(rows, shape, words):
    with pytest.raises(InputError, match=words):
        images_from_rows(rows, shape)


@pytest.mark.parametrize("shape", [(2, 12), (12,), (1, 2, 2, 2, 3)])
def test_images_have_three_axes_and_one_for_the_rows(shape):
    with pytest.raises(ShapeError, match=r"expected images of shape \(n, height, width, channels\), got"):
        rows_from_images(np.zeros(shape))
