"""Attributes: what may be assigned on an object, and what is meant by the names that other libraries have."""

import inspect
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from typing import Any, ClassVar

from minidl._core.errors import InputError
from minidl._core.reprs import parameters_of
from minidl._core.signatures import check_methods
from minidl._core.spelling import nearest

_ELSEWHERE = {
    **dict.fromkeys(["trainable", "requires_grad"], "call freeze() or unfreeze(), or set trainable of one Parameter"),
    "training": "pass train=True to forward, as Trainer.fit does",
    **dict.fromkeys(["lr", "learning_rate"], "it is called learning_rate, of the optimizer"),
    **dict.fromkeys(["loss_fn", "loss_function", "criterion"], "it is called loss, an argument of Model"),
    **dict.fromkeys(["stop_training", "should_stop"], "call stop() of the trainer"),
    **dict.fromkeys(["batch_size", "epochs", "max_epochs"], "pass batch_size= and epochs= to Trainer.fit"),
    "weight_decay": "pass L2(...) as the regularizer of the Model, or use AdamW",
    **dict.fromkeys(["kernel_regularizer", "regularization"], "it is called regularizer, an argument of Model"),
    **dict.fromkeys(["kernel", "w", "W"], "it is called weight"),
    "b": "it is called bias",
    "data": "it is called value in a Parameter, and x and y in a Dataset",
    "eps": "it is called epsilon",
    "p": "it is called rate in Dropout, and probability in an augmentation",
    **dict.fromkeys(["lam", "lambda_"], "it is called strength"),
    **dict.fromkeys(["rng", "weight_init", "dtype"], "it is an argument of the constructor: make a new object"),
    "activation": "it is a layer of its own, such as ReLU()",
    "reduction": "a loss is always the mean over the batch",
    "optimizer": "it is an argument of Trainer",
    "betas": "they are called beta1 and beta2",
    **dict.fromkeys(["labels", "targets", "target"], "it is called y"),
    **dict.fromkeys(["features", "inputs"], "it is called x"),
    "transform": "map(function) returns a dataset with other x",
}
"""What minidl has in place of what PyTorch, Keras and scikit-learn call by these names."""
_INSTEAD = {
    "model": "make a new Trainer",
    "optimizer": "assign its learning_rate, or make a new Trainer",
    "loss": "make another Model of the network: Model(model.network, loss)",
    "dtype": "model.astype returns a copy in another one",
}
"""What to do in place of replacing these."""


class Declared:
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

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # The type checker looks at the signatures of minidl's own, which takes no time when minidl is imported.
        if not cls.__module__.startswith("minidl."):
            check_methods(cls, cls._overridable)
        elif "__init__" in vars(cls):
            cls.__init__ = _explaining(cls.__init__)  # type: ignore[method-assign]

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
        return f"{name} has no effect here; {_ELSEWHERE[name]}" if meaningless else ""
    if inspect.isfunction(getattr(cls, name, None)):
        return "" if is_callable else f"{name} is a method: call it, {name}(...)"
    if name in declared(cls):
        return ""
    names = [known for known in sorted(declared(cls)) if not inspect.isfunction(getattr(cls, known, None))]
    return f"there is no attribute {name!r}{_meant(name, names)}"


def _meant(name: str, names: Iterable[str]) -> str:
    """Return, as the end of an error, what a wrong name may have been meant to be: in `names` or elsewhere."""
    hint = _ELSEWHERE.get(name) or "".join(f"did you mean {near!r}?" for near in nearest(name, names, 1, cutoff=0.6))
    return f"; {hint}" if hint else ""


def _explaining(constructor: Callable[..., None]) -> Callable[..., None]:
    """Return the constructor with an error that names the class, and what is meant by an argument it does not have."""

    @wraps(constructor)
    def explaining(self: object, *arguments: Any, **options: Any) -> None:
        try:
            constructor(self, *arguments, **options)
        except TypeError as error:
            # With a frame below this one the constructor was called, and something in it failed.
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            known, said = parameters_of(type(self)), str(error).partition(") ")[2]
            if unknown := [name for name in options if name not in known]:
                said = f"got an unexpected keyword argument {unknown[0]!r}{_meant(unknown[0], known)}"
            raise TypeError(f"{type(self).__name__}: {said}") from None

    return explaining
