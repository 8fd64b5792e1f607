"""Purity of a layer; see `minidl.gradcheck.contracts`."""

from collections.abc import Callable

import numpy as np

from minidl._core.errors import InputError
from minidl._core.types import Array
from minidl.gradcheck.contracts_common import (
    EVAL,
    TRAIN,
    LayerState,
    check_array,
    check_same,
    check_unchanged,
    first_difference,
)
from minidl.gradcheck.guard import attempt, collect, fail
from minidl.gradcheck.report import Finding, Verdict
from minidl.nn.layers import Layer
from minidl.nn.parameter import Parameter


def purity_of_layer(layer: Layer, x: Array, dy: Array) -> list[Finding]:
    """Return the first rule that `layer`, in float64, breaks in plain use: empty, or one finding."""
    subject = _Purity(layer)
    try:
        return collect(subject.everything_is_registered) or collect(lambda: subject.probe(x, dy))
    finally:
        subject.leave()


class _Purity(LayerState):
    def everything_is_registered(self) -> None:
        """What is kept as an attribute alone is neither trained nor saved, and no gradient shows it."""
        known = {id(part) for _, part in self.layer.walk()} | {id(p) for p in self.parameters.values()}
        for path, part in self.layer.walk():
            for name, value in vars(part).items():
                for item in value if isinstance(value, list | tuple) else (value,):
                    trains = isinstance(item, Parameter) or (isinstance(item, Layer) and item.named_parameters())
                    if trains and id(item) not in known:
                        adder = "add_layer" if isinstance(item, Layer) else "add_parameter"
                        fail(
                            f"it is kept as an attribute alone: register it with {adder}, or it is never trained",
                            path + name,
                        )

    def probe(self, x: Array, dy: Array) -> None:
        predicted = self.forward(x, False)
        kept = predicted.copy()
        self.stir()
        again = self.forward(x, False)
        check_same(EVAL, "y", kept, again, "; a prediction draws nothing at random")
        self.own_memory(EVAL, "y", predicted)
        for path, buffer in self.buffers.items():
            if np.shares_memory(predicted, buffer):
                fail(f"{EVAL} returned a view of the buffer {path}: it would change later", "y")

        self.reset()
        x_given = x.copy()
        y = self.forward(x_given, True)
        self.own_memory(TRAIN, "y", y)
        check_array(TRAIN, "y", y, predicted.shape, x.dtype)
        forwarded = y.copy()
        y_views_x = np.shares_memory(y, x_given)
        dy_given = dy.copy()
        dx = self.backward(dy_given, x_given, x)
        self.own_memory("backward", "dx", dx)
        # Where forward hands x on, as a reshape does, backward may hand dy on: both are only read.
        if np.shares_memory(dx, dy_given) and not y_views_x:
            fail("backward returned dy itself or a view of it, which is the caller's; return a new array", "dx")
        for call, later in ((EVAL, again), (TRAIN, y), ("backward", dx)):
            if np.shares_memory(predicted, later):
                fail(f"{call} wrote into what {EVAL} had returned, which is the caller's to keep", "y")
        check_unchanged("a later call", "y", predicted, kept)
        first = {"dx": dx.copy()} | self.gradients()

        self.reset()
        x_given = x.copy()
        hint = (
            "its random generators were put back" if self.generators else "it has no numpy.random.Generator to put back"
        )
        check_same(TRAIN, "y", forwarded, self.forward(x_given, True), f"; {hint}")
        self.stir()
        second = {"dx": self.backward(dy.copy(), x_given, x)} | self.gradients()
        for name, value in first.items():
            check_same("backward", name, value, second[name], "; it must use what its forward drew and kept")

        self.reset()
        if (index := first_difference(self.forward(x, False), kept)) is not None:
            reason = (
                f"{TRAIN} changed what {EVAL} returns, although parameters, buffers and generators were put back: "
                "state is kept elsewhere; register it with add_buffer, so that it is saved and copied"
            )
            fail(reason, "y", index, Verdict.STATE_CHANGED)

    def forward(self, x: Array, train: bool) -> Array:
        """Return y, if nothing was changed on the way but, in training, buffers."""
        what, given = TRAIN if train else EVAL, x if train else x.copy()
        untouched = x.copy()
        # An InputError is the layer's own word about x, and so for the caller.
        y = self._watched(what, lambda: self.layer.forward(given, train), (InputError,), buffers=not train)
        check_array(what, "y", y, None, x.dtype)
        if y.shape[:1] != x.shape[:1]:
            fail(f"{what} must return a row for each of the {len(x)} rows of x and returned shape {y.shape}", "y")
        check_unchanged(what, "x", given, untouched)
        return y

    def backward(self, dy: Array, x_given: Array, x: Array) -> Array:
        """Return dx, if nothing was changed on the way but gradients."""
        untouched, x_untouched = dy.copy(), x.copy()
        arrays = {path: parameter.grad for path, parameter in self.parameters.items()}
        dx = self._watched("backward", lambda: self.layer.backward(dy), gradients=False)
        check_array("backward", "dx", dx, x.shape, x.dtype)
        check_unchanged("backward", "dy", dy, untouched)
        check_unchanged("backward", "x", x_given, x_untouched)
        for path, parameter in self.parameters.items():
            if parameter.grad is not arrays[path]:
                fail(f"backward put another array in place of {path}.grad; use add_grad", path)
            check_array("backward", f"{path}.grad", parameter.grad, parameter.value.shape, parameter.value.dtype)
        return dx

    def _watched(
        self,
        what: str,
        call: Callable[[], Array],
        let_through: tuple[type[Exception], ...] = (),
        *,
        buffers: bool = True,
        gradients: bool = True,
    ) -> Array:
        """Return what `call` returns; parameters, and those of `buffers` and `gradients` asked for, must not change."""
        watched = [(path, p.value, Verdict.FAIL_CONTRACT) for path, p in self.parameters.items()]
        if buffers:
            watched += [(path, buffer, Verdict.STATE_CHANGED) for path, buffer in self.buffers.items()]
        if gradients:
            watched += [(f"{path}.grad", p.grad, Verdict.FAIL_CONTRACT) for path, p in self.parameters.items()]
        before = [array.copy() for _, array, _ in watched]
        result = attempt(what, call, let_through)
        for (path, array, verdict), was in zip(watched, before, strict=True):
            check_unchanged(what, path, array, was, verdict)
        return result

    def own_memory(self, what: str, name: str, result: Array) -> None:
        for path, parameter in self.parameters.items():
            for part, array in ((path, parameter.value), (f"{path}.grad", parameter.grad)):
                if np.shares_memory(result, array):
                    fail(f"{what} returned a view of {part}, which training writes; return a new array", name)
