"""Parameter: an array that training changes, with its gradient. ForwardMemory: the values kept for backward."""

import copy
from typing import Any, ClassVar, NoReturn, Self, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from minidl._core.attributes import Declared, Uncallable
from minidl._core.checks import as_array, as_dtype, as_float_dtype, check_finite, check_unmasked
from minidl._core.errors import CallOrderError, InputError, ShapeError
from minidl._core.types import Array
from minidl.nn.arithmetic import product

T = TypeVar("T")


class NotArray:
    """Base of objects that must not be used as arrays: NumPy would convert one to an array of one object."""

    __slots__ = ()
    _instead: ClassVar[str]

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise InputError(f"{self!r:.80} is not an array; {self._instead}")

    __array__ = __array_ufunc__ = __neg__ = __abs__ = __float__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __matmul__ = __rmatmul__ = _refuse
    __truediv__ = __rtruediv__ = __pow__ = __rpow__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse


class Parameter(NotArray, Declared):
    """An array that training changes, with its gradient.

    Parameters
    ----------
    value : array_like
        The initial value; it is copied, in the same memory order.
    name : str
        Name in error messages.
    penalized : bool
        Whether the model's regularizer applies; biases are not penalized.
    dtype : dtype
        float32 or float64.

    Raises
    ------
    InputError, NonFiniteError
        If the value is not an array of finite numbers, or the dtype cannot hold one of them.

    Attributes
    ----------
    trainable : bool
        Whether optimizers change the value; initially True. The gradient is always computed.

    Examples
    --------
    >>> w = Parameter([1.0, 2.0], name="w")
    >>> w.add_grad(np.array([0.5, 0.5]))
    >>> w.add_grad(np.array([0.5, 0.0]))
    >>> w.grad
    array([1. , 0.5], dtype=float32)
    """

    trainable: bool
    _past: Any = None
    """Training history of the parameter, see `minidl.training.past`."""
    _instead = "use its .value, and add_grad(g) for its gradient"
    # With __getitem__ it would be a sequence, which NumPy would convert entry by entry.
    __getitem__ = __setitem__ = NotArray._refuse

    def __init__(
        self, value: Any, *, name: str = "parameter", penalized: bool = True, dtype: DTypeLike = np.float32
    ) -> None:
        self.name = name
        self.penalized = penalized
        self.trainable = True
        array = as_dtype(name, as_array(name, value), as_float_dtype(dtype))
        check_finite(name, array)
        self._value: Array = np.array(array)
        self._grad = np.zeros_like(self._value)
        self._stale = False

    @property
    def value(self) -> Array:
        """The current value; assigning copies into the same memory, so shape and dtype never change."""
        return self._value

    @value.setter
    def value(self, new: Array) -> None:
        # `p.value -= step` has already changed the array in place.
        if new is not self._value:
            check_unmasked(self.name, new)
            if np.shape(new) != self._value.shape:
                raise shape_error(self.name, "a value", self._value.shape, np.shape(new))
            self._value[...] = new

    @property
    def grad(self) -> Array:
        """The sum of the gradients added since `zero_grad`; change it in place, do not replace it."""
        if self._stale:
            self._grad[...] = 0.0
            vars(self)["_stale"] = False
        return self._grad

    @grad.setter
    def grad(self, new: Array) -> None:
        # `p.grad *= 0.5` has already changed the array in place.
        if new is not self._grad:
            raise InputError(f"{self.name}: grad cannot be replaced; add to it with add_grad(g)")

    def zero_grad(self) -> None:
        """Set the gradient to 0; nothing is written until the next addition, which overwrites the old values."""
        vars(self)["_stale"] = True

    def add_grad(self, gradient: Array) -> None:
        """Add `gradient`, an array of the value's shape, to `grad`."""
        if type(gradient) is not np.ndarray:
            check_unmasked(self.name, gradient)
            gradient = np.asarray(gradient)
        if gradient.shape != self._value.shape:
            raise shape_error(self.name, "a gradient", self._value.shape, gradient.shape)
        if self._stale:
            self._grad[...] = gradient
            vars(self)["_stale"] = False
        else:
            np.add(self._grad, gradient, out=self._grad)

    def add_product(self, a: Array, b: Array) -> None:
        """Add ``a @ b`` to `grad`, computed in the value's dtype."""
        shape = len(a), b.shape[1]
        if shape != self._value.shape:
            raise shape_error(self.name, "a gradient", self._value.shape, shape)
        # The first product after `zero_grad` is written directly to the gradient, which saves a copy: 2 % of a step of
        # the main job, 3 to 7 % for a network 3072-256-128-10.
        gradient = self._grad if self._stale else np.empty_like(self._grad)
        product(a, b, gradient)
        if not self._stale:
            np.add(self._grad, gradient, out=self._grad)
        vars(self)["_stale"] = False

    def with_grad(self, gradient: Array) -> Self:
        """Return a parameter with the same value in the same memory, and another gradient."""
        twin = copy.copy(self)
        twin._grad, twin._stale = gradient, False
        return twin

    def __repr__(self) -> str:
        marks = "" if self.penalized else ", not penalized"
        marks += "" if self.trainable else ", frozen"
        return f"Parameter({self.name!r}, shape {self._value.shape}, {self._value.dtype}{marks})"


