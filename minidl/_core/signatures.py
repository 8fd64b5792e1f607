"""Signatures: whether what a user writes can be called as minidl calls it."""

import inspect
from collections.abc import Sequence
from functools import partialmethod
from typing import Any

from minidl._core.errors import InputError


def check_methods(cls: type, names: Sequence[str]) -> None:
    """Refuse a class of a user's if minidl cannot call a method of these `names`, or one that is abstract in minidl."""
    for base in (base for base in cls.__mro__ if base.__module__.startswith("minidl.")):
        for name in (*names, *getattr(base, "__abstractmethods__", ())):
            usual, own = getattr(base, name, None), inspect.getattr_static(cls, name)
            if usual is not None and own is not usual:
                parameters = [p.replace(annotation=p.empty) for p in inspect.signature(usual).parameters.values()]
                written = f"def {name}{inspect.Signature(parameters)}"
                check_function(cls.__name__, name, own, written, parameters[1:], cls)


def check_function(
    where: str,
    name: str,
    function: Any,
    written: str,
    arguments: Sequence[inspect.Parameter],
    owner: type | None = None,
) -> inspect.Signature | None:
    """Return the signature of a function, or of an attribute of the class `owner`; None if it cannot be known.

    Raises
    ------
    InputError
        If it cannot be called with the `arguments`, or does nothing when it is called; says how it is `written`.
    """
    if owner is not None and hasattr(function, "__get__"):
        if not is_method(function):
            # Such as a property: only an instance tells what it is.
            return None
        function = function.__get__(object(), owner)
    wanted = f"{where}: expected {name} to be a function of ({', '.join(map(str, arguments))})"
    if not callable(function):
        raise InputError(f"{wanted}, got {function!r:.80}; write {written}")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise InputError(f"{wanted}, got one with async or yield, of which a call runs nothing; write {written}")
    try:
        # Of a decorated one the decorator's: that is what is called.
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        # Some functions written in C have none.
        return None
    needed = [None for argument in arguments if argument.default is argument.empty]
    try:
        signature.bind(*needed)
        signature.bind(*needed, **dict.fromkeys(argument.name for argument in arguments[len(needed) :]))
        signature.bind(*(None for _ in arguments))
    except TypeError:
        raise InputError(f"{wanted}, got one of {signature}; write {written}") from None
    return signature


def is_method(value: object) -> bool:
    """Return whether an attribute of a class is called as a method."""
    # The last two become callable when an instance is asked for them.
    return not isinstance(value, type) and (callable(value) or isinstance(value, classmethod | partialmethod))
