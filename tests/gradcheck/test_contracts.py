import copy
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minidl import (
    L1,
    L2,
    Dense,
    ElasticNet,
    InputError,
    Layer,
    Loss,
    Regularizer,
    ReLU,
    Sequential,
    ShapeError,
    SoftmaxCrossEntropy,
)
from minidl.gradcheck.layer_probes import behaviour_of_layer, purity_of_layer
from minidl.gradcheck.loss_probes import (
    behaviour_of_loss,
    behaviour_of_regularizer,
    purity_of_loss,
    purity_of_regularizer,
)
from minidl.gradcheck.report import Verdict

FAIL_CONTRACT, NONDETERMINISTIC, STATE_CHANGED = Verdict.FAIL_CONTRACT, Verdict.NONDETERMINISTIC, Verdict.STATE_CHANGED


class BatchNorm(Layer):
    batch_independent = False

    def __init__(self, features):
        self.gamma = self.add_parameter("gamma", np.linspace(0.5, 1.5, features))
        self.beta = self.add_parameter("beta", np.zeros(features))
        self.running_mean = self.add_buffer("running_mean", np.zeros(features))
        self.running_var = self.add_buffer("running_var", np.ones(features))

    def forward(self, x, train=False):
        self.check_input(x)
        if train and len(x) == 0:
            raise ShapeError(f"{self!r}: expected at least one row")
        mean, var = (x.mean(axis=0), x.var(axis=0)) if train else (self.running_mean, self.running_var)
        std = np.sqrt(var + 1e-5)
        normal = (x - mean) / std
        if train:
            self.running_mean += 0.1 * (mean - self.running_mean)
            self.running_var += 0.1 * (var - self.running_var)
            self.keep(normal, std)
        return normal * self.gamma.value + self.beta.value

    def backward(self, dy):
        normal, std = self.kept()
        self.gamma.add_grad((dy * normal).sum(axis=0))
        self.beta.add_grad(dy.sum(axis=0))
        d = dy * self.gamma.value
        return (d - d.mean(axis=0) - normal * (d * normal).mean(axis=0)) / std


class Dropout(Layer):
    def __init__(self, rate=0.5, rng=0):
        self.rate = rate
        self.rng = np.random.default_rng(rng)

    def forward(self, x, train=False):
        if not train:
            return x
        mask = (self.rng.random(x.shape) >= self.rate) / (1 - self.rate)
        self.keep(mask)
        return x * mask

    def backward(self, dy):
        (mask,) = self.kept()
        return dy * mask


class Flatten(Layer):
    """Views both ways: y of x, dx of dy."""

    def forward(self, x, train=False):
        if train:
            self.keep(x)
        return x.reshape(len(x), int(np.prod(x.shape[1:])))

    def backward(self, dy):
        (x,) = self.kept()
        return dy.reshape(x.shape)

    def output_shape(self, input_shape):
        return (int(np.prod(input_shape)),)


class WorkingDense(Dense):
    """What a training forward and a backward return lives in memory that the next ones write."""

    work = None

    def forward(self, x, train=False):
        y = super().forward(x, train)
        if not train:
            return y
        if self.work is None or self.work.shape != y.shape:
            self.work = np.empty_like(y)
        self.work[...] = y
        return self.work


class Scale(Layer):
    """Stands for what a user writes; the broken ones below are made of it."""

    def __init__(self, features=3):
        self.gain = self.add_parameter("gain", np.linspace(1.0, 2.0, features))
        self.seen = self.add_buffer("seen", np.zeros(1))

    def forward(self, x, train=False):
        if train:
            self.keep(x)
        return x * self.gain.value

    def backward(self, dy):
        (x,) = self.kept()
        self.gain.add_grad((dy * x).sum(axis=0))
        return dy * self.gain.value


