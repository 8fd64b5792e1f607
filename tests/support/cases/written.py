"""Values together with the Python that makes them again, so that a failing case prints as one line to run."""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import note
from hypothesis import strategies as st

from minidl.testing.source import array_source, call_source


class Written(NamedTuple):
    """A value and the Python expression for it."""

    value: Any
    source: str


def write_call(make, *arguments, **keywords):
    """Return ``make(*arguments, **keywords)`` with its source; an argument that is `Written` goes in by its value."""
    values = [_value(argument) for argument in arguments]
    named = {name: _value(argument) for name, argument in keywords.items()}
    sources = [source(argument) for argument in arguments]
    sources += [f"{name}={source(argument)}" for name, argument in keywords.items()]
    return Written(make(*values, **named), call_source(make, sources))


def calls(make, *arguments, **keywords):
    """Draw calls of `make`, written; each argument is a strategy."""
    return st.builds(write_call, st.just(make), *arguments, **keywords)


def noted(check, subject, *arrays):
    """Return a case of `check`, and let a failing test print the line that checks it again."""
    note(f"{check}({subject.source}, {', '.join(map(source, arrays))}, seed=0)")
    return subject.value, *arrays


def source(value):
    """Return Python for `value`: its own for a `Written`, an expression with the same memory layout for an array."""
    if isinstance(value, Written):
        return value.source
    return array_source(value) if isinstance(value, np.ndarray) else repr(value)


def _value(argument):
    return argument.value if isinstance(argument, Written) else argument
