"""Strategies that draw cases of your own layers and losses.

A *case* is a tuple of arguments of a check: ``check_layer(*case)``. A failing case prints the call that repeats it.
"""

import ast
import copy
import functools
import linecache
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from operator import itemgetter
from typing import Any

from hypothesis import Phase, event, given, note, reject, settings
from hypothesis import strategies as st

from minidl._core.checks import check_type
from minidl._core.errors import InconclusiveError, VacuousError
from minidl._core.types import Array
from minidl.gradcheck.arrays import array_source
from minidl.nn.layers import Layer
from minidl.nn.losses import Loss
from minidl.testing.arrays import SIZES, Values, as_strategy, batches, check_callable, off_kinks

Test = Callable[..., None]

# The explain phase runs a failing test a hundred times more, and finds only that any other values fail too.
_PHASES = tuple(phase for phase in Phase if phase is not Phase.explain)
# The profile is only registered; load it to use it in all tests.
settings.register_profile("minidl", deadline=None, phases=_PHASES)


def layer_cases(
    make: Callable[..., Layer], *, features: Any = SIZES, rows: Any = None, values: Values = off_kinks, **options: Any
) -> st.SearchStrategy[tuple[Layer, Array]]:
    """Draw cases ``(layer, x)`` of a layer of your own.

    Parameters
    ----------
    make : callable
        Takes the number of features (or the shape) of one row of x, and returns the layer.
    features : int, tuple of int, or strategy of either
        The argument of `make`; the default draws 1 to 8, mostly up to 4.
    rows : int or strategy of int
        The number of rows of x; the default draws 1 to 8, mostly up to 4.
    values : function of a shape
        Draws the entries of x: `off_kinks`, `ties`, `zeros`, `extremes`, ``bounded(low, high)``, or any other function
        that returns a strategy of arrays of floats or integers.
    **options : strategy
        Strategies of other keyword arguments of `make`.

    Raises
    ------
    InputError
        If an argument is not as above, or `make` does not return a layer.
    """
    return _cases(Layer, make, features=features, rows=rows, values=values, **options)


def loss_cases(
    make: Callable[..., Loss], targets: Values, **options: Any
) -> st.SearchStrategy[tuple[Loss, Array, Array]]:
    """Draw cases ``(loss, outputs, targets)`` of a loss of your own; see `layer_cases`.

    Parameters
    ----------
    make : callable
        Returns the loss; it is called with the `options` alone, not with the features.
    targets : function of a shape
        Draws the targets for outputs of a shape: ``lambda shape: labels(*shape)`` for classes, ``bounded(-2, 2)`` for
        numbers. These are odd multiples of 1/64, so they differ from all outputs that `off_kinks` draws.
    **options
        As for `layer_cases`: `features`, `rows` and `values` of the outputs, and strategies of arguments of `make`.
    """
    check_callable("targets", targets)
    return _cases(Loss, make, targets, **options)


def _cases(
    kind: type, make: Any, *targets: Any, features: Any = SIZES, rows: Any = None, values: Any = off_kinks, **more: Any
) -> st.SearchStrategy[Any]:
    """Draw cases of `kind`: an object and its arrays. Without targets, `make` also gets the shape of a row."""
    call = call_writer(make)
    for name, strategy in more.items():
        check_type("options of make", name, strategy, st.SearchStrategy, "write a strategy, such as st.integers(1, 3)")

    @st.composite
    def cases(draw: st.DrawFn) -> tuple[Any, ...]:
        row, drawn = draw(as_strategy(features)), draw(st.fixed_dictionaries(more))
        x = draw(batches(row, rows=rows, values=values))
        arrays = [x, *(draw(of_shape(x.shape)) for of_shape in targets)]
        given_row = [] if targets else [row]
        sources = ", ".join([call(*given_row, **drawn), *map(array_source, arrays)])
        note(f"check_{kind.__name__.lower()}({sources}, seed=0)")
        made = make(*given_row, **drawn)
        check_type("make", "its result", made, kind)
        return made, *arrays

    return cases()