def findings(layer, x, rng):
    """What both kinds of probes find, in float64; and nothing of the layer is changed by them."""
    twin = layer.astype(np.float64)
    for parameter in twin.named_parameters().values():
        parameter.add_grad(rng.normal(size=parameter.value.shape))
    before = copy.deepcopy(twin)
    x_before = x.copy()
    try:
        dy = rng.normal(size=twin.astype(np.float64).forward(x.copy()).shape)
    except Exception:
        dy = np.ones(x.shape)
    found = purity_of_layer(twin, x, np.array(dy)) or behaviour_of_layer(twin, x, rng)
    np.testing.assert_array_equal(x, x_before)
    for path, parameter in before.named_parameters().items():
        np.testing.assert_array_equal(twin.named_parameters()[path].value, parameter.value)
        if type(layer) in CORRECT:
            np.testing.assert_array_equal(twin.named_parameters()[path].grad, parameter.grad)
    for path, buffer in before.named_buffers().items():
        np.testing.assert_array_equal(twin.named_buffers()[path], buffer)
    if isinstance(twin, Dropout):
        assert twin.rng.bit_generator.state == before.rng.bit_generator.state
    return found


CORRECT = (Dense, ReLU, Sequential, BatchNorm, Dropout, Flatten, WorkingDense, Scale)

