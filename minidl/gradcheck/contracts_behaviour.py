"""Behaviour of a layer; see `minidl.gradcheck.contracts`."""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial

import numpy as np

from minidl._core.errors import MinidlError
from minidl._core.types import Array
from minidl.gradcheck.contracts_common import (
    EVAL,
    TRAIN,
    LayerState,
    check_array,
    check_close,
    check_refused,
    check_unchanged,
    largest,
    layouts,
    signed,
    take_rows,
)
from minidl.gradcheck.guard import Broken, attempt, collect, fail
from minidl.gradcheck.report import Finding
from minidl.nn.layers import Layer


def behaviour_of_layer(layer: Layer, x: Array, rng: np.random.Generator) -> list[Finding]:
    """Return what `layer`, in float64 and better fresh than used, breaks in uses out of the ordinary."""
    subject = _Behaviour(layer, x, rng)
    try:
        return collect(
            subject.before_any_forward,
            subject.linear,
            subject.adds_up,
            subject.consumes,
            subject.keeps_nothing_for_prediction,
            subject.last_forward_counts,
            subject.prediction_between,
            subject.parameters_alone,
            subject.shape_promised,
            *subject.memory_layouts(),
            subject.broadcast_dy,
            subject.other_order,  # before batches of other sizes, which may renew what is wrongly kept
            subject.empty_batch,
            subject.small_batches,
            subject.split_batch,
        )
    finally:
        subject.leave()


