"""Cases of layers and losses of your own.

A *case* is what its check takes: ``check_layer(*case)``. A failing case prints the line that checks it again.
"""

import ast
import copy
import functools
import inspect
import linecache
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from operator import itemgetter
from typing import Any

import numpy as np
from hypothesis import Phase, event, given, note, reject, settings
from hypothesis import strategies as st
from hypothesis.errors import FailedHealthCheck, HypothesisException

from minidl._core.checks import as_array, check_type
from minidl._core.errors import InconclusiveError, InputError
from minidl._core.types import Array
from minidl.gradcheck.arrays import array_source
from minidl.nn.layers import Layer
from minidl.nn.losses import Loss
from minidl.testing.arrays import FEATURES, Values, as_strategy, batches, check_callable, off_kinks

Test = Callable[..., None]

# To explain a failure Hypothesis runs it a hundred times more, and says only that any other values fail too.
_PHASES = tuple(phase for phase in Phase if phase is not Phase.explain)
# Only registered: whoever wants it in all tests loads it.
settings.register_profile("minidl", deadline=None, phases=_PHASES)


def layer_cases(
    make: Callable[..., Layer],
    *,
    features: Any = FEATURES,
    rows: Any = None,
    values: Values = off_kinks,
    **arguments: st.SearchStrategy[Any],
) -> st.SearchStrategy[tuple[Layer, Array]]:
    """Draw cases ``(layer, x)`` of a layer of your own.

    Parameters
    ----------
    make : callable
        Takes the number of features (or the shape) of one row of x, and returns the layer.
    features : int, tuple of int, or strategy of either
        What `make` is called with; 1 to 8, mostly up to 4, unless given.
    rows : int or strategy of int, optional
        How many rows x has; 1 to 8, mostly up to 4, unless given.
    values : function of a shape
        Draws the entries of x: `off_kinks`, `ties`, `zeros`, `extremes`, ``bounded(low, high)``,
        ``whole(low, high)``, or any other that returns a strategy of arrays.
    **arguments : strategy
        What else `make` is called with, by name.

    Raises
    ------
    InputError
        If an argument is none of these, or `make` returns no layer.
    """
    check_callable("make", make)
    call = call_writer(make)
    drawn = _arguments(arguments)

    @st.composite
    def cases(draw: st.DrawFn) -> tuple[Layer, Array]:
        row, options = draw(shapes_of_rows), draw(drawn)
        x = draw(batches(row, rows=rows, values=values))
        note(f"check_layer({call(row, **options)}, {array_source(x)}, seed=0)")
        layer = make(row, **options)
        check_type("layer_cases", "what make returns", layer, Layer)
        return layer, x

    shapes_of_rows = as_strategy("features", features)
    return cases()


def loss_cases(
    make: Callable[..., Loss],
    targets: Values,
    *,
    features: Any = FEATURES,
    rows: Any = None,
    values: Values = off_kinks,
    **arguments: st.SearchStrategy[Any],
) -> st.SearchStrategy[tuple[Loss, Array, Array]]:
    """Draw cases ``(loss, outputs, targets)`` of a loss of your own; see `layer_cases` for the other arguments.

    Parameters
    ----------
    make : callable
        Returns the loss; it is called with the `arguments` alone.
    targets : function of a shape
        Draws the targets for outputs of a shape: `off_kinks` for numbers, ``lambda shape: labels(*shape)`` for classes.
    """
    check_callable("make", make)
    check_callable("targets", targets)
    call = call_writer(make)
    drawn = _arguments(arguments)

    @st.composite
    def cases(draw: st.DrawFn) -> tuple[Loss, Array, Array]:
        options = draw(drawn)
        outputs = draw(batches(draw(shapes_of_rows), rows=rows, values=values))
        y = as_array("targets", draw(as_strategy("targets", targets(outputs.shape))))
        note(f"check_loss({call(**options)}, {array_source(outputs)}, {array_source(y)}, seed=0)")
        loss = make(**options)
        check_type("loss_cases", "what make returns", loss, Loss)
        return loss, outputs, y

    shapes_of_rows = as_strategy("features", features)
    return cases()


def given_layer_cases(make: Callable[..., Layer], **options: Any) -> Callable[[Test], Test]:
    """Decorate a test that takes ``layer`` and ``x``, which are drawn by `layer_cases` with these arguments.

    Settings that you have not changed are those of the profile ``minidl``: no deadline, and no explain phase, which
    takes many times the time of the test. A case of which the check finds `INCONCLUSIVE` is rejected, as by
    ``hypothesis.assume``: the point is too close to a kink inside the layer. If more than a tenth of the cases are,
    and more than five, the test fails.

    Examples
    --------
    >>> from minidl import Dense
    >>> @given_layer_cases(lambda features, outputs: Dense(features, outputs), outputs=st.integers(1, 3))
    ... def test_dense(layer, x):
    ...     assert len(layer.forward(x)) == len(x)
    >>> test_dense()
    """
    return _given(layer_cases(make, **options), "layer", "x")