class ByPath(dict[str, T]):
    """Parts of a network by path. Items cannot be added or replaced: no layer would use them. Copies are dicts."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        way = "model.parameters[path].value[...] = array, or pass another dict to model.set_weights"
        raise InputError(f"parameters belong to the layers of a model; change values in place: {way}")

    def __call__(self) -> NoReturn:
        raise TypeError("parameters and weights are dicts, not methods: write model.parameters, without ()")

    __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = _refuse

    def __reduce__(self) -> tuple[type, tuple[dict[str, T]]]:
        return dict, (dict(self),)


class Kept(NotArray, tuple[Any, ...]):
    """The tuple of values that a forward has kept."""

    __slots__ = ()
    _instead = "kept() returns a tuple: write (x,) = self.kept(), with the comma"

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse()

    def __repr__(self) -> str:
        return f"kept tuple of length {len(self)}"


class ForwardMemory(Uncallable):
    """Memory that `forward` fills and `backward` empties, so that backward never uses old values."""

    _kept: tuple[Any, ...] | None = None
    _y_shape: tuple[int, ...] | None = None

    def keep(self, *values: Any, y_shape: tuple[int, ...] | None = None) -> None:
        """Keep `values` for the next backward, and replace the values kept before.

        Parameters
        ----------
        *values
            Any number of values; `kept` returns them as a tuple.
        y_shape : tuple of int, optional
            The shape that dy must have; ``kept(dy)`` checks it.
        """
        memory = vars(self)
        memory["_kept"], memory["_y_shape"] = Kept(values), y_shape

    def kept(self, dy: Array | None = None) -> tuple[Any, ...]:
        """Return the tuple of values that the last forward kept, and release them. Each forward allows one call.

        Raises
        ------
        CallOrderError
            If no forward kept values, or a backward has already used them.
        ShapeError
            If `dy` is given, and its shape is not the `y_shape` passed to `keep`.
        """
        kept, y_shape = self._kept, self._y_shape
        if kept is None:
            hint = "each forward allows one backward"
            raise CallOrderError(f"{self!r}: backward needs a forward before it (in a layer, with train=True); {hint}")
        vars(self)["_kept"] = None
        if dy is not None and y_shape is not None and dy.shape != y_shape:
            raise shape_error(self, "dy", y_shape, dy.shape)
        return kept


def shape_error(where: object, array: str, expected: tuple[int, ...], got: tuple[int, ...]) -> ShapeError:
    """Return the error for an array of the wrong shape; it names `where`."""
    return ShapeError(f"{where!s:.80}: expected {array} of shape {expected}, got {got}")
