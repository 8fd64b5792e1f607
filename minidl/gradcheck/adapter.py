"""ForeignLayer: an object of another library, or a course script, as a layer that can be checked."""

import copy
import inspect
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Self

import numpy as np

from minidl._core.errors import InputError
from minidl._core.types import Array
from minidl.nn.layers import Layer
from minidl.nn.parameter import Parameter

Function = Callable[..., Any]
State = dict[str, Any]


class ForeignLayer(Layer):
    """Code that is no `Layer`, as one: it can be checked as it is.

    The constructor takes any object with a forward and a backward method. For other interfaces there are `from_torch`,
    `from_functions` and `from_numpy_ml`. What is wrapped is copied, never changed.

    Parameters
    ----------
    target : object
        Its forward takes x and returns y; its backward takes dy and returns dx.
    parameters : mapping of str to str
        The attribute that holds each parameter, and the one in which backward leaves that parameter's gradient.
    forward, backward : str
        The methods' names.
    batch_independent : bool
        False for a layer that mixes its rows, such as a batch normalization.

    Examples
    --------
    >>> class Double:
    ...     def __init__(self):
    ...         self.w = np.array([2.0])
    ...
    ...     def forward(self, x):
    ...         self.x = x
    ...         return x * self.w
    ...
    ...     def backward(self, dy):
    ...         self.dw = (dy * self.x).sum(axis=0)
    ...         return dy * self.w
    >>> from minidl import check_layer
    >>> check_layer(ForeignLayer(Double(), {"w": "dw"}), np.array([[1.0], [-3.0]])).ok
    True
    """

    def __init__(
        self,
        target: Any,
        parameters: Mapping[str, str] | None = None,
        *,
        forward: str = "forward",
        backward: str = "backward",
        batch_independent: bool = True,
    ) -> None:
        names = dict(parameters or {})
        state = {name: np.array(getattr(target, name), np.float64) for name in names}
        self._wrap(_of_object, (target, forward, backward, list(names.values())), batch_independent, state)

    @classmethod
    def from_torch(cls, function: Any, *arguments: Any, batch_independent: bool = True) -> Self:
        """Wrap a PyTorch function or module; it runs on the CPU, its backward through PyTorch's own engine.

        Random numbers are the same in every forward.

        Parameters
        ----------
        function : subclass of torch.autograd.Function, or torch.nn.Module
            A function is called as ``function.apply(x, *arguments)``.
        *arguments
            Floating-point arrays, and tensors with ``requires_grad``, are parameters; anything else is passed on as it
            is. A parameter is called as in the signature of the function's forward, or by its path in the module.
        batch_independent : bool
            False for a layer that mixes its rows.

        Raises
        ------
        InputError
            If `function` is neither, or its forward does not take these arguments.
        """
        torch: Any = sys.modules.get("torch")
        if not torch or not isinstance(function, torch.nn.Module | type(torch.autograd.Function)):
            wanted = "a subclass of torch.autograd.Function (not its apply) or a torch.nn.Module"
            raise InputError(f"ForeignLayer.from_torch: expected {wanted}, got {function!r:.80}")
        if isinstance(function, torch.nn.Module):
            buffers = dict(function.named_buffers())
            state = dict(function.named_parameters()) | buffers
        else:
            plain = function.setup_context is torch.autograd.Function.setup_context
            state, buffers = _by_name(function.forward, 2 if plain else 1, arguments), {}
        for name, value in state.items():
            if name in buffers or getattr(value, "requires_grad", False):
                state[name] = value.detach().numpy()
        return cls.__new__(cls)._wrap(_of_torch, function, batch_independent, state, buffers)

    @classmethod
    def from_functions(
        cls, forward: Function, backward: Function, *arguments: Any, batch_independent: bool = True
    ) -> Self:
        """Wrap a pair of functions in the style of the course CS231n.

        Parameters
        ----------
        forward : callable
            ``forward(x, *arguments) -> y, cache``.
        backward : callable
            ``backward(dy, cache)``: the gradients of x and of every parameter, as a tuple in the order of `arguments`.
        *arguments
            Floating-point arrays are parameters, called as in the signature of `forward`; anything else is passed on as
            it is.
        batch_independent : bool
            False for a layer that mixes its rows.

        Raises
        ------
        InputError
            If `forward` does not take these arguments.

        Examples
        --------
        >>> def scale_forward(x, gain):
        ...     return x * gain, (x, gain)
        >>> def scale_backward(dy, cache):
        ...     x, gain = cache
        ...     return dy * gain, (dy * x).mean(axis=0)
        >>> from minidl import check_layer
        >>> layer = ForeignLayer.from_functions(scale_forward, scale_backward, np.array([2.0, -0.5]))
        >>> check_layer(layer, np.array([[1.0, 0.5], [-3.0, 2.0]])).findings[0].tensor
        'gain'
        """
        state = _by_name(forward, 1, arguments)
        return cls.__new__(cls)._wrap(_of_functions, (forward, backward), batch_independent, state)

    @classmethod
    def from_numpy_ml(cls, layer: Any, x: Any, *, batch_independent: bool = True) -> Self:
        """Wrap a layer of numpy-ml, or of the same interface.

        Parameters
        ----------
        layer : object
            Has ``forward(x, retain_derived)``, ``backward(dy)``, ``flush_gradients()``, and dicts ``parameters`` and
            ``gradients``. What is in the first alone, such as a running mean, is a buffer.
        x : array_like
            A batch, from which the layer makes its parameters if it has not yet.
        batch_independent : bool
            False for a layer that mixes its rows.

        Raises
        ------
        InputError
            If `layer` has no such interface.
        """
        target = copy.deepcopy(layer)
        target.forward(np.array(x, np.float64), retain_derived=False)
        state = {name: np.array(value, np.float64) for name, value in target.parameters.items()}
        buffers = state.keys() - target.gradients.keys()
        return cls.__new__(cls)._wrap(_of_numpy_ml, target, batch_independent, state, buffers)

    def _wrap(self, vjp: Function, target: Any, independent: bool, state: State, buffers: Collection[str] = ()) -> Self:
        """Take `target`, which `vjp` can run with `state`: buffers, parameters (arrays of floats), and constants."""
        self._vjp, self._target, self.batch_independent = vjp, copy.deepcopy(target), independent
        for name, value in state.items():
            floating = isinstance(value, np.ndarray) and value.dtype.kind == "f"
            if name in buffers:
                self._buffers[name] = np.array(value, np.float64 if floating else None)
            elif floating:
                # Not by `add_parameter`: the name may be a path, and findings are to call it as the user does.
                self._parameters[name] = Parameter(value, name=name, dtype=np.float64)
        self._state = copy.deepcopy(state) | self._buffers | self._parameters
        return self

    def forward(self, x: Array, train: bool = False) -> Array:
        # An object without a train flag keeps what its backward needs on every forward: only those of training may.
        target = self._target if train else copy.deepcopy(self._target)
        state = {name: value.value if isinstance(value, Parameter) else value for name, value in self._state.items()}
        try:
            y, pullback = self._vjp(target, x, state, list(self._parameters), train)
        except Exception as error:
            # One row may be too few for a layer that mixes them.
            if self.batch_independent or len(x) > 1:
                raise
            raise InputError(f"{self!r}: {error}") from error
        if train:
            self.keep(pullback)
        return _at_most(x, y)

    def backward(self, dy: Array) -> Array:
        (pullback,) = self.kept()
        gradients, names = pullback(dy), ["x", *self._parameters]
        gradients = gradients if isinstance(gradients, tuple | list) else [gradients]
        if len(gradients) != len(names) or any(gradient is None for gradient in gradients):
            got = ", ".join(type(gradient).__name__ for gradient in gradients)
            raise InputError(f"{self!r}: expected an array as the gradient of each of {', '.join(names)}; got {got}")
        for parameter, gradient in zip(self._parameters.values(), gradients[1:], strict=True):
            parameter.add_grad(np.asarray(gradient))
        # Other libraries may hand dy on.
        return _at_most(dy, gradients[0]).copy()

    def __repr__(self) -> str:
        first = self._target[0] if isinstance(self._target, tuple) else self._target
        return f"ForeignLayer({getattr(first, '__name__', type(first).__name__)})"