def given_loss_cases(make: Callable[..., Loss], targets: Values, **options: Any) -> Callable[[Test], Test]:
    """Decorate a test that takes ``loss``, ``outputs`` and ``targets``, drawn by `loss_cases`; see `given_layer_cases`.

    Examples
    --------
    >>> from minidl import MeanSquaredError, check_loss
    >>> @given_loss_cases(MeanSquaredError, targets=off_kinks)
    ... def test_mean_squared_error(loss, outputs, targets):
    ...     check_loss(loss, outputs, targets).assert_ok()
    >>> test_mean_squared_error()
    """
    return _given(loss_cases(make, targets, **options), "loss", "outputs", "targets")


def relaxed(chosen: settings) -> settings:
    """Return settings with those of the profile ``minidl`` where `chosen` has Hypothesis' own defaults."""
    deadline = None if chosen.deadline == timedelta(milliseconds=200) else chosen.deadline
    phases = _PHASES if set(chosen.phases) == set(Phase) else chosen.phases
    return settings(chosen, deadline=deadline, phases=phases)


def _arguments(strategies: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    for name, strategy in strategies.items():
        check_type(
            "arguments of make", name, strategy, st.SearchStrategy, "write a strategy, such as st.integers(1, 3)"
        )
    return st.fixed_dictionaries(strategies)


def _given(cases: st.SearchStrategy[tuple[Any, ...]], *names: str) -> Callable[[Test], Test]:
    """Return a decorator by which a test gets the parts of a case by these names, else as its last arguments."""
    case = st.shared(cases)

    def decorate(test: Test) -> Test:
        counts: Counter[str] = Counter()
        parameters = list(inspect.signature(test).parameters)
        if len(parameters) < len(names):
            raise InputError(f"{test.__name__}: expected a test that takes {', '.join(names)}, got {parameters}")
        taken = names if set(names) <= set(parameters) else parameters[-len(names) :]
        parts = {name: case.map(itemgetter(part)) for part, name in enumerate(taken)}
        drawn: Any = given(**parts)(_rejecting(test, counts))

        @functools.wraps(drawn)
        def run(*args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            counts.clear()
            # What decorators above this one have set, they have set on `run`.
            vars(drawn).update({key: value for key, value in vars(run).items() if key != "__wrapped__"})
            drawn._hypothesis_internal_use_settings = relaxed(drawn._hypothesis_internal_use_settings)
            drawn(*args, **kwargs)

        return run

    return decorate


def _rejecting(test: Test, counts: Counter[str]) -> Test:
    """Return the test for which a case that cannot be decided is none, as long as such cases are few."""

    @functools.wraps(test)
    def decided(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        counts["calls"] += 1
        try:
            test(*args, **kwargs)
        except InconclusiveError as error:
            counts["undecided"] += 1
            # While a failure is shrunk, its cases are no sample of all.
            if counts["undecided"] > max(5, counts["calls"] / 10) and not counts["failed"]:
                share = f"{counts['undecided']} of {counts['calls']} cases"
                raise FailedHealthCheck(f"{share} could not be decided; the last:\n{error}") from error
            event("rejected: INCONCLUSIVE")
            reject()
        except Exception as error:
            counts["failed"] += not isinstance(error, HypothesisException)
            raise

    return decided


def call_writer(make: Callable[..., Any]) -> Callable[..., str]:
    """Return what writes calls of `make` as Python: of a lambda its body, with the arguments in it.

    Examples
    --------
    >>> print(call_writer(np.zeros)(3, order="F"))
    zeros(3, order='F')
    """
    name = getattr(make, "__name__", "make")
    function = _lambda_tree(make) if name == "<lambda>" else None

    def write(*values: Any, **options: Any) -> str:
        arguments = [_value_source(value) for value in values]
        by_name = {key: _value_source(value) for key, value in options.items()}
        if function is None:
            arguments += [f"{key}={source}" for key, source in by_name.items()]
            return f"{name.replace('<lambda>', 'make')}({', '.join(arguments)})"
        places = dict(zip([argument.arg for argument in function.args.args], arguments, strict=False)) | by_name
        body = copy.deepcopy(function.body)
        for node in ast.walk(body):
            if isinstance(node, ast.Name) and node.id in places:
                # A "name" such as 3: it is only to be printed.
                node.id = places[node.id]
        return ast.unparse(body)

    return write


def _value_source(value: Any) -> str:
    return array_source(value) if isinstance(value, np.ndarray) else repr(value)


def _lambda_tree(make: Callable[..., Any]) -> ast.Lambda | None:
    """Return the syntax tree of a lambda, or None where its source is not available."""
    with suppress(SyntaxError):
        places = set(make.__code__.co_positions())
        for node in ast.walk(ast.parse("".join(linecache.getlines(make.__code__.co_filename)))):
            if isinstance(node, ast.Lambda):
                body = node.body
                if (body.lineno, body.end_lineno, body.col_offset, body.end_col_offset) in places:
                    return node
    return None
