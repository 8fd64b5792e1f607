"""Summary: the layers of a network with their shapes and sizes, computed without running data."""

import math
from dataclasses import dataclass

import numpy as np

from minidl._core.checks import as_count
from minidl._core.errors import InputError, ShapeError
from minidl._core.tables import escape, html_table, text_table
from minidl.nn.layers import Dense, Layer, Sequential

_HEADER = ("layer", "kind", "output shape", "parameters")


@dataclass(frozen=True)
class Summary:
    """A table of a network's layers.

    Attributes
    ----------
    rows : list of (path, kind, output shape, parameters)
        In the order of the forward pass.
    parameters, trainable : int
        Number of entries of all parameters, and of those that an optimizer changes.
    parameter_bytes : int
        Memory of the parameters' values and gradients, and of the buffers.
    row_bytes : int
        Memory of one row of x and of every layer's output for it. This estimates the memory of a training forward per
        row; it is not a bound: a layer may keep less than its input and output, or need more while it computes.
    dtype : str
        Of the parameters.
    """

    rows: list[tuple[str, str, tuple[int, ...], int]]
    parameters: int
    trainable: int
    parameter_bytes: int
    row_bytes: int
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"{text_table(_HEADER, self._cells())}\n{self._total()}"

    def __repr__(self) -> str:
        layers = f"{len(self.rows)} layer{'' if len(self.rows) == 1 else 's'}"
        return f"Summary({layers}, {parameter_count(self.parameters, self.trainable)})"

    def _repr_html_(self) -> str:
        return f"{html_table(_HEADER, self._cells())}\n<p>{escape(self._total())}</p>"

    def _total(self) -> str:
        numbers = f"{parameter_count(self.parameters, self.trainable)}, {self.dtype}"
        memory = f"{_size(self.parameter_bytes)} with gradients and buffers"
        return f"{numbers}; {memory}; x and all outputs take {_size(self.row_bytes)} per row"

    def _cells(self) -> list[tuple[str, str, str, str]]:
        return [(path, kind, str(shape), f"{count:,}") for path, kind, shape, count in self.rows]


def layers_as_html(network: Layer) -> str:
    """Return a table of the layers with all that is known without an input shape."""
    rows = []
    for path, layer in network.walk():
        own = {name: p.value for name, p in layer.named_parameters().items() if "." not in name}
        # A container without own parameters gets no row.
        if own or len(list(layer.walk())) == 1:
            shapes = ", ".join(f"{name} {value.shape}" for name, value in own.items())
            count = f"{sum(value.size for value in own.values()):,}"
            rows.append((path.rstrip(".") or "-", repr(layer), shapes, count))
    return html_table(("layer", "kind", "weights", "parameters"), rows)


def summarize(network: Layer, input_shape: int | tuple[int, ...] | None) -> Summary:
    """Return the summary of `network` for rows of `input_shape`: an int for flat rows, None for the first layer's.

    Raises
    ------
    InputError
        If `input_shape` is not a shape, or is missing although the first layer accepts several row shapes.
    ShapeError
        If the input shape of a layer does not fit.
    """
    if input_shape is None:
        first = next(layer for _, layer in network.walk() if not isinstance(layer, Sequential))
        if not isinstance(first, Dense):
            reason = f"the first layer, {first!r:.80}, accepts rows of several shapes"
            raise InputError(f"input_shape: {reason}; pass the shape of one row of x, such as (32, 32, 3)")
        input_shape = first.in_features
    sizes = input_shape if isinstance(input_shape, tuple | list) else [input_shape]
    shape = tuple(as_count("input_shape", size) for size in sizes)
    try:
        # This raises an error that names the layer whose input does not fit.
        network.output_shape(shape)
    except ShapeError as error:
        if len(shape) < 2 or not takes(network, shape[1:]):
            raise
        raise ShapeError(
            f"{error}; input_shape is the shape of one row, without the batch axis: did you mean {shape[1:]}?"
        ) from error
    waiting = network.named_parameters()
    dtypes = (p.value.dtype for p in waiting.values())
    dtype = max(dtypes, key=lambda dtype: dtype.itemsize, default=np.dtype(np.float32))
    parameters, rows, row_bytes = list(waiting.values()), [], math.prod(shape) * dtype.itemsize
    for path, layer, output_shape in network.output_shapes(shape):
        own = [waiting.pop(path + name) for name in layer.named_parameters() if path + name in waiting]
        rows.append((path.rstrip(".") or "-", type(layer).__name__, output_shape, sum(p.value.size for p in own)))
        row_bytes += math.prod(output_shape) * dtype.itemsize
    return Summary(
        rows,
        sum(p.value.size for p in parameters),
        sum(p.value.size for p in parameters if p.trainable),
        sum(2 * p.value.nbytes for p in parameters) + sum(b.nbytes for b in network.named_buffers().values()),
        row_bytes,
        str(dtype),
    )


def takes(network: Layer, input_shape: tuple[int, ...]) -> bool:
    """Return whether the layers of the network accept rows of `input_shape`."""
    try:
        network.output_shape(input_shape)
    # A user's layer may raise any error.
    except Exception:
        return False
    return True


def parameter_count(total: int, trainable: int) -> str:
    """Return a text with the number of parameters, and how many of them are trainable and frozen."""
    split = f" ({trainable:,} trainable, {total - trainable:,} frozen)" if trainable < total else ""
    return f"{total:,} parameters{split}"


def _size(count: float) -> str:
    if count < 1000:
        return f"{count:.0f} bytes"
    return f"{count / 1e3:,.1f} KB" if count < 1e6 else f"{count / 1e6:,.1f} MB"
