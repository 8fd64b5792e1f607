"""Idle units: dead ones, whose output is the same for every row, and saturated ones, whose slope is almost 0."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minidl._core.checks import as_array, check_finite
from minidl._core.errors import InputError
from minidl._core.tables import html_table, text_table
from minidl._core.types import Array
from minidl.diagnostics.common import working_copy
from minidl.nn.batches import rows_at_a_time
from minidl.nn.layers import Layer
from minidl.nn.model import Model

_HEADER = ("layer", "kind", "units", "dead", "saturated")
# Share of an activation's steepest slope below which a unit passes on almost no gradient.
_FLAT = 0.01
# Share of idle units from which a layer is faulty.
_MANY = 0.5


class LayerUnits(NamedTuple):
    """The units of one activation layer: how many there are, how many are dead, and how many saturated."""

    path: str
    kind: str
    units: int
    dead: int
    saturated: int

    @property
    def idle(self) -> bool:
        """Whether at least half of the units are dead, or saturated."""
        return max(self.dead, self.saturated) >= _MANY * self.units


@dataclass(frozen=True)
class UnitReport:
    """The numbers of dead and saturated units in each activation layer. Print it.

    Attributes
    ----------
    layers : list of LayerUnits
        In the order of the forward pass.
    rows : int
        Number of rows of x.
    """

    layers: list[LayerUnits]
    rows: int

    @property
    def ok(self) -> bool:
        """Whether in every layer fewer than half of the units are dead, and fewer than half saturated."""
        return not any(layer.idle for layer in self.layers)

    @property
    def sentence(self) -> str:
        """The result, with advice for the first bad layer."""
        if not self.layers:
            return "the network has no activation layer, so no hidden unit can be dead or saturated"
        bad = next((layer for layer in self.layers if layer.idle), None)
        if bad is None:
            counts = [row[2:] for row in self.layers]
            units, dead, saturated = map(sum, zip(*counts, strict=True))
            return f"{dead} of {units} hidden units are dead and {saturated} saturated for {self.rows} rows"
        where = f"layer {bad.path}, {bad.kind}" if bad.path else bad.kind
        if bad.dead >= bad.saturated:
            advice = "check the weights and biases before it (all zero? far below 0?)"
            finding = f"in {where}, {bad.dead} of {bad.units} units have the same output for every row"
            return f"{finding}: {advice}; if training caused it, lower the learning rate"
        advice = "try smaller initial weights, standardized inputs, or a BatchNorm before it"
        finding = f"in {where}, {bad.saturated} of {bad.units} units are saturated and pass on almost no gradient"
        return f"{finding}: {advice}"

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        return f"{text_table(_HEADER, self._cells())}\n{self.sentence}" if self.layers else self.sentence

    def _repr_html_(self) -> str:
        return f"{html_table(_HEADER, self._cells())}\n<p>{self.sentence}</p>"

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (r.path or "-", r.kind, str(r.units), *(f"{n} ({n / r.units:.0%})" for n in r[3:])) for r in self.layers
        ]


def dead_units(model: Model, x: Any) -> UnitReport:
    """Count the dead and the saturated units of every activation layer; the model does not change.

    A unit is an index of the last axis: a feature, or a channel with all its pixels. It is *dead* if its output is the
    same for every row (a ReLU whose input is never positive returns 0). It is *saturated* if its slope is at most 1 %
    of the activation's steepest slope in 95 % of the rows and pixels (a tanh near -1 or 1). For an activation without
    an upper bound, entries with output 0 do not count: a ReLU is 0 there without harm.

    Activations are recognised by measurement, not by name: each output depends only on its own input, with a slope that
    varies. So your own activations count too; a softmax, a pooling or a normalization does not.

    Parameters
    ----------
    model : Model
        A copy of it runs as in prediction.
    x : array_like, shape (n, ...)
        At least 2 different rows, for example from the training data; a few hundred are enough.

    Raises
    ------
    InputError
        If x is not as above, or does not fit the model.

    Examples
    --------
    >>> from minidl import Dense, ReLU, Sequential, SoftmaxCrossEntropy
    >>> network = Sequential(Dense(2, 3, rng=0), ReLU(), Dense(3, 2, rng=1))
    >>> network.layers[0].bias.value[...] = -100.0
    >>> print(dead_units(Model(network, SoftmaxCrossEntropy()), [[0.5, 1.0], [-1.0, 2.0]]))
    layer  kind  units      dead  saturated
        1  ReLU      3  3 (100%)     0 (0%)
    in layer 1, ReLU, 3 of 3 units have the same output for every row: check the weights and biases before it (all \
zero? far below 0?); if training caused it, lower the learning rate
    """
    twin = working_copy("dead_units", model)
    x = as_array("x", x)
    if x.ndim == 0 or len(x) < 2 or (x == x[:1]).all():
        raise InputError(f"dead_units: expected x to have at least 2 different rows, got shape {x.shape}")
    check_finite("x", x)
    size = rows_at_a_time(twin.network, x.shape)
    batches = [x[start : start + size] for start in range(0, len(x), size)]
    with np.errstate(all="ignore"):
        measures = [_Units(*call) if _is_activation(*call[1:]) else None for call in _recorded(twin, batches[0])]
        # Two passes over the rows: the largest outputs of a layer must be known before its slopes are compared.
        for measure in (_Units.note_range, _Units.count_flat):
            for batch in batches:
                for units, call in zip(measures, _recorded(twin, batch), strict=True):
                    if units:
                        measure(units, *call[2:])
    return UnitReport([units.counted() for units in measures if units], len(x))


def _recorded(model: Model, x: Array) -> list[tuple[str, Layer, Array, Array]]:
    """Return (path, layer, input, output) for every layer without inner layers, in the order of the calls."""
    calls: list[tuple[str, Layer, Array, Array]] = []

    def record(path: str, layer: Layer, forward: Callable[..., Array], x: Array, train: bool = False) -> Array:
        y = forward(x, train)
        calls.append((path, layer, x, y))
        return y

    leaves = [(path.rstrip("."), layer) for path, layer in model.network.walk() if not layer._layers]
    for path, layer in leaves:
        # This changes only the copy, not the class.
        vars(layer)["forward"] = partial(record, path, layer, layer.forward)
    model.forward(x)
    for _, layer in leaves:
        del vars(layer)["forward"]
    return calls


class _Units:
    """The units of one activation call, measured in batches: first `note_range` of all, then `count_flat` of all."""

    def __init__(self, path: str, layer: Layer, x: Array, y: Array) -> None:
        self.path, self.layer = path, layer
        self.lowest, self.highest = y[0].copy(), y[0].copy()
        self.flat, self.entries = np.zeros(y.shape[-1], int), 0
        row = y[0]
        slopes = _slopes(layer, np.linspace(-30.0, 30.0, -(-1000 // row.size) * row.size).reshape(-1, *row.shape))
        self.least = _FLAT * slopes.max()
        self.bounded = max(slopes.flat[0], slopes.flat[-1]) <= self.least

    @property
    def largest(self) -> float:
        """The size of the largest output."""
        return float(np.maximum(np.abs(self.lowest), np.abs(self.highest)).max())

    def note_range(self, x: Array, y: Array) -> None:
        """Update the lowest and the highest outputs with this batch."""
        np.minimum(self.lowest, y.min(axis=0), out=self.lowest)
        np.maximum(self.highest, y.max(axis=0), out=self.highest)

    def count_flat(self, x: Array, y: Array) -> None:
        """Count the inputs of this batch where the layer is flat."""
        # A ReLU is flat where its output is 0, which is harmless for most rows.
        active = self.bounded | (np.abs(y) > 1e-3 * self.largest)
        flat = (_slopes(self.layer, x.astype(np.float64)) <= self.least) & active
        self.flat += flat.sum(axis=tuple(range(flat.ndim - 1)))
        self.entries += flat[..., 0].size

    def counted(self) -> LayerUnits:
        """Return the numbers of dead and saturated units."""
        saturated = self.flat / self.entries >= 0.95
        same = self.highest - self.lowest <= 1e-6 * self.largest
        dead = same.all(axis=tuple(range(same.ndim - 1))) & ~saturated
        return LayerUnits(self.path, type(self.layer).__name__, len(dead), int(dead.sum()), int(saturated.sum()))


def _is_activation(layer: Layer, layer_input: Array, output: Array) -> bool:
    """Return whether every output depends only on its own input, with a slope that varies."""
    rng = np.random.default_rng(0)
    x, other = rng.uniform(-4.0, 4.0, (2, 4, *layer_input.shape[1:]))
    kept = rng.random(x.shape) < 0.5
    try:
        with_other = np.asarray(layer.forward(np.where(kept, x, other)))
        alone = np.allclose(with_other[kept], layer.forward(x)[kept], rtol=1e-9, atol=1e-9)
        slopes = _slopes(layer, np.linspace(-4.0, 4.0, x.size).reshape(x.shape))
    except Exception:
        # A user's layer that does not accept such numbers cannot be measured.
        return False
    varies = float(np.ptp(slopes)) > 0.01 * float(np.abs(slopes).max())
    return output.shape == layer_input.shape and output.ndim > 1 and alone and varies


def _slopes(layer: Layer, x: Array) -> Array:
    """Return the absolute derivative of every output with respect to its own input."""
    step = 1e-4 * np.maximum(1.0, np.abs(x))
    rise: Array = layer.forward(x + step) - layer.forward(x - step)
    return np.abs(rise) / (2 * step)
