"""Windows: the positions of a convolution kernel, or a pool, on an image of shape (height, width, channels)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from minidl._core.errors import ShapeError
from minidl._core.types import Array
from minidl.nn.layers.base import Layer, Shape

Pair = tuple[int, int]
"""A number for the height and one for the width."""


def show_pair(pair: Pair | int | str) -> str:
    """Return the text of `pair` for a constructor call: one number if both are equal."""
    return repr(pair[0] if pair[0] == pair[1] else pair) if isinstance(pair, tuple) else repr(pair)


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> Pair:
    """Return the zeros before and after an axis so that ``ceil(size / stride)`` windows fit, as in Keras.

    With stride 1 their sum is ``dilation * (kernel - 1)``, as in PyTorch too. If it is odd, the extra zero goes to the
    bottom or to the right.
    """
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2


@dataclass(frozen=True)
class Windows:
    """The windows of an image: each one covers ``kernel_size`` pixels that are `dilation` apart.

    Along an axis of `size` pixels there are ``(size + padding - dilation * (kernel_size - 1) - 1) // stride + 1``;
    pixels left over at the end belong to no window.

    Parameters
    ----------
    kernel_size, stride, dilation : (int, int)
        For height and width.
    padding : ((int, int), (int, int))
        Pixels added at the top and bottom, left and right.
    """

    kernel_size: Pair
    stride: Pair
    dilation: Pair
    padding: tuple[Pair, Pair]

    @property
    def padded(self) -> bool:
        """Whether there is any padding."""
        return self.padding != ((0, 0), (0, 0))

    @property
    def reach(self) -> Pair:
        """Distance from the first to the last pixel of a window."""
        (kh, kw), (dh, dw) = self.kernel_size, self.dilation
        return dh * (kh - 1), dw * (kw - 1)

    def padded_size(self, height: int, width: int) -> Pair:
        """Return the height and width of an image with its padding."""
        (top, bottom), (left, right) = self.padding
        return top + height + bottom, left + width + right

    def output_size(self, height: int, width: int) -> Pair:
        """Return the number of windows in height and width; less than 1 if none fits."""
        (high, wide), (down, across), (sh, sw) = self.padded_size(height, width), self.reach, self.stride
        return (high - down - 1) // sh + 1, (wide - across - 1) // sw + 1

    def checked_size(self, layer: Layer, input_shape: Shape) -> Pair:
        """Return `output_size`; if no window fits into an image of `input_shape`, raise an error that names `layer`."""
        size = self.output_size(*input_shape[:2])
        if min(size) < 1:
            (down, across), (high, wide) = self.reach, self.padded_size(*input_shape[:2])
            wanted = f"images of at least {down + 1} x {across + 1} pixels (the window size) with padding"
            hint = "use larger images, more padding or fewer layers that shrink them"
            raise ShapeError(f"{layer!r}: expected {wanted}, got {high} x {wide} from shape {input_shape}; {hint}")
        return size

    def interior(self, padded: Array, height: int, width: int) -> Array:
        """Return the view of `padded`, shape (n, padded height, padded width, channels), without the padding."""
        (top, _), (left, _) = self.padding
        return padded[:, top : top + height, left : left + width]

    def pad(self, x: Array, value: float) -> Array:
        """Return `x`, shape (n, height, width, channels), with `value` in the padding; without padding, x itself."""
        return np.pad(x, ((0, 0), *self.padding, (0, 0)), constant_values=value) if self.padded else x

    def view(self, padded: Array) -> Array:
        """Return all windows without copying: (n, output height, output width, *kernel_size, channels), read-only."""
        (down, across), (sh, sw), (dh, dw) = self.reach, self.stride, self.dilation
        windows = sliding_window_view(padded, (down + 1, across + 1), axis=(1, 2))
        return windows[:, ::sh, ::sw, :, ::dh, ::dw].transpose(0, 1, 2, 4, 5, 3)

    def taps(self, padded: Array) -> Iterator[Array]:
        """Yield, for each pixel of a window in turn, the entries of all windows there.

        Each is a writable view of shape (n, output height, output width, channels).
        """
        (kh, kw), (sh, sw), (dh, dw), (down, across) = self.kernel_size, self.stride, self.dilation, self.reach
        high, wide = padded.shape[1] - down, padded.shape[2] - across
        for i in range(0, kh * dh, dh):
            for j in range(0, kw * dw, dw):
                yield padded[:, i : i + high : sh, j : j + wide : sw]


def check_image_shape(layer: Layer, input_shape: Shape, channels: int | None = None) -> None:
    """Raise an error if `input_shape` is not (height, width, channels), all at least 1."""
    if len(input_shape) != 3 or min(input_shape) < 1 or channels not in (None, input_shape[2]):
        wanted = "channels" if channels is None else channels
        channels_first = len(input_shape) == 3 and input_shape[0] == channels
        hint = "; channels come last: np.moveaxis(x, 1, -1)" if channels_first else ""
        if len(input_shape) == 1:
            hint = "; for flat rows, begin with Reshape((height, width, channels)), or pass images_from_rows(x)"
        elif len(input_shape) == 2:
            hint = "; grey images have one channel: x[..., np.newaxis]"
        raise ShapeError(f"{layer!r}: expected images of shape (height, width, {wanted}), got {input_shape}{hint}")
