"""Contract probes of layers: exact rules that need no numerical derivative; see `minidl.gradcheck.probing`."""

import copy
from contextlib import suppress
from functools import cached_property, partial

import numpy as np

from minidl._core.errors import InputError, MinidlError
from minidl._core.types import Array
from minidl.gradcheck import expect
from minidl.gradcheck.arrays import PARTS, first_difference, largest, layouts, random_upstream, take_rows
from minidl.gradcheck.precision import agreement_in_float32, exactness, results_of_layer
from minidl.gradcheck.probing import ALONE, SHARED, Arrays, Calls, Probes, Snapshot, attempt, fail, one_call, one_pass
from minidl.gradcheck.report import Verdict
from minidl.nn.layers import Layer
from minidl.nn.registration import line_to_write, unregistered

EVAL, TRAIN = "forward(train=False)", "forward(train=True)"
_MIXED = "; if rows may affect each other, set batch_independent = False"


def purity_of_layer(layer: Layer, x: Array, rng: np.random.Generator) -> None:
    """Check in normal use: parameters are registered, calls agree, and each changes only its own arrays."""
    # If x is invalid, the layer itself raises the error.
    y = attempt("forward", lambda: layer.astype(np.float64).forward(x.copy(), train=True), (MinidlError,))
    dy = random_upstream(y.shape if isinstance(y, np.ndarray) else (), rng)
    subject = _Purity(layer.astype(np.float64))
    # A parameter that is only an attribute is neither trained nor saved, and no gradient reveals this.
    for path, _, name, part in unregistered(subject.layer):
        line = line_to_write(name, part)
        fail(f"it is only an attribute, so it is neither trained nor saved; write {line}", path + name)
    subject.plain_use(x, dy)
    _check_promised_shape(subject.layer, x, y)
    instances_share_nothing(layer, x)
    exactness(partial(results_of_layer, subject.layer, x))


def instances_share_nothing(layer: Layer, x: Array) -> None:
    """Check that calls to one copy of `layer` do not change the results of another."""
    subject, other = _Behaviour(layer, x, np.random.default_rng(0)), layer.astype(np.float64)
    # Another shape; and the same shape with other signs, for caches by shape.
    for other_x in (take_rows(x, len(x) + 1), -0.75 * x[::-1]):
        dy = 0.75 * take_rows(subject.dy, len(other_x))
        subject.check_plain(SHARED, one_pass(partial(other.forward, other_x, train=True), partial(other.backward, dy)))


def behaviour_of_layer(layer: Layer, x: Array, rng: np.random.Generator) -> Probes:
    """Return the probes of unusual uses, for a float64 copy of `layer`."""
    subject = _Behaviour(layer, x, rng)
    return [
        subject.linear,
        subject.accumulates,
        subject.consumes,
        subject.last_forward_wins,
        subject.prediction_between,
        subject.parameters_alone,
        *(partial(subject.memory_layout, layout) for layout in layouts(x)),
        subject.broadcast_dy,
        # These come before batches of other sizes, which may renew a stale cache.
        subject.other_rows,
        subject.empty_batch,
        subject.split_batch,
        partial(agreement_in_float32, partial(results_of_layer, layer, x)),
    ]


