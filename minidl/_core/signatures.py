"""Signatures: check that minidl can call the functions and methods that users write."""

import inspect
from collections.abc import Sequence
from functools import partialmethod
from typing import Any

from minidl._core.errors import InputError


def check_methods(cls: type, names: Sequence[str]) -> None:
    """Refuse a user's class if minidl cannot call one of its methods: those of `names`, and the abstract ones."""
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
    """Return the signature of a function, or of a method of the class `owner`; None if it is unknown.

    Raises
    ------
    InputError
        If it cannot be called with the `arguments`, or is a coroutine or generator. The message shows the right
        signature, `written`.
    """
    if owner is not None and hasattr(function, "__get__"):
        if not is_method(function):
            # Such as a property, whose value only an instance has.
            return None
        function = function.__get__(object(), owner)
    wanted = f"{where}: expected {name} to be a function of ({', '.join(map(str, arguments))})"
    if not callable(function):
        raise InputError(f"{wanted}, got {function!r:.80}; write {written}")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise InputError(f"{wanted}, got one with async or yield, which would not run; write {written}")
    try:
        # For a decorated function use the wrapper's signature, since the wrapper is called.
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        # Some functions written in C have no signature.
        return None
    needed = [None for argument in arguments if argument.default is argument.empty]
    try:
        signature.bind(*needed)
        signature.bind(*needed, **dict.fromkeys(argument.name for argument in arguments[len(needed) :]))
        signature.bind(*(None for _ in arguments))
    except TypeError:
        raise InputError(f"{wanted}, got a function of {signature}; write {written}") from None
    return signature


def is_method(value: object) -> bool:
    """Return whether an attribute of a class can be called as a method."""
    # classmethod and partialmethod objects become callable when read from an instance.
    return not isinstance(value, type) and (callable(value) or isinstance(value, classmethod | partialmethod))
