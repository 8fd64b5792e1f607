"""Summary: the layers of a network with their shapes and sizes, found without running data."""

import math
from dataclasses import dataclass

from minidl.layers import Layer


@dataclass(frozen=True)
class Summary:
    """A table of a network's layers.

    Attributes
    ----------
    rows : list of (path, kind, output shape, parameters)
        In the order of the forward pass.
    parameters, trainable : int
        How many numbers the network's parameters hold, and how many of them an optimizer changes.
    parameter_bytes : int
        Memory of the parameters' values and gradients, and of the buffers.
    row_bytes : int
        Memory of all layers' outputs for one row of x: what a training forward keeps at most, a row.
    """

    rows: list[tuple[str, str, tuple[int, ...], int]]
    parameters: int
    trainable: int
    parameter_bytes: int
    row_bytes: int

    def __str__(self) -> str:
        table = [("layer", "kind", "output shape", "parameters")]
        table += [(path, kind, str(shape), f"{count:,}") for path, kind, shape, count in self.rows]
        widths = [max(len(row[i]) for row in table) for i in range(4)]
        lines = [
            f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:<{widths[2]}}  {row[3]:>{widths[3]}}"
            for row in table
        ]
        frozen = f" ({self.parameters - self.trainable:,} frozen)" if self.trainable < self.parameters else ""
        lines.append(
            f"{self.parameters:,} parameters{frozen}, {_size(self.parameter_bytes)} with gradients and buffers; "
            f"outputs take {_size(self.row_bytes)} a row"
        )
        return "\n".join(lines)


def summarize(network: Layer, input_shape: tuple[int, ...]) -> Summary:
    """Return the summary of `network` for rows of x of `input_shape`.

    Raises
    ------
    ShapeError
        If a layer does not take what comes to it.
    """
    network.output_shape(tuple(input_shape))  # refuses what does not fit, with its place in the network
    waiting = network.named_parameters()
    itemsize = max((p.value.itemsize for p in waiting.values()), default=4)
    parameters, rows, row_bytes = list(waiting.values()), [], 0
    for path, layer, shape in network.output_shapes(tuple(input_shape)):
        own = [waiting.pop(path + name) for name in layer.named_parameters() if path + name in waiting]
        rows.append((path.rstrip(".") or "-", type(layer).__name__, shape, sum(p.value.size for p in own)))
        row_bytes += math.prod(shape) * itemsize
    return Summary(
        rows,
        sum(p.value.size for p in parameters),
        sum(p.value.size for p in parameters if p.trainable),
        sum(2 * p.value.nbytes for p in parameters) + sum(b.nbytes for b in network.named_buffers().values()),
        row_bytes,
    )


def _size(count: float) -> str:
    if count < 1000:
        return f"{count:.0f} bytes"
    return f"{count / 1e3:,.1f} KB" if count < 1e6 else f"{count / 1e6:,.1f} MB"
