"""Attributes: what may be assigned on an object, and what is meant by the names that other libraries have."""

import inspect
import sys
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, ParamSpec, TypeVar

from minidl._core.elsewhere import member
from minidl._core.errors import InputError
from minidl._core.reprs import parameters_of
from minidl._core.signatures import check_methods

_P = ParamSpec("_P")
_R = TypeVar("_R")
_INSTEAD = {
    "model": "make a new Trainer",
    "optimizer": "assign its learning_rate, or make a new Trainer",
    "loss": "make another Model of the network: Model(model.network, loss)",
    "dtype": "model.astype returns a copy in another one",
}
"""What to do in place of replacing these."""


def explained(function: Callable[_P, _R], owner: type | None = None) -> Callable[_P, _R]:
    """Return the function with an error that answers an argument it does not have, or lacks."""

    @wraps(function)
    def explaining(*arguments: _P.args, **options: _P.kwargs) -> _R:
        try:
            return function(*arguments, **options)
        except TypeError as error:
            if fits(function, arguments, options):
                # It was called, and something in it failed.
                raise
            cls = type(arguments[0]) if function.__name__ == "__init__" else owner
            where = f"{cls.__name__}.{function.__name__}".removesuffix(".__init__") if cls else function.__name__
            known = parameters_of(cls) if cls and cls is not owner else inspect.signature(function).parameters
            said = str(error).partition(") ")[2]
            if unknown := [option for option in options if option not in known]:
                hint = member(unknown[0], cls or function, known)
                said = f"got an unexpected keyword argument {unknown[0]!r}{hint}"
            raise TypeError(f"{where}: {said}") from None

    return explaining


def fits(function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Return whether the function can be called with these arguments."""
    try:
        inspect.signature(function).bind(*arguments, **options)
    except TypeError:
        return False
    return True


class Answering:
    """An object whose missing attributes are answered: a name of another library with what it is called here."""

    # Hidden from type checkers: they would take every name for one that is here.
    if not TYPE_CHECKING:

        def __getattr__(self, name):
            cls = type(self)
            if any(name in vars(base) for base in cls.__mro__):
                # A property that has failed: this raises its own error once more.
                return object.__getattribute__(self, name)
            hint = "" if name[0] == "_" else member(name, cls, dir(self))
            raise AttributeError(f"{cls.__name__!r} object has no attribute {name!r}{hint}")


class Declared(Answering):
    """An object whose public attributes are declared: assigning one that its class does not have is refused.

    Declared are the constructor's arguments and what the class body names, by an annotation too. Names that begin with
    an underscore are free; so are all names in a class that a user writes, save the `_meaningless` ones.
    An attribute that each step changes is put into ``vars(self)``, since an assignment is looked at for 0.3 us.
    """

    _meaningless: ClassVar[tuple[str, ...]] = ()
    """Names with a meaning in other libraries and none here, not even in a class that a user writes."""
    _replaceable: ClassVar[tuple[str, ...] | None] = None
    """The public attributes that may be replaced once they are there; None for all."""
    _overridable: ClassVar[tuple[str, ...]] = ()
    """Names of methods that a subclass may write besides the abstract ones, and minidl calls."""

    @explained
    def __init__(self) -> None:
        super().__init__()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # The type checker looks at the signatures of minidl's own, which takes no time when minidl is imported.
        if not cls.__module__.startswith("minidl."):
            check_methods(cls, cls._overridable)
        else:
            for name in {"__init__", "fit", "step", "evaluate", "predict", "predict_proba"} & vars(cls).keys():
                if inspect.isfunction(function := vars(cls)[name]):
                    if name == "__init__":
                        # For `help`, which would write out NumPy's types in 300 letters; the docstring names them.
                        function.__annotations__ = {}
                    setattr(cls, name, explained(function, cls))

    def __setattr__(self, name: str, value: Any) -> None:
        cls: type = type(self)
        if name[0] != "_" and (objection := _objection(cls, name, callable(value))):
            raise InputError(f"{cls.__name__}: {objection}")
        free = self._replaceable is None or name[0] == "_" or name in self._replaceable
        # A property without a setter refuses by itself.
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
            # An argument that the constructor does not keep, such as rng, can be given to it alone.
            names |= inspect.signature(constructor).parameters.keys() & set(
                inspect.unwrap(constructor).__code__.co_names
            )
    return frozenset(name for name in names if name[0] != "_")


def is_ours(cls: type) -> bool:
    """Return whether `cls` is one of minidl's own classes, not one that a user has written."""
    # A class in the example of a docstring has minidl's module, and is not in it.
    return cls.__module__.startswith("minidl.") and hasattr(sys.modules.get(cls.__module__), cls.__name__)


# Values are assigned in every step. Bounded, since a class that a user writes may go again.
@lru_cache(maxsize=1000)
def _objection(cls: type, name: str, is_callable: bool) -> str:
    """Return why nothing can be assigned to the attribute `name` of objects of `cls`; nothing if it can."""
    if not is_ours(cls):
        meaningless = name in cls._meaningless and name not in declared(cls)  # type: ignore[attr-defined]
        return f"{name} has no effect here{member(name, cls, ())}" if meaningless else ""
    if inspect.isfunction(getattr(cls, name, None)):
        return "" if is_callable else f"{name} is a method: call it, {name}(...)"
    if name in declared(cls):
        return ""
    names = [known for known in sorted(declared(cls)) if not inspect.isfunction(getattr(cls, known, None))]
    return f"there is no attribute {name!r}{member(name, cls, names)}"


class Uncallable(Declared):
    """An object that other libraries call like a function, and minidl does not."""

    _written: ClassVar[str]
    """What to write in place of the call."""

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(f"{type(self).__name__}: it is not called like a function; write {self._written}")


def is_function(value: object) -> bool:
    """Return whether `value` is called like a function."""
    return callable(value) and not isinstance(value, Uncallable)
