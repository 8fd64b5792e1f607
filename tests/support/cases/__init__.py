"""Hypothesis strategies for minidl's own classes: what `check_layer` and its siblings take, or an instance."""

from cases.costs import COSTS
from cases.instances import INSTANCES
from cases.layers import LAYERS, layer_and_batch
from minidl.testing import off_kinks


def strategy_for(cls, values=off_kinks):
    """Return the strategy of a public class of minidl.

    A layer draws cases ``(layer, x)``, a loss ``(loss, outputs, targets)``, a regularizer ``(regularizer, w)``,
    `Model` ``(model, x, y)``; an optimizer, initializer or augmentation draws the instance. `values` draws the entries
    of x, outputs or w. A class that is in none of the tables is a KeyError: say here how to draw it.
    """
    if cls in INSTANCES:
        return INSTANCES[cls]
    if cls in COSTS:
        return COSTS[cls](values)
    layers, rows, *least = LAYERS[cls]
    return layer_and_batch(layers, rows, values, *least)