LAYERS = {
    "Dense": lambda d: Dense(d, 2, rng=0),
    "Dense without bias": lambda d: Dense(d, 3, bias=False, rng=0),
    "ReLU": lambda d: ReLU(),
    "Scale": Scale,
    "BatchNorm": BatchNorm,
    "Dropout": lambda d: Dropout(),
    "Dropout of nothing": lambda d: Dropout(0.0),
    "Flatten": lambda d: Flatten(),
    "workspace": lambda d: WorkingDense(d, 3, rng=0),
    "MLP": lambda d: Sequential(Dense(d, 4, rng=0), ReLU(), Dense(4, 2, rng=1)),
    "everything": lambda d: Sequential(
        Flatten(), Dense(d, 4, rng=0), BatchNorm(4), ReLU(), Dropout(), Sequential(Dense(4, 2, rng=1), Sequential())
    ),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
@given(rows=st.integers(1, 5), features=st.integers(1, 4), seed=st.integers(0, 9), flat=st.sampled_from([1.0, 0.0]))
@example(rows=1, features=1, seed=0, flat=0.0)
def test_correct_layers_give_no_finding(make, rows, features, seed, flat):
    rng = np.random.default_rng(seed)
    x = flat * rng.normal(size=(rows, features)) + (1 - flat)  # or all ones: no variance, all ties
    assert findings(make(features), x, rng) == []


def test_images_are_batches_too(rng):
    x = rng.normal(size=(3, 2, 4, 1))
    assert findings(Flatten(), x, rng) == []
    assert findings(Sequential(ReLU(), Flatten(), Dense(8, 2, rng=0)), x, rng) == []


def test_large_and_small_numbers_give_no_finding(rng):
    network = Sequential(Dense(3, 4, rng=0), ReLU(), Dense(4, 2, rng=1))
    for factor in (1e8, 1e-8):
        assert findings(network, factor * rng.normal(size=(4, 3)), rng) == []


# --- purity

BROKEN = {}


def broken(reason, verdict=FAIL_CONTRACT, tensor=None, index=None):
    """Register a broken layer with the finding that it must get."""

    def register(cls):
        BROKEN[cls.__name__] = (cls, reason, verdict, tensor, index)
        return cls

    return register


@broken(r"^forward\(train=False\) raised ValueError: out of paper$")
class Raises(Scale):
    def forward(self, x, train=False):
        raise ValueError("out of paper")


@broken("^backward raised NotImplementedError$")
class NoBackward(Scale):
    def backward(self, dy):
        raise NotImplementedError


@broken("^backward raised KeyError: 'x'$")
class OwnErrorInBackward(Scale):
    def backward(self, dy):
        return {}["x"]


@broken(r"forward\(train=False\) must return an array and returned NoneType; is a return missing", tensor="y")
class ForgetsReturn(Scale):
    def forward(self, x, train=False):
        super().forward(x, train)


@broken("backward must return an array and returned list", tensor="dx")
class ReturnsList(Scale):
    def backward(self, dy):
        return super().backward(dy).tolist()


@broken("must return a row for each of the 4 rows of x and returned shape", tensor="y")
class SumsRows(Scale):
    def forward(self, x, train=False):
        return super().forward(x, train).sum(axis=0)


@broken(r"forward\(train=True\) must return y of shape \(4, 3\) and returned shape \(4, 3, 1\)", tensor="y")
class OtherShapeInTraining(Scale):
    def forward(self, x, train=False):
        y = super().forward(x, train)
        return y[..., np.newaxis] if train else y


@broken(r"backward must return dx of shape \(4, 3\) and returned shape \(3, 4\)", tensor="dx")
class Transposes(Scale):
    def backward(self, dy):
        return super().backward(dy).T


@broken(r"forward\(train=False\) must keep dtype float64 and returned float32", tensor="y")
class Downcasts(Scale):
    def forward(self, x, train=False):
        return super().forward(x, train).astype(np.float32)


@broken("backward must keep dtype float64 and returned", tensor="dx")
class Upcasts(Scale):
    def backward(self, dy):
        return super().backward(dy).astype(np.complex128)


@broken(r"forward\(train=False\) returned nan for finite numbers", tensor="y", index=(0, 1))
class NanInForward(Scale):
    def forward(self, x, train=False):
        return super().forward(x, train) + np.array([0, np.nan, 0])


@broken("backward returned inf for finite numbers", tensor="gain.grad", index=(2,))
class InfiniteGradient(Scale):
    def backward(self, dy):
        self.gain.add_grad(np.array([0, 0, np.inf]))
        return super().backward(dy)


@broken(
    "two calls of forward.train=False. from the same state differ, in y by up to 1; a prediction draws",
    NONDETERMINISTIC,
    "y",
)
class CountsCalls(Scale):
    calls = 0

    def forward(self, x, train=False):
        self.calls += 1
        return super().forward(x, train) + self.calls


@broken(r"two calls of forward\(train=True\) .*; it has no numpy.random.Generator to put back", NONDETERMINISTIC, "y")
class CountsTrainingCalls(CountsCalls):
    def forward(self, x, train=False):
        return super().forward(x, train) if train else Scale.forward(self, x)


@broken(r"forward\(train=False\) .* differ, in y .*; a prediction draws nothing at random", NONDETERMINISTIC, "y")
class RandomPrediction(Dropout):
    def forward(self, x, train=False):
        return super().forward(x, train=True)


@broken(r"forward\(train=True\) .* differ, in y .*; its random generators were put back", NONDETERMINISTIC, "y")
class OtherRandomness(Dropout):
    def __init__(self):
        super().__init__()
        self.others = [np.random.default_rng(0)]

    def forward(self, x, train=False):
        return super().forward(x, train) + (self.others[0].random() if train else 0.0)


@broken("two calls of backward .* in dx by up to .*; it must use what its forward drew", NONDETERMINISTIC, "dx")
class RedrawsMask(Dropout):
    def backward(self, dy):
        self.kept()
        return dy * (self.rng.random(dy.shape) >= 0.5) / 0.5


@broken(r"two calls of backward from the same state differ, in gain.grad", NONDETERMINISTIC, "gain.grad")
class OwnTotal(Scale):
    total = 0.0

    def backward(self, dy):
        dx = super().backward(dy)
        self.total = self.total + dy.sum(axis=0)
        self.gain.add_grad(self.total)
        return dx


@broken(r"forward\(train=False\) changed x: -?[\d.]+ became 0$", tensor="x", index=(1, 1))
class ChangesX(Scale):
    def forward(self, x, train=False):
        x[1, 1] = 0.0
        return super().forward(x, train)


@broken(r"forward\(train=True\) changed x: ", tensor="x")
class ChangesXInTraining(Scale):
    def forward(self, x, train=False):
        y = super().forward(x, train)
        if train:
            x *= 2
        return y


@broken(r"^backward changed dy: -?[\d.]+ became 0$", tensor="dy", index=(0, 2))
class ChangesDy(Scale):
    def backward(self, dy):
        dx = super().backward(dy)
        dy[0, 2] = 0.0
        return dx


@broken("backward changed x", tensor="x")
class ChangesXInBackward(Scale):
    def backward(self, dy):
        (x,) = self.kept()
        x *= dy
        self.gain.add_grad(x.sum(axis=0))
        return dy * self.gain.value


@broken(r"forward\(train=False\) changed gain: 1 became 0.5", tensor="gain", index=(0,))
class ChangesParameter(Scale):
    def forward(self, x, train=False):
        self.gain.value *= 0.5
        return super().forward(x, train)


@broken("^backward changed gain: ", tensor="gain")
class StepsItself(Scale):
    def backward(self, dy):
        dx = super().backward(dy)
        self.gain.value -= 0.1 * self.gain.grad
        return dx


@broken(r"forward\(train=False\) changed seen: 0 became 1", STATE_CHANGED, "seen", (0,))
class CountsPredictions(Scale):
    def forward(self, x, train=False):
        self.seen += 1
        return super().forward(x, train)


@broken("^backward changed seen: 0 became 1", STATE_CHANGED, "seen")
class CountsBackwards(Scale):
    def backward(self, dy):
        self.seen += 1
        return super().backward(dy)


@broken(r"forward\(train=True\) changed gain.grad", tensor="gain.grad")
class AddsInForward(Scale):
    def forward(self, x, train=False):
        if train:
            self.gain.add_grad(x.sum(axis=0))
        return super().forward(x, train)


@broken("returned a view of gain, which training writes", tensor="y")
class ReturnsParameter(Scale):
    def forward(self, x, train=False):
        super().forward(x, train)
        return np.broadcast_to(self.gain.value, x.shape)


@broken("returned a view of gain.grad", tensor="dx")
class ReturnsGradient(Scale):
    def backward(self, dy):
        super().backward(dy)
        return np.broadcast_to(self.gain.grad, dy.shape)


@broken("returned a view of the buffer seen", tensor="y")
class ReturnsBuffer(Scale):
    def forward(self, x, train=False):
        super().forward(x, train)
        return np.broadcast_to(self.seen, x.shape)


@broken("backward returned dy itself or a view of it", tensor="dx")
class ReturnsDy(Scale):
    def backward(self, dy):
        super().backward(dy)
        return dy


@broken(r"^forward\(train=False\) wrote into what forward\(train=False\) had returned", tensor="y")
class PredictsIntoWorkspace(Scale):
    work = None

    def forward(self, x, train=False):
        if train:
            return super().forward(x, train)
        if self.work is None or self.work.shape != x.shape:
            self.work = np.empty_like(x)
        return np.multiply(x, self.gain.value, out=self.work)


@broken(r"^backward wrote into what forward\(train=False\) had returned", tensor="y")
class BackwardIntoPrediction(Scale):
    predicted = None

    def forward(self, x, train=False):
        y = super().forward(x, train)
        if not train and self.predicted is None:
            self.predicted = y
        return y

    def backward(self, dy):
        dx = super().backward(dy)
        if self.predicted is None or self.predicted.shape != dx.shape:
            return dx
        self.predicted[...] = dx
        return self.predicted


@broken("a later call changed y", tensor="y")
class WritesIntoPrediction(Scale):
    predicted = None

    def forward(self, x, train=False):
        y = super().forward(x, train)
        if train and self.predicted is not None:
            self.predicted[...] = 0.0
        self.predicted = None if train else self.predicted if self.predicted is not None else y
        return y


@broken("backward put another array in place of gain.grad; use add_grad", tensor="gain")
class ReplacesGradient(Scale):
    def backward(self, dy):
        (x,) = self.kept()
        self.gain._grad = (dy * x).sum(axis=0)
        return dy * self.gain.value


# --- behaviour


@broken("a backward before any forward must raise CallOrderError, and raised AttributeError: ")
class OwnCache(Scale):
    def forward(self, x, train=False):
        if train:
            self.x = x
        return x * self.gain.value

    def backward(self, dy):
        x = self.x
        del self.x
        self.gain.add_grad((dy * x).sum(axis=0))
        return dy * self.gain.value


@broken("with dy = 1.5 u - 0.75 w, and backward linear, dx is", tensor="dx")
class Clips(Scale):
    def backward(self, dy):
        return np.clip(super().backward(dy), -1, 1)


@broken(r"with dy times 1.67772e\+07, and backward linear, dx is", tensor="dx")
class ClipsFarOut(Scale):
    def backward(self, dy):
        return np.clip(super().backward(dy), -1000, 1000)


@broken("with dy times 5.96046e-08, and backward linear, dx is 0 and should", tensor="dx")
class DropsSmallGradients(Scale):
    def backward(self, dy):
        return super().backward(np.where(abs(dy) > 1e-6, dy, 0))


@broken("with dy = 0, dx is not 0: backward must be linear in dy", tensor="dx")
class AddsSomethingSmall(Scale):
    def backward(self, dy):
        return super().backward(dy) + 1e-14


@broken("added to what was there before, gain.grad is", tensor="gain.grad", index=(0,))
class Overwrites(Scale):
    def backward(self, dy):
        self.gain.zero_grad()
        return super().backward(dy)


@broken("a second backward after one forward must raise CallOrderError, as kept.. does, and was silently accepted")
class KeepsForEver(Scale):
    def backward(self, dy):
        kept = self._kept
        dx = super().backward(dy)
        self.keep(*kept)
        return dx


@broken("a second backward after one forward must raise CallOrderError, as kept.. does, and raised TypeError: ")
class RefusesByAccident(Scale):
    def backward(self, dy):
        x, self._kept = self._kept[0], None
        self.gain.add_grad((dy * x).sum(axis=0))
        return dy * self.gain.value


@broken(r"a backward after only forward\(train=False\) must raise CallOrderError, .*silently accepted")
class KeepsForPrediction(Scale):
    def forward(self, x, train=False):
        return super().forward(x, train=True)


@broken("after two forwards, of which the second counts, gain.grad is", tensor="gain.grad")
class KeepsTheFirst(Scale):
    def forward(self, x, train=False):
        first = self._kept
        y = super().forward(x, train)
        if train and first is not None and first[0].shape == x.shape:
            self.keep(*first)
        return y


@broken(r"with a forward\(train=False\) between forward and backward, gain.grad is", tensor="gain.grad")
class LosesItToPrediction(Scale):
    def forward(self, x, train=False):
        if self._kept is not None or train:
            self.keep(x)
        return x * self.gain.value


@broken("by backward_parameters, gain.grad is 0 and should be", tensor="gain.grad")
class NoParametersAlone(Scale):
    def backward_parameters(self, dy):
        self.kept()


@broken("backward_parameters changed dy", tensor="dy")
class ParametersAloneChangeDy(Scale):
    def backward_parameters(self, dy):
        self.backward(dy)
        dy *= 0


@broken(r"output_shape promises \(3,\) for a row, and forward returns \(4, 6\) for 4 rows", tensor="y")
class NoOutputShape(Scale):
    def forward(self, x, train=False):
        return np.repeat(super().forward(x, train), 2, axis=1)

    def backward(self, dy):
        return super().backward(dy[:, ::2] + dy[:, 1::2])

    def output_shape(self, input_shape):
        return input_shape


@broken("^output_shape raised TypeError: ")
class BadOutputShape(Scale):
    def output_shape(self):
        return (3,)


@broken("with x and dy in column order, y is", tensor="y")
class ReadsMemoryOrder(Scale):
    def forward(self, x, train=False):
        return super().forward(x.ravel(order="K").reshape(x.shape), train)


@broken("with x and dy strided .*, forward raised ValueError: .*contiguous")
class NeedsContiguous(Scale):
    def forward(self, x, train=False):
        if not x.flags.forc:
            raise ValueError("not contiguous")
        return super().forward(x, train)


@broken("with x and dy with negative strides, backward raised ValueError")
class RefusesNegativeStrides(Scale):
    def backward(self, dy):
        if dy.strides[0] < 0:
            raise ValueError("negative strides")
        return super().backward(dy)


@broken("with x and dy read-only, backward raised ValueError")
class BorrowsDy(Scale):
    def backward(self, dy):
        dy *= 2
        dx = super().backward(dy) / 2
        self.gain.grad[...] /= 2
        dy /= 2
        return dx

    def backward_parameters(self, dy):
        Scale.backward(self, dy)


@broken("with a broadcast dy, whose strides are 0, dx is", tensor="dx")
class MistakesBroadcast(Scale):
    def backward(self, dy):
        return super().backward(dy) * (2 if 0 in dy.strides else 1)


@broken("with an empty batch the layer must return y of shape", tensor="y")
class ListsRows(Scale):
    def forward(self, x, train=False):
        super().forward(x, train)
        return np.array([row * self.gain.value for row in x])


@broken("with a batch of 1, forward raised IndexError")
class NeedsTwoRows(Scale):
    def forward(self, x, train=False):
        if len(x) > 0:
            x[1]
        return super().forward(x, train)


@broken("with a batch of 1 the layer returned inf", tensor="y")
class InfiniteForOneRow(Scale):
    batch_independent = False

    def forward(self, x, train=False):
        return super().forward(x, train) + (0 if len(x) != 1 else np.inf)


@broken("with a batch of 1 of the same rows, y is", tensor="y")
class MixesRows(Scale):
    def forward(self, x, train=False):
        return super().forward(x - x.sum(axis=0) / max(1, len(x)), train)

    def backward(self, dy):
        dx = super().backward(dy)
        return dx - dx.sum(axis=0) / max(1, len(dx))


@broken("with the rows in reverse order, gain.grad is", tensor="gain.grad")
class KeepsTheVeryFirst(Scale):
    first = None

    def forward(self, x, train=False):
        y = super().forward(x, train)
        if train:
            self.first = x.copy() if self.first is None or self.first.shape != x.shape else self.first
            self.keep(self.first)
        return y


@broken("of a batch in two parts, gain.grad is", tensor="gain.grad")
class MeanOfRows(Scale):
    def backward(self, dy):
        (x,) = self.kept()
        self.gain.add_grad((dy * x).sum(axis=0) / max(1, len(x)))
        return dy * self.gain.value


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_layer_gets_its_finding(name, rng):
    cls, reason, verdict, tensor, index = BROKEN[name]
    x = np.array([[0.5, -1.5, 2.5], [-0.25, 0.75, 1.25], [3.5, -0.125, -2.0], [1.0, 0.375, -0.5]])
    found = findings(cls(), x, rng)
    texts = [finding.reason for finding in found]
    hits = [finding for finding in found if re.search(reason, finding.reason)]
    assert hits, texts
    assert hits[0].verdict is verdict
    assert tensor is None or hits[0].tensor == tensor
    assert index is None or hits[0].index == index
    assert max(map(len, map(str, found))) < 200  # a line of the report


def test_findings_are_few(rng):
    # A broken rule is one finding or two, not a flood.
    x = rng.normal(size=(4, 3))
    assert len(findings(KeepsForEver(), x, rng)) == 2
    assert len(findings(MeanOfRows(), x, rng)) == 1
    assert len(findings(ChangesDy(), x, rng)) == 1


def test_what_the_layer_says_about_x_is_for_the_caller(rng):
    with pytest.raises(ShapeError, match="expected x of shape"):
        purity_of_layer(Dense(3, 2, rng=0).astype(np.float64), np.ones((2, 4)), np.ones((2, 2)))


def test_a_layer_that_mixes_rows_may_refuse_small_batches(rng):
    class Picky(BatchNorm):
        def forward(self, x, train=False):
            if train and len(x) < 2:
                raise InputError("Picky: expected at least two rows")
            return super().forward(x, train)

    assert findings(Picky(3), rng.normal(size=(4, 3)), rng) == []


def test_a_caller_who_changes_x_after_the_forward_is_no_finding_of_the_layer(rng):
    layer = Scale()
    x = rng.normal(size=(4, 3)).astype(np.float32)
    layer.forward(x, train=True)
    x *= 2  # Scale keeps x itself, which DESIGN.md allows
    layer.backward(x)
    assert findings(Scale(), rng.normal(size=(4, 3)), rng) == []


# --- losses


class Squares(Loss):
    def forward(self, outputs, targets):
        self.keep(outputs, np.asarray(targets))
        return float(((outputs - targets) ** 2).sum() / max(1, len(outputs)))

    def backward(self):
        outputs, targets = self.kept()
        return 2 * (outputs - targets) / max(1, len(outputs))


def loss_findings(loss, outputs, targets):
    outputs_before, targets_before = outputs.copy(), np.array(targets)
    found = purity_of_loss(loss, outputs, targets) or behaviour_of_loss(loss, outputs, targets)
    np.testing.assert_array_equal(outputs, outputs_before)
    np.testing.assert_array_equal(targets, targets_before)
    return found


@given(rows=st.integers(1, 5), classes=st.integers(1, 4), seed=st.integers(0, 9), scale=st.sampled_from([1, 0, 1000]))
def test_correct_losses_give_no_finding(rows, classes, seed, scale):
    rng = np.random.default_rng(seed)
    outputs, labels = scale * rng.normal(size=(rows, classes)), rng.integers(classes, size=rows)
    assert loss_findings(SoftmaxCrossEntropy(), outputs, labels) == []
    assert loss_findings(SoftmaxCrossEntropy(), outputs, labels.tolist()) == []
    assert loss_findings(Squares(), outputs, rng.normal(size=(rows, classes))) == []


BROKEN_LOSSES = {}


def broken_loss(reason, verdict=FAIL_CONTRACT, tensor=None):
    def register(cls):
        BROKEN_LOSSES[cls.__name__] = (cls, reason, verdict, tensor)
        return cls

    return register


@broken_loss("^forward must return a float and returned ndarray")
class OneLossARow(Squares):
    def forward(self, outputs, targets):
        super().forward(outputs, targets)
        return ((outputs - targets) ** 2).sum(axis=1)


@broken_loss("^forward returned nan for finite numbers")
class NanLoss(Squares):
    def forward(self, outputs, targets):
        return super().forward(outputs, targets) * np.nan


@broken_loss("^backward raised ZeroDivisionError: ")
class RaisingLoss(Squares):
    def backward(self):
        return super().backward() / (1 // 0)


@broken_loss("two calls of forward from the same state differ, in the loss by up to 1$", NONDETERMINISTIC)
class CountingLoss(Squares):
    calls = 0

    def forward(self, outputs, targets):
        self.calls += 1
        return super().forward(outputs, targets) + self.calls


@broken_loss("two calls of backward", NONDETERMINISTIC, "d outputs")
class CountingLossBackward(Squares):
    calls = 0

    def backward(self):
        self.calls += 1
        return super().backward() * self.calls


@broken_loss("^forward changed outputs: ", tensor="outputs")
class ChangesOutputs(Squares):
    def forward(self, outputs, targets):
        outputs -= outputs.max(axis=1, keepdims=True)
        return super().forward(outputs, targets)


@broken_loss("^backward changed targets: ", tensor="targets")
class ChangesTargets(Squares):
    def backward(self):
        outputs, targets = self.kept()
        targets -= outputs
        return -2 * targets / len(targets)


@broken_loss("^backward returned a view of outputs", tensor="outputs")
class ReturnsOutputs(Squares):
    def backward(self):
        outputs, _ = self.kept()
        return outputs[:]


@broken_loss("^backward must return an array and returned NoneType", tensor="d outputs")
class NoGradient(Squares):
    def backward(self):
        super().backward()


@broken_loss("^backward must keep dtype float64 and returned float32", tensor="d outputs")
class SingleGradient(Squares):
    def backward(self):
        return super().backward().astype(np.float32)


@broken_loss("a second backward after one forward must raise CallOrderError")
class TwiceLoss(Squares):
    def backward(self):
        kept = self._kept
        gradient = super().backward()
        self.keep(*kept)
        return gradient


@broken_loss("after two forwards, of which the second counts, d outputs is", tensor="d outputs")
class FirstLoss(Squares):
    def forward(self, outputs, targets):
        first = self._kept
        loss = super().forward(outputs, targets)
        if first is not None and first[0].shape == outputs.shape:
            self.keep(*first)
        return loss


@broken_loss("with the rows in reverse order, d outputs is", tensor="d outputs")
class VeryFirstLoss(Squares):
    first = None

    def forward(self, outputs, targets):
        loss = super().forward(outputs, targets)
        if self.first is None or self.first[0].shape != outputs.shape:
            self.first = outputs.copy(), targets.copy()
        self.keep(*self.first)
        return loss


@broken_loss("with predictions between forward and backward, d outputs is", tensor="d outputs")
class PredictionTakesPlace(Squares):
    def predict(self, outputs):
        self.keep(np.zeros_like(outputs), np.zeros_like(outputs))
        return outputs


@broken_loss("^predict, metrics or probabilities changed outputs", tensor="outputs")
class PredictsInPlace(Squares):
    def predict(self, outputs):
        outputs *= 2
        return outputs


@broken_loss("^probabilities raised TypeError")
class BadProbabilities(Squares):
    def probabilities(self, outputs):
        return outputs / None


@broken_loss("with outputs in column order, the loss is")
class MemoryOrderLoss(Squares):
    def forward(self, outputs, targets):
        return super().forward(outputs.ravel(order="K").reshape(outputs.shape), targets)


@broken_loss(r"with an empty batch of shape \(0, 3\), backward returned shape \(1, 3\)")
class OneRowAtLeast(Squares):
    def backward(self):
        gradient = super().backward()
        return gradient if len(gradient) else np.zeros((1, *gradient.shape[1:]))


@broken_loss("against the mean of its rows, the loss is", tensor="the loss")
class SumLoss(Squares):
    def forward(self, outputs, targets):
        return super().forward(outputs, targets) * len(outputs)

    def backward(self):
        gradient = super().backward()
        return gradient * len(gradient)


@pytest.mark.parametrize("name", BROKEN_LOSSES)
def test_a_broken_loss_gets_its_finding(name, rng):
    cls, reason, verdict, tensor = BROKEN_LOSSES[name]
    outputs, targets = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    found = loss_findings(cls(), outputs, targets)
    hits = [finding for finding in found if re.search(reason, finding.reason)]
    assert hits, [finding.reason for finding in found]
    assert hits[0].verdict is verdict
    assert tensor is None or hits[0].tensor == tensor


def test_a_loss_of_targets_that_are_no_array(rng):
    class ByName(Squares):
        def forward(self, outputs, targets):
            return super().forward(outputs, targets["values"])

    outputs, targets = rng.normal(size=(4, 3)), {"values": rng.normal(size=(4, 3))}
    assert purity_of_loss(ByName(), outputs, targets) == []
    assert behaviour_of_loss(ByName(), outputs, targets) == []


def test_what_a_loss_says_about_targets_is_for_the_caller():
    with pytest.raises(InputError, match="expected labels in"):
        purity_of_loss(SoftmaxCrossEntropy(), np.zeros((2, 3)), [0, 3])


# --- regularizers


@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
    strength=st.sampled_from([0.0, 0.1, 1e6]),
    seed=st.integers(0, 9),
)
def test_correct_regularizers_give_no_finding(shape, strength, seed):
    w = np.random.default_rng(seed).normal(size=shape)
    w.flat[0] = 0.0
    for regularizer in (L1(strength), L2(strength), ElasticNet(strength, 0.3)):
        before = w.copy()
        assert purity_of_regularizer(regularizer, w) == []
        assert behaviour_of_regularizer(regularizer, w) == []
        np.testing.assert_array_equal(w, before)


def regularizer_of(penalty=lambda w: float((w**2).sum()), gradient=lambda w: 2 * w):
    class Own(Regularizer):
        def penalty(self, w):
            return penalty(w)

        def gradient(self, w):
            return gradient(w)

    return Own()


def in_place(w):
    w *= 2
    return w.copy()


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"penalty": lambda w: (w**2).sum(axis=0)}, "^penalty must return a float and returned ndarray"),
        ({"penalty": lambda w: float("inf")}, "^penalty returned inf"),
        ({"penalty": lambda w: -1.0}, "^penalty must be at least 0 and is -1"),
        ({"penalty": lambda w: float(in_place(w).sum() ** 2)}, "^penalty changed w: "),
        ({"penalty": lambda w: None + w}, "^penalty raised TypeError: "),
        ({"gradient": in_place}, "^gradient changed w: "),
        ({"gradient": lambda w: w}, "^gradient must return a new array"),
        ({"gradient": lambda w: w.T * 2}, "^gradient must return the gradient of shape"),
        ({"gradient": lambda w: (w * 2).astype(np.float32)}, "^gradient must keep dtype float64"),
        ({"gradient": lambda w: 2 * w.ravel(order="K").reshape(w.shape)}, "^with w in column order, the gradient is"),
        (
            {"gradient": lambda w: 2 * w if len(w) else np.zeros(3)},
            "^with an empty w of shape .*, the gradient has shape",
        ),
    ],
)
def test_a_broken_regularizer_gets_its_finding(broken, reason, rng):
    regularizer, w = regularizer_of(**broken), rng.normal(size=(4, 3))
    found = purity_of_regularizer(regularizer, w) or behaviour_of_regularizer(regularizer, w)
    assert [finding.verdict for finding in found] == [FAIL_CONTRACT]
    assert re.search(reason, found[0].reason), found


def test_a_regularizer_that_forgets_what_it_is_asked_twice():
    answers = iter(range(100))
    (finding,) = purity_of_regularizer(regularizer_of(penalty=lambda w: float(next(answers))), np.ones(3))
    assert finding.verdict is NONDETERMINISTIC
