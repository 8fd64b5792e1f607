"""Faults in layers of one's own, and who finds them."""

import copy
from dataclasses import dataclass

import numpy as np
from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from own_layers import IMAGES, PAIRS, Conv, Gain, GaussianDropout, RunningCentre, SimpleRNN, SqueezeExcite
from planted.fault import After

import minidl as dl
from minidl import testing

VALUES = {"o": testing.off_kinks, "t": testing.ties, "z": testing.zeros, "e": testing.extremes}


@dataclass(frozen=True)
class Fault:
    """A class, the shape for its contract, the strategy of shapes for its property, and what the first finder says.

    `found` holds C for the contract, M for the machine, and the letters of `VALUES` for properties with such values.
    """

    make: type
    shape: object
    shapes: object
    found: str
    says: str

    def by_contract(self):
        testing.check_layer_contract(lambda: self.make(self.shape), self.shape)

    def by_machine(self):
        phases = settings(max_examples=50, stateful_step_count=20, phases=[Phase.generate], database=None)
        row = self.shape if isinstance(self.shape, tuple) else (self.shape,)
        run_state_machine_as_test(testing.layer_machine(lambda: self.make(self.shape), row), settings=phases)

    def by_property(self, values, seed_of_draws=0, examples=100):
        shapes = {} if self.shapes is None else {"features": self.shapes}

        @seed(seed_of_draws)
        @settings(max_examples=examples, database=None, phases=[Phase.generate], derandomize=False, deadline=None)
        @testing.given_layer_cases(self.make, values=VALUES[values], **shapes)
        def is_right(layer, x):
            report = dl.check_layer(layer, x)
            # One row has no statistics.
            idle = values != "o" or not layer.batch_independent
            if not (idle and report.verdict is dl.Verdict.VACUOUS):
                report.assert_ok()

        is_right()


FAULTS = {}


def fault(name, found, says, base=Gain, shape=5, shapes=None, **methods):
    """Add a subclass of `base` with these methods; `After` edits what the right one returns."""
    parts = {m: part.of(getattr(base, m)) if isinstance(part, After) else part for m, part in methods.items()}
    cls = type("".join(filter(str.isalnum, name.title())), (base,), parts)
    FAULTS[name] = Fault(cls, shape, shapes, found, says)


def edit(dx=lambda dx, x: dx, gradient=lambda g, x: g):
    """Return a change of what the right backward returns."""
    return After(lambda self, result, dy, x: (dx(result[0], x), gradient(result[1], x)))


def wrong_where(mask):
    return edit(dx=lambda dx, x: dx * np.where(mask(x), 2, 1))


class Cached(Gain):
    """Right: what backward needs is in a dict of its own."""

    def __init__(self, n):
        super().__init__(n)
        self.cache = {}

    def keep(self, *kept):
        self.cache["kept"] = kept
        super().keep()

    def kept(self):
        super().kept()
        return self.cache["kept"]


def with_one_cache(self, n, cache={}):  # noqa: B006
    Gain.__init__(self, n)
    self.cache = cache


class Counting(Gain):
    backwards, wrong_from = 0, 2

    def b(self, dy, x):
        self.backwards += 1
        dx, gradient = super().b(dy, x)
        return dx, gradient * (2 if self.backwards >= self.wrong_from else 1)


def sharing(name):
    """Return a `__deepcopy__` that hands on one attribute as it is."""

    def deepcopy(self, memo):
        memo[id(self)] = new = object.__new__(type(self))
        parts = {key: value if key == name else copy.deepcopy(value, memo) for key, value in vars(self).items()}
        vars(new).update(parts)
        return new

    return deepcopy


class Reusing(Gain):
    memory = None

    def forward(self, x, train=False):
        y = super().forward(x, train)
        if self.memory is None or (self.memory.shape, self.memory.dtype) != (y.shape, y.dtype):
            self.memory = np.empty_like(y)
        self.memory[...] = y
        return self.memory


def spoil(dx, self, dy):
    dy *= 2
    return dx


def overwrite(self, dy):
    self._parameters["p0"].zero_grad()
    return Gain.backward(self, dy)


