"""Reprs: an object shown as the constructor call that makes an equal one."""

import inspect
import os
import re
from reprlib import recursive_repr

import numpy as np


# Recursive, because an argument may hold a reference to its owner.
@recursive_repr()
def constructor_call(owner: object) -> str:
    """Return ``Name(required, option=value)``: the required arguments, and options that differ from their defaults.

    The values are read from attributes with the arguments' names. Arguments without such an attribute are left out,
    and so are the `saved_attributes` of a layer or callback, since they change during training.

    Examples
    --------
    >>> class Ramp:
    ...     def __init__(self, slope, start=0.0, name="ramp"):
    ...         self.slope, self.start, self.name = slope, start, name
    >>> constructor_call(Ramp(2.0, start=1e-5))
    'Ramp(2, start=1e-05)'
    """
    parameters = parameters_of(type(owner))
    changing = getattr(owner, "saved_attributes", ())
    arguments, by_name = [], False
    for name, parameter in parameters.items():
        # Not getattr alone: the name may be that of a method.
        kept = name in getattr(owner, "__dict__", ()) or isinstance(getattr(type(owner), name, None), property)
        value = getattr(owner, name, parameter.default) if kept else parameter.default
        if value is parameter.empty or name in changing:
            by_name = True
        elif parameter.default is parameter.empty and not by_name:
            arguments.append(oneline_repr(value))
        elif parameter.default is parameter.empty or oneline_repr(value) != oneline_repr(parameter.default):
            arguments.append(oneline_repr(value) if len(parameters) == 1 else f"{name}={oneline_repr(value)}")
    return f"{type(owner).__name__}({', '.join(arguments)})"


def parameters_of(cls: type) -> dict[str, inspect.Parameter]:
    """Return the constructor's parameters; ``**options`` stands for those of the base class."""
    parameters: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" in vars(base):
            own = list(inspect.signature(base).parameters.values())
            parameters |= {p.name: p for p in own if p.kind is not p.VAR_KEYWORD and p.name not in parameters}
            if not any(p.kind is p.VAR_KEYWORD for p in own):
                break
    return parameters


def counted(count: int, thing: str) -> str:
    """Return a count with its noun, such as ``1 row`` or ``2 rows``."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def oneline_repr(value: object) -> str:
    """Return the repr of `value` on one line: floats exactly but without ``.0``, and no memory addresses."""
    if isinstance(value, float | np.floating):
        return repr(float(value)).removesuffix(".0")
    if isinstance(value, os.PathLike):
        return repr(os.fspath(value))
    if isinstance(value, np.ndarray):
        return f"array of shape {value.shape}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", " ".join(repr(value).split()))