class _Purity(Snapshot):
    def plain_use(self, x: Array, dy: Array) -> None:
        predicted = self.forward(x, False)
        kept = predicted.copy()
        self.advance_generators()
        again = self.forward(x, False)
        expect.same(EVAL, "y", kept, again, "; a prediction must not draw random numbers")
        self.own_memory(EVAL, "y", predicted, self.buffers)

        self.reset()
        x_given = x.copy()
        y = self.forward(x_given, True)
        self.own_memory(TRAIN, "y", y)
        expect.array(TRAIN, "y", y, predicted.shape, x.dtype)
        forwarded = y.copy()
        dy_given = dy.copy()
        dx = self.backward(dy_given, x_given, y=y)
        self.own_memory("backward", "dx", dx)
        # If forward returns a view of x, as a reshape does, backward may return a view of dy: both are only read.
        if np.shares_memory(dx, dy_given) and not np.shares_memory(y, x_given):
            fail("backward returned dy itself or a view of it, which belongs to the caller; return a new array", "dx")
        for call, later in ((EVAL, again), (TRAIN, y), ("backward", dx)):
            if np.shares_memory(predicted, later):
                fail(f"{call} changed an array that {EVAL} returned, which belongs to the caller; use a new array", "y")
        expect.unchanged("a later call", "y", predicted, kept)
        first = {name: value.copy() for name, value in ({"dx": dx} | self.gradients()).items()}

        self.reset()
        x_given = x.copy()
        drawn = "its random generators were reset before both"
        hint = drawn if self.generators else "it has no numpy.random.Generator that the check can reset"
        expect.same(TRAIN, "y", forwarded, self.forward(x_given, True), f"; {hint}")
        self.advance_generators()
        second = {"dx": self.backward(dy.copy(), x_given)} | self.gradients()
        for name, value in first.items():
            expect.same("backward", name, value, second[name], "; use what forward drew and kept")

        self.reset()
        if (index := first_difference(self.forward(x, False), kept)) is not None:
            change = f"{TRAIN} changed the result of {EVAL}, although parameters, buffers and generators were reset"
            advice = "the layer has other state; register it with add_buffer, so that it is saved and copied"
            fail(f"{change}: {advice}", "y", index, Verdict.STATE_CHANGED)

    def forward(self, x: Array, train: bool) -> Array:
        """Return y; end the probe if anything changed, except buffers in training."""
        label, given = TRAIN if train else EVAL, x if train else x.copy()
        watched = (self.values, {} if train else self.buffers, self.gradients(), {"x": given})
        forward = partial(self.layer.forward, given, train)
        # An InputError is about x, so the caller must see it.
        y = expect.untouched(label, forward, *watched, let_through=(InputError,), state=self.buffers)
        expect.array(label, "y", y, None, x.dtype)
        if y.shape[:1] != x.shape[:1]:
            fail(f"{label} must return one row for each of the {len(x)} rows of x, but returned shape {y.shape}", "y")
        return y

    def backward(self, dy: Array, x: Array, **returned: Array) -> Array:
        """Return dx; end the probe if anything but gradients changed. x is the input of forward, `returned` its y."""
        gradients = self.gradients()
        watched = (self.values, self.buffers, {"dy": dy, "x": x} | returned)
        dx = expect.untouched("backward", lambda: self.layer.backward(dy), *watched, state=self.buffers)
        expect.array("backward", "dx", dx, x.shape, x.dtype)
        for path, parameter in self.parameters.items():
            if parameter.grad is not gradients[f"{path}.grad"]:
                fail(f"backward replaced {path}.grad by another array; use add_grad", path)
            expect.array("backward", f"{path}.grad", parameter.grad, parameter.value.shape, parameter.value.dtype)
        return dx

    def advance_generators(self) -> None:
        """Advance the random generators of the layer."""
        for generator in self.generators:
            generator.random()

    def own_memory(self, label: str, name: str, result: Array, others: Arrays | None = None) -> None:
        for part, array in (self.values | self.gradients() | (others or {})).items():
            if np.shares_memory(result, array):
                fail(f"{label} returned a view of {part}, which training changes; return a new array", name)