# fmt: off
fault("factor 2", "Co", "by the factor 2", b=edit(gradient=lambda g, x: 2 * g))
fault("no gradient", "Co", "p0", b=edit(gradient=lambda g, x: 0 * g))
fault("gradient overwritten", "CoM", "added to an earlier gradient", backward=overwrite)
fault("shared by class", "Co", "instances share", Cached, __init__=Gain.__init__, cache={})
fault("shared by instances", "C", "calls of another instance", Cached, __init__=with_one_cache)
fault("output shape", "Co", "output_shape returned", output_shape=lambda self, shape: (shape[0] + 1,))
fault("float64", "Co", "expected float32, got float64", forward=After(lambda self, y, *_: y.astype(np.float64)))
fault("dy in place", "Co", "changed dy", backward=After(lambda self, dx, dy: spoil(dx, self, dy)))
fault("keeps without kept", "Co", "a second backward", kept=lambda self: self._kept)
fault("cache set by eval", "CoM", "after only forward", forward=lambda self, x, train=False:
      Gain.forward(self, x, True))
fault("rows mix", "Co", "batch of 1", f=lambda self, x, train: (x - x.mean(axis=0) if len(x) else x, x),
      b=lambda self, dy, x: (dy - dy.mean(axis=0) if len(x) else dy, 0 * self.p[0]))
fault("wrong in prediction", "C", "between training and prediction", f=After(lambda self, y, x, train:
      y if train else (2 * y[0], y[1])))
fault("dropout in prediction", "Co", "a prediction must not draw", GaussianDropout, f=lambda self, x, train:
      GaussianDropout.f(self, x, True))
fault("a new generator", "CoM", "two calls", f=lambda self, x, train:
      (Gain.f(self, x, train)[0] + (np.random.default_rng().random() if train else 0), x))
fault("global generator", "CoM", "two calls", f=lambda self, x, train:
      (Gain.f(self, x, train)[0] + (np.random.rand() if train else 0), x))  # noqa: NPY002
fault("deep copy shares state", "Co", "instances share", Cached, __deepcopy__=sharing("cache"))
fault("deep copy shares generator", "C", "a deep copy", GaussianDropout, __deepcopy__=sharing("rng"))
fault("only a batch of 1", "Co", "batch of 1", b=wrong_where(lambda x: len(x) == 1))
fault("only 1 feature", "o", "is wrong", b=wrong_where(lambda x: x.shape[1] == 1))
fault("only where h is not w", "Co", "is wrong", SqueezeExcite, (4, 3, 2), IMAGES, b=After(
      lambda self, result, dy, *kept: (result[0] * (1 + (dy.shape[1] != dy.shape[2])), *result[1:])))
fault("only above 20", "e", "is wrong", b=wrong_where(lambda x: x > 20))
fault("only at -0.0", "z", "is wrong", b=wrong_where(lambda x: (x == 0) & np.signbit(x)))
fault("only in float32, by 1 %", "Co", "in float32", backward=After(lambda self, dx, dy:
      dx * np.float32(1.01) if dx.dtype == np.float32 else dx))
fault("second backward accepted", "Co", "a second backward", Cached, kept=lambda self: self.cache["kept"])
fault("only > 4 features", "oC", "is wrong", b=wrong_where(lambda x: x.shape[1] > 4))
fault("only > 4 rows", "oC", "is wrong", b=wrong_where(lambda x: len(x) > 4))
fault("only at ties", "t", "is wrong", b=wrong_where(lambda x:
      np.array([len({*row}) < len(row) for row in x.tolist()], bool)[:, None]))
fault("running mean, no buffer", "CoM", "has other state", RunningCentre, add_buffer=lambda self, name, mean:
      mean)
fault("wrong from 2nd backward", "CoM", "two calls of backward", Counting)
fault("wrong from 4th backward", "M", "p0", Counting, wrong_from=4)
fault("only a memory order", "CoM", "in column order", forward=After(lambda self, y, x, *_:
      y if x.flags.c_contiguous else 2 * y))
fault("y in a reused buffer", "Co", "belongs to the caller", Reusing)
fault("convolution: dx overwritten", "Co", r"is wrong .*\n  - x", Conv, (5, 3), PAIRS, put=lambda self, dx, i, part:
      dx.__setitem__((slice(None), slice(i, i + part.shape[1])), part))
fault("RNN: last step only", "Co", r"is wrong .*\n  - p1", SimpleRNN, (4, 3), PAIRS, add=lambda self, total, part, last:
      total + part if last else total)
# fmt: on