def given_layer_cases(make: Callable[..., Layer], **options: Any) -> Callable[[Test], Test]:
    """Decorate a test that takes ``layer`` and ``x``, which are drawn by `layer_cases` with these arguments.

    Settings that you have not changed are those of the profile ``minidl``: no deadline, and no explain phase, which
    takes much longer than the test itself. If `assert_ok` raises `InconclusiveError` or `VacuousError`, the case is
    rejected, as by ``hypothesis.assume``: x is too close to a kink inside the layer, or y does not depend on x. If most
    cases are rejected, Hypothesis ends the test with ``FailedHealthCheck``.

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
    >>> from minidl import MeanAbsoluteError, check_loss
    >>> from minidl.testing import bounded
    >>> @given_loss_cases(MeanAbsoluteError, targets=bounded(-2, 2))
    ... def test_mean_absolute_error(loss, outputs, targets):
    ...     check_loss(loss, outputs, targets).assert_ok()
    >>> test_mean_absolute_error()
    """
    return _given(loss_cases(make, targets, **options), "loss", "outputs", "targets")


def relaxed(chosen: settings) -> settings:
    """Return `chosen`, with Hypothesis' own defaults replaced by those of the profile ``minidl``."""
    deadline = None if chosen.deadline == timedelta(milliseconds=200) else chosen.deadline
    phases = _PHASES if set(chosen.phases) == set(Phase) else chosen.phases
    return settings(chosen, deadline=deadline, phases=phases)


def _given(cases: st.SearchStrategy[tuple[Any, ...]], *names: str) -> Callable[[Test], Test]:
    """Return a decorator that passes the parts of a case to a test by these names, and rejects undecided cases."""
    case = st.shared(cases)
    parts = {name: case.map(itemgetter(place)) for place, name in enumerate(names)}

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def decided(*args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            try:
                test(*args, **kwargs)
            except (InconclusiveError, VacuousError) as error:
                event(f"rejected: {type(error).__name__}")
                reject()

        drawn: Any = given(**parts)(decided)

        @functools.wraps(drawn)
        def run(*args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            # Decorators above this one set their attributes on `run`.
            vars(drawn).update({key: value for key, value in vars(run).items() if key != "__wrapped__"})
            chosen = getattr(drawn, "_hypothesis_internal_use_settings", None)
            drawn._hypothesis_internal_use_settings = relaxed(chosen or settings())
            drawn(*args, **kwargs)

        return run

    return decorate


def call_writer(make: Callable[..., Any]) -> Callable[..., str]:
    """Return a function that writes calls of `make` as Python: of a lambda its body, with the arguments filled in.

    Examples
    --------
    >>> print(call_writer(dict)(size=3))
    dict(size=3)
    """
    check_callable("make", make)
    name = getattr(make, "__name__", "make")
    function = _lambda_tree(make) if name == "<lambda>" else None

    def write(*values: Any, **options: Any) -> str:
        if function is None:
            arguments = [*map(repr, values), *(f"{key}={value!r}" for key, value in options.items())]
            return f"{name.replace('<lambda>', 'make')}({', '.join(arguments)})"
        places = dict(zip([argument.arg for argument in function.args.args], values, strict=False)) | options
        body = copy.deepcopy(function.body)
        for node in ast.walk(body):
            if isinstance(node, ast.Name) and node.id in places:
                # A "name" such as 3 is fine here, since the tree is only printed.
                node.id = repr(places[node.id])
        return ast.unparse(body)

    return write


def _lambda_tree(make: Callable[..., Any]) -> ast.Lambda | None:
    """Return the syntax tree of a lambda, or None where its source is not available."""
    places = {(line, column) for line, _, column, _ in make.__code__.co_positions()}
    with suppress(SyntaxError):
        for node in ast.walk(ast.parse("".join(linecache.getlines(make.__code__.co_filename)))):
            if isinstance(node, ast.Lambda) and (node.body.lineno, node.body.col_offset) in places:
                return node
    return None
