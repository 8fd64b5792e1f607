"""ForeignLayer: an object of another library, or a course script, as a layer that can be checked."""

import copy
import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Self

import numpy as np

from minidl._core.errors import InputError
from minidl._core.types import Array
from minidl.nn.layers import Layer
from minidl.nn.parameter import Parameter

Call = Callable[..., Any]
State = dict[str, Any]


class ForeignLayer(Layer):
    """A layer made of other code, such as a function of PyTorch, so that it can be checked.

    The constructor takes any object with a forward and a backward method; `from_torch`, `from_functions` and
    `from_numpy_ml` take other interfaces. All of them copy their arguments and never change them.

    Parameters
    ----------
    target : object
        Its forward takes x and returns y; its backward takes dy and returns dx.
    parameters : mapping of str to str
        The name of each parameter's attribute, and of the attribute where backward stores its gradient.
    forward, backward : str
        The names of the methods.
    batch_independent : bool
        False for a layer whose rows affect each other, such as a batch normalization.

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

        def run(target: Any, x: Array, state: State, train: bool) -> tuple[Any, Call]:
            for name, value in state.items():
                # The target may add to its gradients, or compute them as a property.
                with suppress(AttributeError):
                    setattr(target, names[name], np.zeros_like(value))
                setattr(target, name, value)
            y = getattr(target, forward)(x)
            return y, lambda dy: (getattr(target, backward)(dy), *(getattr(target, name) for name in names.values()))

        self._wrap(run, target, {name: np.array(getattr(target, name), float) for name in names}, batch_independent)

    @classmethod
    def from_torch(cls, function: Any, *arguments: Any, batch_independent: bool = True) -> Self:
        """Wrap a function or module of PyTorch; it runs on the CPU, and PyTorch's engine calls its backward.

        It must accept float64 and float32, and return one tensor. A forward that draws random numbers gets the verdict
        NONDETERMINISTIC: pass a mask as an argument, or set the rate of a dropout to 0.

        Parameters
        ----------
        function : subclass of torch.autograd.Function, or torch.nn.Module
            A function is called as ``function.apply(x, *arguments)``.
        *arguments
            The arguments of the function's forward after x. Arrays of floating-point numbers, and tensors with
            ``requires_grad``, are parameters; everything else is passed on. The report calls a parameter by its name in
            the signature of the function's forward, or by its path in the module.
        batch_independent : bool
            False for a layer whose rows affect each other.

        Raises
        ------
        InputError
            If `function` is neither a Function class nor a Module.
        """
        torch: Any = sys.modules.get("torch")
        if not torch or not isinstance(function, torch.nn.Module | type(torch.autograd.Function)):
            raise InputError(f"from_torch: expected a Function class (not its apply) or a Module, got {function!r:.60}")
        if is_module := isinstance(function, torch.nn.Module):
            state, buffers = dict(function.named_parameters()), dict(function.named_buffers())
        else:
            plain = function.setup_context is torch.autograd.Function.setup_context
            state, buffers = _by_name(function.forward, 2 if plain else 1, arguments), {}
        parameters = {name: v.detach().numpy() for name, v in state.items() if getattr(v, "requires_grad", False)}

        def tensor(value: Any, like: Any = None) -> Any:
            if isinstance(value, np.ndarray):
                return torch.from_numpy(value if min(value.strides, default=0) >= 0 else value.copy())
            return value.to(like.dtype) if torch.is_tensor(value) and value.is_floating_point() else value

        def run(target: Any, x: Array, state: State, train: bool) -> tuple[Any, Call]:
            given = tensor(x).requires_grad_()
            tensors = {name: tensor(value, given) for name, value in state.items()}
            leaves = [given, *(tensors[name].requires_grad_() for name in layer._parameters)]
            call = torch.func.functional_call
            y = call(target.train(train), tensors, given) if is_module else target.apply(given, *tensors.values())
            # A parameter that a module does not use has a gradient of zero.
            options = {"allow_unused": True, "materialize_grads": is_module}
            return y.detach().numpy(), lambda dy: torch.autograd.grad(y, leaves, tensor(dy), **options)

        layer = cls.__new__(cls)
        return layer._wrap(run, function, state | parameters, batch_independent, buffers)

    @classmethod
    def from_functions(cls, forward: Call, backward: Call, *arguments: Any, batch_independent: bool = True) -> Self:
        """Wrap a pair of functions in the style of the course CS231n.

        Parameters
        ----------
        forward : callable
            ``forward(x, *arguments) -> y, cache``.
        backward : callable
            ``backward(dy, cache)``: the gradients of x and of every parameter, as a tuple in the order of `arguments`.
        *arguments
            The arguments of `forward` after x. Floating-point arrays are parameters; everything else is passed on.
            The report calls a parameter by its name in the signature of `forward`.
        batch_independent : bool
            False for a layer whose rows affect each other.

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

        def run(target: Any, x: Array, state: State, train: bool) -> tuple[Any, Call]:
            got = forward(x, *state.values())
            if not isinstance(got, tuple) or len(got) != 2:
                raise InputError(f"expected forward to return y and a cache, got {type(got).__name__}; return y, cache")
            return got[0], lambda dy: backward(dy, got[1])

        return cls.__new__(cls)._wrap(run, forward, _by_name(forward, 1, arguments), batch_independent)

    @classmethod
    def from_numpy_ml(cls, layer: Any, x: Any, *, batch_independent: bool = True) -> Self:
        """Wrap a layer of numpy-ml, or of the same interface.

        Parameters
        ----------
        layer : object
            Has ``forward(x, retain_derived)``, ``backward(dy)``, ``flush_gradients()``, and dicts ``parameters`` and
            ``gradients``. An entry of `parameters` without a gradient, such as a running mean, is a buffer.
        x : array_like
            A batch; a layer without parameters creates them from it.
        batch_independent : bool
            False for a layer whose rows affect each other.
        """
        target = copy.deepcopy(layer)
        target.forward(np.array(x, float), retain_derived=False)
        parameters = {name: target.parameters[name] for name in target.gradients}
        buffers = {name: value for name, value in target.parameters.items() if name not in parameters}

        def run(target: Any, x: Array, state: State, train: bool) -> tuple[Any, Call]:
            target.flush_gradients()
            target.parameters.update(state)
            y = target.forward(x, retain_derived=train)
            for name in buffers:
                state[name][...] = target.parameters[name]
            return y, lambda dy: (target.backward(dy), *(target.gradients[name] for name in parameters))

        return cls.__new__(cls)._wrap(run, target, parameters, batch_independent, buffers)

    def _wrap(self, run: Call, target: Any, state: State, independent: bool, buffers: State | None = None) -> Self:
        """Store `target` and its `state`; floating-point arrays in `state` are parameters.

        ``run(target, x, state, train)`` returns y and the function from dy to the gradients of x and every parameter.
        """
        self._run, self._target, self.batch_independent = run, copy.deepcopy(target), independent
        self._buffers.update({name: np.asarray(buffer).copy() for name, buffer in (buffers or {}).items()})
        arrays = {name: v for name, v in state.items() if isinstance(v, np.ndarray) and v.dtype.kind == "f"}
        # Not by `add_parameter`: the name may be a path, and findings must use the name that the user knows.
        self._parameters.update({name: Parameter(v, name=name, dtype=np.float64) for name, v in arrays.items()})
        self._state = copy.deepcopy(state) | {name: p.value for name, p in self._parameters.items()} | self._buffers
        return self

    def forward(self, x: Array, train: bool = False) -> Array:
        # Other libraries may fail on an empty batch, or on a single row if rows affect each other.
        if len(x) < (least := 1 if self.batch_independent else 2):
            raise InputError(f"{self!r}: expected at least {least} rows, got {len(x)}")
        # An object without a train flag stores values in every forward. Only a training forward may, so copy it.
        target = self._target if train else copy.deepcopy(self._target)
        y, pullback = self._run(target, x, self._state, train)
        if train:
            self.keep(pullback)
        return _at_most(x, y)

    def backward(self, dy: Array) -> Array:
        (pullback,) = self.kept()
        gradients, names = pullback(dy), ["x", *self._parameters]
        gradients = gradients if isinstance(gradients, tuple | list) else [gradients]
        if len(gradients) != len(names) or any(gradient is None for gradient in gradients):
            got = ", ".join(type(gradient).__name__ for gradient in gradients)
            raise InputError(f"{self!r}: expected backward to return gradients of {', '.join(names)}; got {got}")
        for parameter, gradient in zip(self._parameters.values(), gradients[1:], strict=True):
            parameter.add_grad(np.asarray(gradient))
        # Other libraries may return dy itself.
        return _at_most(dy, gradients[0]).copy()

    def __repr__(self) -> str:
        return f"ForeignLayer({getattr(self._target, '__name__', type(self._target).__name__)})"


def _by_name(forward: Call, before: int, arguments: tuple[Any, ...]) -> State:
    """Return `arguments` by their names in the signature of `forward`, after its first `before` parameters."""
    names = list(inspect.signature(forward).parameters)
    # The second of *weights is called weights2.
    names += [f"{names[-1]}{i}" for i in range(2, before + len(arguments))]
    return dict(zip(names[before:], arguments, strict=False))


def _at_most(x: Array, result: Any) -> Array:
    """Return a result as an array, float64 in the dtype of x: many scripts always compute in float64."""
    array = np.asarray(result)
    return array.astype(x.dtype) if array.dtype == np.float64 else array