# Each of these calls forward, and returns y and the function from dy to the gradients of x and of the parameters.


def _of_object(target: Any, x: Array, state: State, parameters: list[str], train: bool) -> tuple[Any, Function]:
    subject, forward, backward, gradients = target
    for name, value in state.items():
        setattr(subject, name, value)
    y = getattr(subject, forward)(x)
    return y, lambda dy: (getattr(subject, backward)(dy), *(getattr(subject, name) for name in gradients))


def _of_functions(target: Any, x: Array, state: State, parameters: list[str], train: bool) -> tuple[Any, Function]:
    forward, backward = target
    found = forward(x, *state.values())
    if not isinstance(found, tuple) or len(found) != 2:
        raise InputError(f"expected forward to return y and a cache, got {type(found).__name__}; write return y, cache")
    return found[0], lambda dy: backward(dy, found[1])


def _of_torch(target: Any, x: Array, state: State, parameters: list[str], train: bool) -> tuple[Any, Function]:
    torch: Any = sys.modules["torch"]
    is_module = isinstance(target, torch.nn.Module)

    def tensor(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return torch.from_numpy(value if min(value.strides, default=0) >= 0 else value.copy())
        return value.to(given.dtype) if torch.is_tensor(value) and value.is_floating_point() else value

    given = tensor(x).requires_grad_()
    tensors = {name: tensor(value) for name, value in state.items()}
    leaves = [given, *(tensors[name].requires_grad_() for name in parameters)]
    y = (
        torch.func.functional_call(target.train(train), tensors, given)
        if is_module
        else target.apply(given, *tensors.values())
    )
    if not torch.is_tensor(y):
        raise InputError(f"expected forward to return one tensor, got {type(y).__name__}")
    # What a module does not use has a gradient of zero.
    options = {"allow_unused": True, "materialize_grads": is_module}
    return y.detach().numpy(), lambda dy: torch.autograd.grad(y, leaves, tensor(dy), **options)


def _of_numpy_ml(target: Any, x: Array, state: State, parameters: list[str], train: bool) -> tuple[Any, Function]:
    target.flush_gradients()
    target.parameters.update(state)
    y = target.forward(x, retain_derived=train)
    for name in state.keys() - set(parameters):
        state[name][...] = target.parameters[name]
    return y, lambda dy: (target.backward(dy), *(target.gradients[name] for name in parameters))


def _by_name(forward: Function, before: int, arguments: Sequence[Any]) -> State:
    """Return `arguments` by their names in the signature of `forward`, which takes `before` others before them."""
    try:
        signature = inspect.signature(forward)
        signature.bind(*[None] * before, *arguments)
    except TypeError as error:
        raise InputError(f"ForeignLayer: {error}; pass what forward takes after x") from error
    names = list(signature.parameters)
    # Of *weights, the second is weights2.
    names += [f"{names[-1]}{i}" for i in range(2, before + len(arguments))]
    return dict(zip(names[before:], arguments, strict=False))


def _at_most(x: Array, result: Any) -> Array:
    """Return a result as an array, in x's dtype if that is the smaller one: other libraries compute in float64."""
    array = np.asarray(result)
    return array.astype(x.dtype) if array.dtype == np.float64 else array
