"""Hypothesis strategies for minidl's own classes: what `check_layer` and its siblings take, or an instance."""

from typing import Any

from hypothesis import strategies as st

from cases import (
    activations,
    augmentation,
    convolution,
    costs,
    initializers,
    layers,
    losses,
    normalization,
    optimizers,
    structure,
)
from minidl.testing import off_kinks
from minidl.testing.arrays import Values
from minidl.testing.strategies import layers_with_batches

LAYERS = activations.LAYERS | convolution.LAYERS | layers.LAYERS | normalization.LAYERS | structure.LAYERS
COSTS = costs.COSTS | losses.CASES | normalization.CASES
INSTANCES = augmentation.INSTANCES | optimizers.INSTANCES | initializers.INSTANCES


def strategy_for(cls: type, values: Values = off_kinks) -> st.SearchStrategy[Any]:
    """Return the strategy of a public class of minidl.

    A layer draws cases ``(layer, x)``, a loss ``(loss, outputs, targets)``, a regularizer ``(regularizer, w)``,
    `Model` ``(model, x, y)``; an optimizer, initializer or augmentation draws the instance. `values` draws the entries
    of x, outputs or w. A class that is in none of the tables is a KeyError: say here how to draw it.
    """
    if cls in INSTANCES:
        return INSTANCES[cls]
    if cls in COSTS:
        return COSTS[cls](values)
    return layers_with_batches(*LAYERS[cls], values)