class _Behaviour(LayerState):
    def __init__(self, layer: Layer, x: Array, rng: np.random.Generator) -> None:
        super().__init__(layer)
        self.x = x
        self.rng = rng
        self.scale = largest(x, *(parameter.value for parameter in self.parameters.values()))
        self.independent = all(part.batch_independent for _, part in layer.walk())

    @cached_property
    def dy(self) -> Array:
        return signed(attempt(EVAL, lambda: self.layer.forward(self.x.copy())).shape, self.rng)

    @cached_property
    def plain(self) -> dict[str, Array]:
        """y, dx and gradients of one forward and one backward."""
        return self.run("in plain use", self.x, self.dy)

    @cached_property
    def random(self) -> bool:
        """Whether forward draws from the layer's generators: then y may depend on the shape and layout of x too."""
        self.reset()
        before = [str(generator.bit_generator.state) for generator in self.generators]
        attempt(TRAIN, lambda: self.layer.forward(self.x.copy(), train=True))
        return before != [str(generator.bit_generator.state) for generator in self.generators]

    def run(
        self,
        when: str,
        x: Array,
        dy: Array,
        let_through: tuple[type[Exception], ...] = (),
        *,
        between: Callable[[], object] = lambda: None,
    ) -> dict[str, Array]:
        """Return copies of y, dx and gradients, from the state as it was found."""
        self.reset()
        y = attempt(f"{when}, forward", lambda: np.array(self.layer.forward(x, train=True)), let_through)
        between()
        dx = attempt(f"{when}, backward", lambda: np.array(self.layer.backward(dy)), let_through)
        return {"y": y, "dx": dx, **self.gradients()}

    def compare(self, when: str, got: dict[str, Array], want: dict[str, Array], dy_scale: float = 1.0) -> None:
        scale = max(self.scale * dy_scale, largest(*want.values()))
        for name, value in want.items():
            check_close(when, name, got[name], value, scale)

    def compare_rows(self, when: str, got: dict[str, Array], want: dict[str, Array]) -> None:
        """Compare what must agree if each row of y depends on its own row of x alone."""
        try:
            self.compare(when, got, want)
        except Broken as broken:
            hint = "; if its rows are meant to mix, set batch_independent = False"
            raise Broken(replace(broken.finding, reason=broken.finding.reason + hint)) from None

    def before_any_forward(self) -> None:
        try:
            self.layer.backward(np.ones(self.dy.shape))
        except (AttributeError, TypeError) as error:  # how a cache that is not there shows
            fail(f"a backward before any forward must raise CallOrderError, and raised {type(error).__name__}: {error}")
        except Exception:  # refused; or the layer was used before, and its forward had other rows
            return

    def linear(self) -> None:
        u, w = self.dy, signed(self.dy.shape, self.rng)
        a, b = 1.5, -0.75
        at_u, at_w = self.plain, self.run("in plain use", self.x, w)
        want = {name: a * at_u[name] + b * at_w[name] for name in at_u if name != "y"}
        self.compare("with dy = 1.5 u - 0.75 w, and backward linear", self.run("with dy", self.x, a * u + b * w), want)
        for factor in (2.0**24, 2.0**-24):  # exact in floating point, and beyond what is clipped or cut off
            got = self.run(f"with dy times {factor:g}", self.x, factor * u)
            want = {name: factor * at_u[name] for name in want}
            self.compare(f"with dy times {factor:g}, and backward linear", got, want, max(1.0, factor))
        zero = self.run("with dy = 0", self.x, np.zeros_like(u))
        for name in want:
            if zero[name].any():
                fail(f"with dy = 0, {name} is not 0: backward must be linear in dy", name)

    def adds_up(self) -> None:
        gathered = {path: signed(p.value.shape, self.rng) for path, p in self.parameters.items()}
        self.reset()
        for path, parameter in self.parameters.items():
            parameter.add_grad(gathered[path])
        attempt(TRAIN, lambda: self.layer.forward(self.x.copy(), train=True))
        attempt("backward", lambda: self.layer.backward(self.dy.copy()))
        found = self.gradients()
        for path, before in gathered.items():
            name = f"{path}.grad"
            check_close("added to what was there before", name, found[name], before + self.plain[name], self.scale)

    def consumes(self) -> None:
        self.run("in plain use", self.x, self.dy)
        check_refused("a second backward after one forward", lambda: self.layer.backward(self.dy.copy()))

    def keeps_nothing_for_prediction(self) -> None:
        self.run("in plain use", self.x, self.dy)
        attempt(EVAL, lambda: self.layer.forward(self.x.copy()))
        check_refused(f"a backward after only {EVAL}", lambda: self.layer.backward(self.dy.copy()))

    @cached_property
    def other_x(self) -> Array:
        """Another batch of the same rows: in reverse order, or more of them."""
        return self.x[::-1].copy() if len(self.x) > 1 else take_rows(self.x, 2)

    def last_forward_counts(self) -> None:
        self.reset()
        attempt(TRAIN, lambda: self.layer.forward(self.other_x, train=True))
        when = "after two forwards, of which the second counts"
        self.compare(when, self.run(when, self.x.copy(), self.dy.copy()), self.plain)

    def prediction_between(self) -> None:
        when = f"with a {EVAL} between forward and backward"

        def predict() -> None:
            attempt(EVAL, lambda: self.layer.forward(self.other_x))

        got = self.run(when, self.x.copy(), self.dy, between=predict)
        self.compare(when, got, self.plain)

    def parameters_alone(self) -> None:
        self.reset()
        attempt(TRAIN, lambda: self.layer.forward(self.x.copy(), train=True))
        dy = self.dy.copy()
        attempt("backward_parameters", lambda: self.layer.backward_parameters(dy))
        check_unchanged("backward_parameters", "dy", dy, self.dy)
        want = {name: value for name, value in self.plain.items() if name not in ("y", "dx")}
        self.compare("by backward_parameters", self.gradients(), want)

    def shape_promised(self) -> None:
        promised = attempt("output_shape", lambda: tuple(self.layer.output_shape(self.x.shape[1:])))
        got = self.plain["y"].shape
        # Two methods make a layer: one that does not speak of shapes, or has such parts, has promised nothing.
        silent = any(type(part).output_shape is Layer.output_shape for _, part in self.layer.walk())
        if (len(self.x), *promised) != got and not silent:
            fail(f"output_shape promises {promised} for a row, and forward returns {got} for {len(self.x)} rows", "y")

    def memory_layouts(self) -> list[Callable[[], None]]:
        def probe(layout: str) -> None:
            when = f"with x and dy {layout}"
            got = self.run(when, layouts(self.x)[layout], layouts(self.dy)[layout])
            if not self.random:
                self.compare(when, got, self.plain)

        return [partial(probe, layout) for layout in layouts(np.zeros(1))]

    def broadcast_dy(self) -> None:
        when, dy = "with a broadcast dy, whose strides are 0", np.broadcast_to(-0.625, self.dy.shape)
        self.compare(when, self.run(when, self.x.copy(), dy), self.run("in plain use", self.x, dy.copy()))

    def empty_batch(self) -> None:
        when = "with an empty batch"
        if not self.independent:
            return  # there are no statistics of nothing
        self.reset()
        try:
            self.layer.forward(self.x[:0].copy(), train=True)
        except Exception:  # refused loudly, however it is called
            return
        got = self.run(when, self.x[:0].copy(), self.dy[:0].copy())
        for name, value in got.items():
            shape = (0, *self.plain[name].shape[1:]) if name in ("y", "dx") else value.shape
            check_array(f"{when} the layer", name, value, shape, self.x.dtype)

    def small_batches(self) -> None:
        for rows in (1, 2, 3):
            when = f"with a batch of {rows}"
            try:
                got = self.run(when, take_rows(self.x, rows), take_rows(self.dy, rows), (MinidlError,))
            except MinidlError:  # one row may be too few for a layer that mixes them
                continue
            for name, value in got.items():
                shape = (rows, *self.plain[name].shape[1:]) if name in ("y", "dx") else value.shape
                check_array(f"{when} the layer", name, value, shape, self.x.dtype)
            if self.independent and not self.random:
                want = {name: take_rows(self.plain[name], rows) for name in ("y", "dx")}
                self.compare_rows(f"{when} of the same rows", got, want)

    def other_order(self) -> None:
        if self.independent and not self.random:
            got = self.run("with the rows in reverse order", self.x[::-1].copy(), self.dy[::-1].copy())
            want = self.plain | {name: self.plain[name][::-1] for name in ("y", "dx")}
            self.compare_rows("with the rows in reverse order", got, want)

    def split_batch(self) -> None:
        if not self.independent or self.random:
            return
        x, dy = (take_rows(a, max(2, len(a))) for a in (self.x, self.dy))
        parts = (slice(None), slice(1), slice(1, None))
        try:
            whole, head, tail = (self.run("with part of a batch", x[p], dy[p], (MinidlError,)) for p in parts)
        except MinidlError:
            return
        want = {name: value for name, value in whole.items() if name not in ("y", "dx")}
        self.compare_rows("of a batch in two parts", {name: head[name] + tail[name] for name in want}, want)
