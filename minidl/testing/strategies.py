"""Cases of every public class, and of layers of your own.

A *case* is what its check takes: ``check_layer(*case)``, ``check_loss(*case)``, ``check_regularizer(*case)``,
``check_model(*case)``.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from minidl._core.errors import InputError
from minidl._core.types import Array
from minidl.nn.layers import Layer
from minidl.testing import (
    cases_activations,
    cases_augmentation,
    cases_convolution,
    cases_costs,
    cases_layers,
    cases_losses,
    cases_normalization,
    cases_optimizers,
    cases_structure,
    cases_training,
)
from minidl.testing.arrays import SIDES, Values, off_kinks
from minidl.testing.cases_layers import layers_with_batches
from minidl.testing.source import write_call

LAYERS = (
    cases_activations.LAYERS
    | cases_convolution.LAYERS
    | cases_layers.LAYERS
    | cases_normalization.LAYERS
    | cases_structure.LAYERS
)
COSTS = cases_costs.COSTS | cases_losses.CASES | cases_normalization.CASES
INSTANCES = cases_augmentation.INSTANCES | cases_optimizers.INSTANCES | cases_training.INSTANCES


def strategy_for(cls: type, values: Values = off_kinks) -> st.SearchStrategy[Any]:
    """Return the strategy of a public class of minidl.

    Parameters
    ----------
    cls : type
        A layer draws cases ``(layer, x)``, a loss ``(loss, outputs, targets)``, a regularizer ``(regularizer, w)``,
        `Model` ``(model, x, y)``; an optimizer or initializer draws the instance.
    values : function of a shape
        Draws the entries of x, outputs or w; see the module.

    Raises
    ------
    InputError
        For any other class; `layer_cases` takes layers of your own.
    """
    if cls in INSTANCES:
        return INSTANCES[cls]
    if cls in COSTS:
        return COSTS[cls](values)
    if cls in LAYERS:
        layers, features = LAYERS[cls]
        return layers_with_batches(layers, features, values)
    known = ", ".join(sorted(known.__name__ for known in {**LAYERS, **COSTS, **INSTANCES}))
    raise InputError(
        f"strategy_for: expected a class of minidl ({known}), got {cls!r}; layers of your own: layer_cases"
    )


def layer_cases(
    make: Callable[[Any], Layer], *, features: st.SearchStrategy[Any] = SIDES, values: Values = off_kinks
) -> st.SearchStrategy[tuple[Layer, Array]]:
    """Draw cases ``(layer, x)`` of a layer of your own.

    Parameters
    ----------
    make : callable
        Takes the number of features (or the shape) of one row of x, and returns the layer.
    features : strategy of int or tuple of int
        What `make` is called with; 1 to 4 unless given.
    values : function of a shape
        Draws the entries of x; see the module.
    """
    return layers_with_batches(lambda row: st.builds(write_call, st.just(make), st.just(row)), features, values)


def given_layer_cases(
    make: Callable[[Any], Layer], *, features: st.SearchStrategy[Any] = SIDES, values: Values = off_kinks
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a test that takes a layer and an x; see `layer_cases` for the arguments.

    Examples
    --------
    >>> from minidl import Dense
    >>> @given_layer_cases(lambda features: Dense(features, 2))
    ... def test_dense(layer, x):
    ...     assert layer.forward(x).shape == (len(x), 2)
    >>> test_dense()
    """
    case = st.shared(layer_cases(make, features=features, values=values))

    @st.composite
    def part(draw: st.DrawFn, position: int) -> Any:
        return draw(case)[position]

    return given(part(0), part(1))
