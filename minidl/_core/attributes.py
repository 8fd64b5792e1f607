"""Attributes: which ones may be assigned, and hints for names that other libraries use."""

import inspect
import sys
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, ParamSpec, TypeVar

from minidl._core.errors import InputError
from minidl._core.foreign_names import member
from minidl._core.reprs import parameters_of
from minidl._core.signatures import check_methods

_P = ParamSpec("_P")
_R = TypeVar("_R")
_INSTEAD = {
    "model": "make a new Trainer",
    "optimizer": "assign its learning_rate, or make a new Trainer",
    "loss": "make a new Model of the same network: Model(model.network, loss)",
    "dtype": "call model.astype(dtype), which returns a copy",
}
"""Instructions for attributes that cannot be replaced."""


def explained(function: Callable[_P, _R], owner: type | None = None) -> Callable[_P, _R]:
    """Return the function with a better TypeError for an unexpected or missing argument."""

    @wraps(function)
    def explaining(*arguments: _P.args, **options: _P.kwargs) -> _R:
        try:
            return function(*arguments, **options)
        except TypeError as error:
            if fits(function, arguments, options):
                # The arguments are right: the error comes from inside the function.
                raise
            cls = type(arguments[0]) if function.__name__ == "__init__" else owner
            where = f"{cls.__name__}.{function.__name__}".removesuffix(".__init__") if cls else function.__name__
            known = parameters_of(cls) if cls and cls is not owner else inspect.signature(function).parameters
            message = str(error).partition(") ")[2]
            if unknown := [option for option in options if option not in known]:
                hint = member(unknown[0], cls or function, known)
                message = f"got an unexpected keyword argument {unknown[0]!r}{hint}"
            raise TypeError(f"{where}: {message}") from None

    return explaining


def fits(function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Return whether the function can be called with these arguments."""
    try:
        inspect.signature(function).bind(*arguments, **options)
    except TypeError:
        return False
    return True


class Answering:
    """An object that answers a missing attribute with a hint, such as its name in minidl for a name of PyTorch."""

    # Hidden from type checkers: with __getattr__ they would accept every name.
    if not TYPE_CHECKING:

        def __getattr__(self, name):
            cls = type(self)
            if any(name in vars(base) for base in cls.__mro__):
                # A property has failed: raise its own error again.
                return object.__getattribute__(self, name)
            hint = "" if name[0] == "_" else member(name, cls, dir(self))
            raise AttributeError(f"{cls.__name__!r} object has no attribute {name!r}{hint}")


class Declared(Answering):
    """An object whose public attributes are declared: assigning any other public name raises an error.

    Declared are the constructor's arguments and the names in the class body, annotations included. Names that begin
    with an underscore are free. In a class of a user's own all names are free, except the `_meaningless` ones.
    Attributes that change in each step are put into ``vars(self)``, since the check of an assignment takes 0.3 us.
    """

    _meaningless: ClassVar[tuple[str, ...]] = ()
    """Names with a meaning in other libraries but none in minidl; refused in users' classes too."""
    _replaceable: ClassVar[tuple[str, ...] | None] = None
    """The public attributes that may be replaced after the first assignment; None for all."""
    _overridable: ClassVar[tuple[str, ...]] = ()
    """Names of non-abstract methods that a subclass may override and minidl calls."""

    @explained
    def __init__(self) -> None:
        super().__init__()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # The signatures of minidl's own classes are checked by mypy, which costs no time at import.
        if not cls.__module__.startswith("minidl."):
            check_methods(cls, cls._overridable)
        else:
            for name in {"__init__", "fit", "step", "evaluate", "predict", "predict_proba"} & vars(cls).keys():
                if inspect.isfunction(function := vars(cls)[name]):
                    if name == "__init__":
                        # `help` would expand NumPy's types to 300 characters; the docstring lists the types.
                        function.__annotations__ = {}
                    setattr(cls, name, explained(function, cls))

    def __setattr__(self, name: str, value: Any) -> None:
        cls: type = type(self)
        if name[0] != "_" and (objection := _objection(cls, name, callable(value))):
            raise InputError(f"{cls.__name__}: {objection}")
        free = self._replaceable is None or name[0] == "_" or name in self._replaceable
        # A property without a setter raises its own error.
        if not free and hasattr(self, name) and not isinstance(getattr(cls, name, None), property):
            raise InputError(f"{cls.__name__}: {name} cannot be replaced; {_INSTEAD.get(name, 'pass it to fit')}")
        super().__setattr__(name, value)


def declared(cls: type) -> frozenset[str]:
    """Return the public names that `cls`, its bases and their constructors have."""
    names: set[str] = set()
    for base in cls.__mro__:
        names |= vars(base).keys()
        if is_ours(base):
            names |= inspect.get_annotations(base).keys()
        if inspect.isfunction(constructor := vars(base).get("__init__")):
            # An argument that the constructor does not store, such as rng, is not an attribute.
            names |= inspect.signature(constructor).parameters.keys() & set(
                inspect.unwrap(constructor).__code__.co_names
            )
    return frozenset(name for name in names if name[0] != "_")


def is_ours(cls: type) -> bool:
    """Return whether `cls` is one of minidl's own classes, not a user's class."""
    # A class defined in a docstring's example names a module of minidl but is not an attribute of it.
    return cls.__module__.startswith("minidl.") and hasattr(sys.modules.get(cls.__module__), cls.__name__)


# Cached because each step assigns values; bounded so that users' classes can be garbage-collected.
@lru_cache(maxsize=1000)
def _objection(cls: type, name: str, is_callable: bool) -> str:
    """Return why the attribute `name` of `cls` cannot be assigned, or "" if it can."""
    if not is_ours(cls):
        meaningless = name in cls._meaningless and name not in declared(cls)  # type: ignore[attr-defined]
        return f"{name} has no effect here{member(name, cls, ())}" if meaningless else ""
    if inspect.isfunction(getattr(cls, name, None)):
        return "" if is_callable else f"{name} is a method; call it: {name}(...)"
    if name in declared(cls):
        return ""
    names = [known for known in sorted(declared(cls)) if not inspect.isfunction(getattr(cls, known, None))]
    return f"no attribute {name!r}{member(name, cls, names)}"


class Uncallable(Declared):
    """An object that is called like a function in other libraries, but not in minidl."""

    _written: ClassVar[str]
    """The code to write instead of the call."""

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be called like a function; write {self._written}")


def is_function(value: object) -> bool:
    """Return whether `value` can be called like a function."""
    return callable(value) and not isinstance(value, Uncallable)
