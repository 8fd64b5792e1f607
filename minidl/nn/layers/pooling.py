"""Pooling: one number for each window of an image, in each channel."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from minidl._core.checks import as_pair
from minidl._core.errors import InputError
from minidl._core.types import Array
from minidl.nn.arithmetic import column_sums
from minidl.nn.layers.base import Layer, Shape
from minidl.nn.layers.windows import Pair, Windows, check_image_shape, show_pair


class _WindowPooling(Layer):
    """Base of pooling layers with windows of a fixed size."""

    def __init__(self, pool_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> None:
        super().__init__()
        self.pool_size = as_pair("pool_size", pool_size)
        self.stride = self.pool_size if stride is None else as_pair("stride", stride)
        self.padding = as_pair("padding", padding, 0)
        if any(pixels >= size for pixels, size in zip(self.padding, self.pool_size, strict=True)):
            raise InputError(f"padding: expected less than pool_size {self.pool_size}, got {self.padding}")
        rows, columns = ((pixels, pixels) for pixels in self.padding)
        self._windows = Windows(self.pool_size, self.stride, (1, 1), (rows, columns))

    def output_shape(self, input_shape: Shape) -> Shape:
        check_image_shape(self, input_shape)
        return (*self._windows.checked_size(self, input_shape), input_shape[2])

    def _taps(self, x: Array, value: float) -> list[Array]:
        """Return, for each pixel of a window, the entries of all windows there, with `value` in the padding."""
        self.check_input(x)
        self.output_shape(x.shape[1:])
        return list(self._windows.taps(self._windows.pad(x, value)))

    def _zeros(self, x_shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, Iterator[Array]]:
        """Return a dx of zeros for x of `x_shape`, and its taps, to write the gradient to."""
        n, height, width, channels = x_shape
        padded = np.zeros((n, *self._windows.padded_size(height, width), channels), dtype)
        return self._windows.interior(padded, height, width), self._windows.taps(padded)

    def __repr__(self) -> str:
        stride = "" if self.stride == self.pool_size else f", stride={show_pair(self.stride)}"
        padding = "" if self.padding == (0, 0) else f", padding={show_pair(self.padding)}"
        return f"{type(self).__name__}({show_pair(self.pool_size)}{stride}{padding})"


class MaxPool2D(_WindowPooling):
    """The largest entry of each window: ``y[n, i, j, c] = max over p, q of x[n, i * stride + p, j * stride + q, c]``.

    Gradient: ``dy`` goes to that entry; if several are equally large, to the first one in row order. Overlapping
    windows add up. A window with NaN has the maximum NaN, and dy goes to the first NaN.

    Parameters
    ----------
    pool_size : int or (int, int)
        Height and width of the window.
    stride : int or (int, int), default pool_size
        Pixels from one window to the next. Rows and columns left over at the end are ignored.
    padding : int or (int, int)
        Pixels added on both sides of height and width, less than the window; they are never the maximum.

    Raises
    ------
    InputError
        From the constructor, for an impossible size.
    ShapeError
        From `forward`, `backward` and `output_shape`, if x or dy does not fit.

    Examples
    --------
    >>> MaxPool2D(2).forward(np.array([[[[1.0], [5.0]], [[3.0], [2.0]]]])).tolist()
    [[[[5.0]]]]
    """

    def forward(self, x: Array, train: bool = False) -> Array:
        # Compare one tap of all windows at a time. Gathering the windows and taking their argmax is five times slower.
        first, *others = self._taps(x, -np.inf)
        y = first.copy()
        which = np.zeros(y.shape, np.min_scalar_type(len(others)))
        for k, tap in enumerate(others, 1):
            if train:
                np.maximum(which, (tap > y) * which.dtype.type(k), out=which)
            np.maximum(y, tap, out=y)
        if train and np.isnan(y.max(initial=-np.inf)):
            # Comparisons do not find NaN. In reverse order, so that the first NaN stays.
            for k, tap in reversed(list(enumerate([first, *others]))):
                which[np.isnan(tap)] = k
        if train:
            self.keep(which, x.shape, y_shape=y.shape)
        return y

    def backward(self, dy: Array) -> Array:
        which, x_shape = self.kept(dy)
        dx, taps = self._zeros(x_shape, dy.dtype)
        overlap = any(size > step for size, step in zip(self.pool_size, self.stride, strict=True))
        for k, tap in enumerate(taps):
            if overlap:
                tap += dy * (which == k)
            else:
                # Without overlap nothing needs to be added, which takes half the time.
                np.multiply(dy, which == k, out=tap)
        return dx


class AvgPool2D(_WindowPooling):
    """The mean of each window: ``y[n, i, j, c] = mean over p, q of x[n, i * stride + p, j * stride + q, c]``.

    The zeros of the padding count in the mean, as in PyTorch by default.
    Gradient: each entry of a window gets ``dy`` divided by the size of the window.

    Parameters
    ----------
    pool_size : int or (int, int)
        Height and width of the window.
    stride : int or (int, int), default pool_size
        Pixels from one window to the next. Rows and columns left over at the end are ignored.
    padding : int or (int, int)
        Zeros added on both sides of height and width, less than the window.

    Raises
    ------
    InputError
        From the constructor, for an impossible size.
    ShapeError
        From `forward`, `backward` and `output_shape`, if x or dy does not fit.

    Examples
    --------
    >>> AvgPool2D(2).forward(np.array([[[[1.0], [5.0]], [[3.0], [2.0]]]])).tolist()
    [[[[2.75]]]]
    """

    def forward(self, x: Array, train: bool = False) -> Array:
        taps = self._taps(x, 0.0)
        try:
            with np.errstate(over="raise"):
                y = _sum(taps)
                y /= len(taps)
        except FloatingPointError:
            # The sum is too large for x's dtype, but the mean is not.
            y = _sum([tap / len(taps) for tap in taps])
        if train:
            self.keep(x.shape, y_shape=y.shape)
        return y

    def backward(self, dy: Array) -> Array:
        (x_shape,) = self.kept(dy)
        dx, taps = self._zeros(x_shape, dy.dtype)
        share = dy / (self.pool_size[0] * self.pool_size[1])
        for tap in taps:
            tap += share
        return dx


def _sum(arrays: list[Array]) -> Array:
    total = arrays[0].copy()
    for array in arrays[1:]:
        total += array
    return total


class GlobalAvgPool2D(Layer):
    """The mean of each channel over the whole image: ``y[n, c] = mean over i, j of x[n, i, j, c]``.

    It accepts images of any size. Gradient: ``dx[n, i, j, c] = dy[n, c] / (height * width)``.

    Raises
    ------
    ShapeError
        From `forward`, `backward` and `output_shape`, if x or dy does not fit.

    References
    ----------
    Lin, Chen and Yan, "Network in network", ICLR 2014.

    Examples
    --------
    >>> GlobalAvgPool2D().output_shape((8, 8, 128))
    (128,)
    """

    def forward(self, x: Array, train: bool = False) -> Array:
        self.check_input(x)
        self.output_shape(x.shape[1:])
        n, height, width, channels = x.shape
        if train:
            self.keep(x.shape, y_shape=(n, channels))
        pixels = height * width
        return (column_sums(x.reshape(n, pixels, channels)) / pixels).astype(x.dtype, copy=False)

    def backward(self, dy: Array) -> Array:
        (x_shape,) = self.kept(dy)
        _, height, width, _ = x_shape
        return np.broadcast_to(dy[:, None, None, :] / (height * width), x_shape).copy()

    def output_shape(self, input_shape: Shape) -> Shape:
        check_image_shape(self, input_shape)
        return input_shape[2:]