class _Behaviour(Snapshot):
    def __init__(self, layer: Layer, x: Array, rng: np.random.Generator) -> None:
        super().__init__(layer.astype(np.float64))
        self.x = x
        self.rng = rng
        self.scale = largest(x, *(parameter.value for parameter in self.parameters.values()))
        self.independent = all(part.batch_independent for _, part in layer.walk())
        # Another batch of the same rows: reversed, or one row twice.
        self.other_x = x[::-1].copy() if len(x) > 1 else take_rows(x, 2)

    @cached_property
    def dy(self) -> Array:
        return random_upstream(attempt(EVAL, lambda: self.layer.forward(self.x.copy())).shape, self.rng)

    @cached_property
    def plain(self) -> Arrays:
        """y, dx and gradients of one forward and one backward."""
        return self.run("in normal use", self.x, self.dy)

    @cached_property
    def random(self) -> bool:
        """Whether forward draws random numbers: then y may also depend on the shape and layout of x."""
        self.reset()
        self.forward(self.x)
        return str([generator.bit_generator.state for generator in self.generators]) != str(self.states)

    def forward(self, x: Array, train: bool = True) -> Array:
        return attempt(TRAIN if train else EVAL, lambda: self.layer.forward(x.copy(), train))

    def compare(self, when: str, got: Arrays, want: Arrays, hint: str = "") -> None:
        scale = max(self.scale, largest(*want.values()))
        for name, value in want.items():
            expect.close(when, name, got[name], value, scale, hint)

    def check_plain(self, when: str, others: Calls = ALONE) -> None:
        self.compare(when, self.run(when, self.x.copy(), self.dy.copy(), others=others), self.plain)

    def check_shapes(self, when: str, got: Arrays, rows: int) -> None:
        for name, value in got.items():
            shape = (rows, *self.plain[name].shape[1:]) if name in ("y", "dx") else value.shape
            expect.array(f"{when}, the layer", name, value, shape, self.x.dtype)

    def linear(self) -> None:
        tensors = {"dx": self.x} | {f"{path}.grad": parameter.value for path, parameter in self.parameters.items()}
        of = partial(self.run, "in normal use", self.x)
        expect.linear("backward", of, self.plain["y"], tensors, self.rng)

    def accumulates(self) -> None:
        gathered = {path: random_upstream(p.value.shape, self.rng) for path, p in self.parameters.items()}
        want = {f"{path}.grad": before + self.plain[f"{path}.grad"] for path, before in gathered.items()}
        self.reset()
        for path, parameter in self.parameters.items():
            parameter.add_grad(gathered[path])
        self.forward(self.x)
        attempt("backward", lambda: self.layer.backward(self.dy.copy()))
        self.compare("added to an earlier gradient", self.gradients(), want)

    def consumes(self) -> None:
        self.run("in normal use", self.x, self.dy)
        expect.refused("a second backward after one forward", lambda: self.layer.backward(self.dy.copy()))
        self.forward(self.x, False)
        expect.refused(f"a backward after only {EVAL}", lambda: self.layer.backward(self.dy.copy()))

    def last_forward_wins(self) -> None:
        self.forward(self.other_x)
        self.check_plain("after two forwards and one backward, which belongs to the second")

    def prediction_between(self) -> None:
        turn = one_call(lambda: self.forward(self.other_x, False))
        self.check_plain(f"with a {EVAL} between forward and backward", turn)

    def parameters_alone(self) -> None:
        self.reset()
        y, dy = self.forward(self.x), self.dy.copy()
        expect.untouched("backward_parameters", lambda: self.layer.backward_parameters(dy), {"dy": dy, "y": y})
        self.compare("by backward_parameters", got := self.gradients(), {name: self.plain[name] for name in got})

    def memory_layout(self, layout: str) -> None:
        when = f"with x and dy {layout}"
        got = self.run(when, layouts(self.x)[layout], layouts(self.dy)[layout])
        if not self.random:
            self.compare(when, got, self.plain)
        self.reset()
        # Gradients must stay writeable.
        some = slice(1 if layout == "read-only" else 2)
        arrays = [array for p in self.parameters.values() if p.value.ndim for array in (p.value, p.grad)[some]]
        twin = copy.deepcopy(self.layer, {id(array): layouts(array)[layout] for array in arrays})
        when = f"with parameters {layout}"
        self.compare(when, Snapshot(twin, parameters=False).run(when, self.x.copy(), self.dy), self.plain)

    def broadcast_dy(self) -> None:
        when, dy = "with a broadcast dy, whose strides are 0", np.broadcast_to(-0.625, self.dy.shape)
        self.compare(when, self.run(when, self.x.copy(), dy), self.run("in normal use", self.x, dy.copy()))

    def empty_batch(self) -> None:
        # An empty batch has no statistics.
        if not self.independent:
            return
        self.reset()
        try:
            self.layer.forward(self.x[:0].copy(), train=True)
        except Exception:
            # Any error is fine: nothing goes wrong silently.
            return
        when = "with an empty batch"
        self.check_shapes(when, self.run(when, self.x[:0].copy(), self.dy[:0].copy()), 0)

    def other_rows(self) -> None:
        n = len(self.x)
        batches = {f"with a batch of {rows}": np.arange(rows) % n for rows in (1, 2, 3)}
        for when, rows in ({"with the rows in reverse order": np.arange(n)[::-1]} | batches).items():
            # A layer whose rows affect each other may refuse a single row.
            with suppress(MinidlError):
                got = self.run(when, self.x[rows], self.dy[rows], (MinidlError,))
                self.check_shapes(when, got, len(rows))
                if self.independent and not self.random:
                    want = {name: self.plain[name][rows] for name in ("y", "dx")}
                    self.compare(when, got, self.plain | want if len(rows) == n else want, _MIXED)

    def split_batch(self) -> None:
        x, dy = (take_rows(a, max(2, len(a))) for a in (self.x, self.dy))
        if self.independent and not self.random:
            with suppress(MinidlError):
                whole, head, tail = (self.run("with part of a batch", x[p], dy[p], (MinidlError,)) for p in PARTS)
                got = {name: head[name] + tail[name] for name in self.gradients()}
                self.compare("as a sum over two parts of the batch", got, {name: whole[name] for name in got}, _MIXED)


def _check_promised_shape(layer: Layer, x: Array, y: Array) -> None:
    promised = attempt("output_shape", lambda: tuple(layer.output_shape(x.shape[1:])))
    # output_shape is optional: without it, in the layer or one of its parts, there is no promise to check.
    silent = any(type(part).output_shape is Layer.output_shape for _, part in layer.walk())
    if (len(x), *promised) != y.shape and not silent:
        fail(f"output_shape returned {promised} for one row, but forward returned {y.shape} for {len(x)} rows", "y")
