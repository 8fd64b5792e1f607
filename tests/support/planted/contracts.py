"""Layers, losses and regularizers as a user writes them: what they may not do, whatever the values."""

import numpy as np

from minidl import CallOrderError, Layer, Loss, Regularizer, Sequential, ShapeError
from planted.fault import FAIL_CONTRACT, NONDETERMINISTIC, PASS, STATE_CHANGED, After, Family, on_kept
from planted.layers import Dropout, Scale
from planted.numbers import NOISE, X, signed

own = Family("layer", lambda c: (c(), X))


# ---- plain use


@own(53, "forward counts its calls in training", NONDETERMINISTIC, says=r"^y.*\(train=True\) .*; it has no numpy")
class CountsTrainingCalls(Scale):
    calls = 0

    def forward(self, x, train=False):
        self.calls += train
        return super().forward(x, train) + self.calls * train


@own(53, "one of two generators is out of reach", NONDETERMINISTIC, says="^y.*; its random generators were reset")
class OtherRandomness(Dropout):
    def __init__(self):
        super().__init__()
        self.others = [np.random.default_rng(0)]

    def forward(self, x, train=False):
        return super().forward(x, train) + (self.others[0].random() if train else 0.0)


@own(22, "forward doubles x in place, in training alone", FAIL_CONTRACT, says=r"^x.*forward\(train=True\) changed x")
class ChangesXInTraining(Scale):
    def forward(self, x, train=False):
        y = super().forward(x, train)
        if train:
            x *= 2
        return y


@own(66, "dx is written into the first prediction", FAIL_CONTRACT, says="^y: backward changed an array that forward")
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


@own(66, "a training forward empties the last prediction", FAIL_CONTRACT, says="^y.*: a later call changed y")
class WritesIntoPrediction(Scale):
    predicted = None

    def forward(self, x, train=False):
        y = super().forward(x, train)
        if train and self.predicted is not None:
            self.predicted[...] = 0.0
        self.predicted = None if train else self.predicted if self.predicted is not None else y
        return y


@own(63, "the gradient's array is replaced", FAIL_CONTRACT, says="^gain: .*replaced gain.grad")
class ReplacesGradient(Scale):
    def backward(self, dy):
        (x,) = self.kept()
        self.gain._grad = (dy * x).sum(axis=0)
        return dy * self.gain.value


# ---- other orders of calls


@own(
    65,
    "the layer's own cache is missing, so backward raises AttributeError",
    FAIL_CONTRACT,
    says="CallOrderError, .*raised AttributeError",
)
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


@own(66, "y is a view of a buffer", FAIL_CONTRACT, says="^y: .*returned a view of seen, which")
class ReturnsBuffer(Scale):
    def __init__(self):
        super().__init__()
        self.seen = self.add_buffer("seen", np.zeros(1))

    def forward(self, x, train=False):
        super().forward(x, train)
        return np.broadcast_to(self.seen, x.shape)


@own(64, "a prediction after a training forward replaces x", FAIL_CONTRACT, says=r"^gain.grad.*\(train=False\) between")
class LosesItToPrediction(Scale):
    def forward(self, x, train=False):
        return super().forward(x, train or self._kept is not None)


@own(64, "a prediction throws away what the training forward kept", FAIL_CONTRACT)
class EvalForgets(Scale):
    def forward(self, x, train=False):
        self._kept = None
        return super().forward(x, train)


@own(64, "shifts by the mean of the first training batch it ever saw", STATE_CHANGED, FAIL_CONTRACT, NONDETERMINISTIC)
class StaleMean(Scale):
    mean = None

    def forward(self, x, train=False):
        if train and self.mean is None:
            self.mean = x.mean()
        return super().forward(x, train) + (0.0 if self.mean is None else self.mean)


@own(65, "without a forward, backward takes ones for x", FAIL_CONTRACT, says="raised nothing")
class Immortal(Scale):
    def backward(self, dy):
        if self._kept is None:
            self.keep(np.ones_like(dy))
        return super().backward(dy)


@own(64, "all instances share a gain, which training moves", FAIL_CONTRACT, NONDETERMINISTIC)
class Shared(Scale):
    gains = np.ones(4)

    def forward(self, x, train=False):
        if train:
            Shared.gains += 1.0
        return super().forward(x, train) * Shared.gains.astype(x.dtype)


@own(68, "`backward_parameters` empties dy", FAIL_CONTRACT, says="^dy.*: backward_parameters changed dy")
class ParametersAloneChangeDy(Scale):
    def backward_parameters(self, dy):
        self.backward(dy)
        dy *= 0


# ---- state that instances share, memory that calls share

WORKSPACES = {}


def workspace(workspaces, key, array):
    """Return a copy of `array` in memory that is kept by the key."""
    held = workspaces.setdefault((key, array.shape, array.dtype), np.empty_like(array))
    held[...] = array
    return held


class Cached(Scale):
    """Keeps x in the dict that `cache` returns."""

    def forward(self, x, train=False):
        if train:
            self.keep()
            self.cache()["x"] = x
        return x * self.gain.value

    def backward(self, dy):
        self.kept()
        self.gain.add_grad((dy * self.cache()["x"]).sum(axis=0))
        return dy * self.gain.value


SHARED = "instances share state, such as a class attribute: with calls to another instance"


@own(64, "x is kept in a class attribute", FAIL_CONTRACT, says=SHARED)
class ClassCache(Cached):
    held = {}  # noqa: RUF012

    def cache(self):
        return self.held


@own(64, "x is kept in a default argument", FAIL_CONTRACT, says=SHARED)
class DefaultCache(Cached):
    def cache(self, held={}):  # noqa: B006
        return held


@own(64, "x is kept in a module's dict, by its shape", FAIL_CONTRACT, says=SHARED)
class GlobalCache(Scale):
    def forward(self, x, train=False):
        return super().forward(workspace(WORKSPACES, "x", x) if train else x, train)


@own(64, "all instances write y into the same memory", FAIL_CONTRACT, says=f"^y.*{SHARED}")
class SharedOutput(Scale):
    def forward(self, x, train=False):
        y = super().forward(x, train)
        return workspace(WORKSPACES, "y", y) if train else y


@own(64, "all instances write dx into the same memory", FAIL_CONTRACT, says=f"^dx.*{SHARED}")
class SharedGradient(Scale):
    def backward(self, dy):
        return workspace(WORKSPACES, "dx", super().backward(dy))


@own(64, "two layers that share a cache, in one network", FAIL_CONTRACT, says=SHARED)
class SharedInNetwork(Sequential):
    def __init__(self):
        super().__init__(ClassCache(), ClassCache())


class Workspaces(Scale):
    """Right: y and dx are valid until the next training forward and the next backward."""

    def __init__(self):
        super().__init__()
        self.held = {}

    def forward(self, x, train=False):
        y = super().forward(x, train)
        return workspace(self.held, "y", y) if train else y

    def backward(self, dy):
        return workspace(self.held, "dx", super().backward(dy))


own(66, "y and dx are in memory that the layer uses again", PASS)(Workspaces)


@own(66, "dx is written over y", FAIL_CONTRACT, says="^y.*: backward changed y: ")
class OverwritesOutput(Workspaces):
    def backward(self, dy):
        return workspace(self.held, "y", super().backward(dy))


@own(66, "y is lost where dx is not asked for", FAIL_CONTRACT, says="^y.*: backward_parameters changed y")
class ParametersAloneOverwriteOutput(Workspaces):
    def backward_parameters(self, dy):
        self.backward(dy)
        workspace(self.held, "y", 0 * dy)


@own(66, "a prediction is written over y", FAIL_CONTRACT, says=r"^y.*with a forward\(train=False\) between")
class PredictsIntoOutput(Workspaces):
    def forward(self, x, train=False):
        return super().forward(x, train) if train else workspace(self.held, "y", super().forward(x, train)).copy()


# ---- shapes, batches and memory


@own(68, "output_shape is that of the input", FAIL_CONTRACT, says=r"^y.*: output_shape returned \(4,\) for one row")
class NoOutputShape(Scale):
    def forward(self, x, train=False):
        return np.repeat(super().forward(x, train), 2, axis=1)

    def backward(self, dy):
        return super().backward(dy[:, ::2] + dy[:, 1::2])

    def output_shape(self, input_shape):
        return input_shape


@own(
    18,
    "the gain's gradient is a mean for few rows",
    FAIL_CONTRACT,
    says="^gain.grad.*as a sum over two parts of the batch",
)
class MeanOfSmallBatches(Scale):
    def backward(self, dy):
        kept = self._kept
        dx = super().backward(dy)
        if 1 < len(dy) < 5:
            self.gain.add_grad((dy * kept[0]).sum(axis=0) * (1 / len(dy) - 1))
        return dx


@own(65, "a cache of one's own that refuses as it should", PASS)
class CarefulCache(OwnCache):
    x = None

    def backward(self, dy):
        if self.x is None:
            raise CallOrderError("CarefulCache: call forward(x, train=True) first")
        return super().backward(dy)


class Product(Layer):
    """Right: ``x @ weight``."""

    def __init__(self):
        self.weight = self.add_parameter("weight", signed(4, 3))

    def forward(self, x, train=False):
        if train:
            self.keep(x)
        return x @ self.weight.value.astype(x.dtype)

    def backward(self, dy):
        (x,) = self.kept()
        self.weight.add_grad(x.T @ dy)
        return dy @ self.weight.value.T.astype(dy.dtype)

    def output_shape(self, input_shape):
        return (3,)


@own(
    69,
    "the gradient is added to a reshaped array, which may be a copy",
    FAIL_CONTRACT,
    says="^weight.grad.*with parameters in column order",
)
class GradientOfCopy(Product):
    def backward(self, dy):
        (x,) = self.kept()
        self.weight.grad.reshape(-1)[...] += (x.T @ dy).reshape(-1)
        return dy @ self.weight.value.T


@own(69, "a weight is read in memory order", FAIL_CONTRACT, says="^y.*with parameters in column order")
class WeightInMemoryOrder(Product):
    def forward(self, x, train=False):
        return super().forward(x, train) * 0 + x @ self.weight.value.ravel(order="K").reshape(4, 3)


# ---- losses


class Squares(Loss):
    """Right: the sum of squares, averaged over the rows."""

    def forward(self, outputs, targets):
        targets = np.asarray(targets, outputs.dtype)
        self.keep(outputs, targets)
        return float(((outputs - targets) ** 2).sum() / max(1, len(outputs)))

    def backward(self):
        outputs, targets = self.kept()
        return 2 * (outputs - targets) / max(1, len(outputs))


squares = Family("loss", lambda c: (c(), signed(4, 3), signed(4, 3, seed=2)), "outputs")
squares(12, "a loss with sums of squares", PASS)(Squares)


@squares(53, "backward counts its calls", NONDETERMINISTIC, says="^gradient of the outputs.*two calls of backward")
class CountingLossBackward(Squares):
    calls = 0

    def backward(self):
        self.calls += 1
        return super().backward() * self.calls


@squares(64, "a second forward does not count", FAIL_CONTRACT, says="^gradient of the outputs.*after two forwards")
class FirstLoss(Squares):
    def keep(self, outputs, targets):
        if self._kept is None or self._kept[0].shape != outputs.shape:
            super().keep(outputs, targets)


@squares(
    64, "a prediction replaces what is kept", FAIL_CONTRACT, says="^gradient of the outputs.*with predictions between"
)
class PredictionTakesPlace(Squares):
    def predict(self, outputs):
        self.keep(np.zeros_like(outputs), np.zeros_like(outputs))
        return outputs


@squares(
    64, "outputs and targets are kept in a class attribute", FAIL_CONTRACT, says=f"^gradient of the outputs.*{SHARED}"
)
class SharedLoss(Squares):
    held = {}  # noqa: RUF012

    def keep(self, *values):
        super().keep()
        self.held["values"] = values

    def kept(self):
        super().kept()
        return self.held["values"]


@squares(
    64, "the number of rows is kept in a class attribute", FAIL_CONTRACT, says=f"^gradient of the outputs.*{SHARED}"
)
class SharedRows(Squares):
    def forward(self, outputs, targets):
        type(self).rows = max(1, len(outputs))
        return super().forward(outputs, targets)

    def backward(self):
        outputs, targets = self.kept()
        return 2 * (outputs - targets) / self.rows


# ---- regularizers


class Sum(Regularizer):
    """Right: the sum of squares."""

    def penalty(self, w):
        return float((w**2).sum())

    def gradient(self, w):
        return 2 * w


sums = Family("regularizer", lambda c: (c(), signed(4, 3)), "w")


def refuse(error):
    raise error


# fmt: off
own.row(68, "Raises", "forward raises", Scale,
    {"forward": lambda self, x, train=False: refuse(ValueError("out of paper"))}, FAIL_CONTRACT,
    says="^forward raised ValueError: out of paper$")
own.row(68, "NoBackward", "backward is not written yet", Scale,
    {"backward": lambda self, dy: refuse(NotImplementedError)}, FAIL_CONTRACT,
    says="^backward raised NotImplementedError$")
own.row(68, "ForgetsReturn", "forward forgets its return", Scale, {"forward": After(lambda self, *_: None)},
    FAIL_CONTRACT, says="^y: .*returned NoneType; does it have a return")
own.row(68, "OtherShapeInTraining", "y has another shape in training", Scale,
    {"forward": After(lambda self, y, x, train=False: y[..., np.newaxis] if train else y)}, FAIL_CONTRACT,
    says=r"^y: .*y of shape \(5, 4\), but .* shape \(5, 4, 1\)")
own.row(68, "SumsRows", "forward sums over the rows", Scale, {"forward": After(lambda self, y, *_: y.sum(axis=0))},
    FAIL_CONTRACT, says="^y: .*one row for each of the 5 rows of x, but returned shape")
own.row(67, "Downcasts", "y is float32 for a float64 x", Scale,
    {"forward": After(lambda self, y, *_: y.astype(np.float32))}, FAIL_CONTRACT,
    says="^y: .*must keep dtype float64, but returned float32")
own.row(69, "NeedsContiguous", "x must be contiguous", Scale,
    {"forward": After(lambda self, y, x, *_: y if x.flags.forc else refuse(ValueError("not contiguous")))},
    FAIL_CONTRACT, says="with x and dy strided .*, forward raised ValueError")
own.row(69, "RefusesNegativeStrides", "a dy that runs backwards is refused", Scale,
    {"backward": After(lambda self, dx, dy: dx if dy.strides[0] >= 0 else refuse(ValueError("negative strides")))},
    FAIL_CONTRACT, says="dy with negative strides, backward raised")
own.row(18, "NeedsTwoRows", "a batch of one is an IndexError", Scale,
    {"forward": After(lambda self, y, x, *_: y if len(x) != 1 else x[1])}, FAIL_CONTRACT,
    says="with a batch of 1, forward raised IndexError")
own.row(49, "Picky", "a layer that mixes rows may refuse small batches", Scale,
    {"batch_independent": False, "forward": After(lambda self, y, x, train=False:
     y if not train or len(x) != 1 else refuse(ShapeError("Picky: expected at least two rows")))}, PASS)
own.row(53, "RandomPrediction", "a prediction draws from the layer's generator", Dropout,
    {"forward": lambda self, x, train=False: Dropout.forward(self, x, train=True)}, NONDETERMINISTIC,
    says="a prediction must not draw random numbers")
own.row(74, "DropsSmallGradients", "gradients below 1e-6 are dropped", Scale,
    {"backward": lambda self, dy: Scale.backward(self, np.where(abs(dy) > 1e-6, dy, 0))}, FAIL_CONTRACT,
    says="^dx: backward is not linear in dy: 9.09495e-13 times")
own.row(62, "AddsSomethingSmall", "dx has a tiny offset", Scale,
    {"backward": After(lambda self, dx, dy: dx + 1e-14)}, FAIL_CONTRACT,
    says="^dx: backward is not linear in dy")
own.row(69, "WritesWeight", "forward writes to the weight, and back", Scale,
    {"forward": After(lambda self, y, *_: [y, np.negative(self.gain.value, out=self.gain.value),
     np.negative(self.gain.value, out=self.gain.value)][0])}, FAIL_CONTRACT,
    says="with parameters read-only, forward raised ValueError")
own.row(68, "BadOutputShape", "output_shape asks for a side that no row has", Scale,
    {"output_shape": lambda self, shape: (shape[1],)}, FAIL_CONTRACT, says="^output_shape raised IndexError: ")
own.row(69, "MistakesBroadcast", "wrong for a broadcast dy", Scale,
    {"backward": After(lambda self, dx, dy: dx * (2 if 0 in dy.strides else 1))}, FAIL_CONTRACT,
    says="^dx.*with a broadcast dy")
own.row(49, "InfiniteForOneRow", "a batch of one gives infinity", Scale,
    {"batch_independent": False, "forward": After(lambda self, y, *_: y + (0 if len(y) != 1 else np.inf))},
    FAIL_CONTRACT, says="^y.*: with a batch of 1, the layer returned inf")
squares.row(68, "OneLossARow", "forward returns a loss for each row", Squares,
    {"forward": After(lambda self, loss, outputs, targets: ((outputs - targets) ** 2).sum(axis=1))}, FAIL_CONTRACT,
    says="must return a float, but returned ndarray")
squares.row(67, "SingleLoss", "the loss is a float32", Squares,
    {"forward": After(lambda self, loss, outputs, targets: np.float32(loss))}, FAIL_CONTRACT,
    says="^forward must return a float, but returned float32")
squares.row(66, "ReturnsOutputs", "the gradient is a view of the outputs", Squares,
    {"backward": on_kept(lambda outputs, targets: outputs[:])}, FAIL_CONTRACT,
    says="backward returned a view of outputs")
squares.row(22, "PredictsInPlace", "predict doubles outputs in place", Squares,
    {"predict": lambda self, outputs: np.multiply(outputs, 2, out=outputs)}, FAIL_CONTRACT,
    says="predict, .* changed outputs")
squares.row(70, "OneRowAtLeast", "an empty batch has a gradient of one row", Squares,
    {"backward": After(lambda self, g: g if len(g) else np.zeros((1, *g.shape[1:])))}, FAIL_CONTRACT,
    says=r"empty outputs of shape \(0, 3\), gradient of the outputs")
squares.row(68, "RaisingLoss", "backward raises", Squares, {"backward": After(lambda self, g: g / (1 // 0))},
    FAIL_CONTRACT, says="^backward raised ZeroDivisionError: ")
squares.row(68, "BadProbabilities", "probabilities raise", Squares,
    {"probabilities": lambda self, outputs: outputs / None}, FAIL_CONTRACT, says="^probabilities raised TypeError")
squares.row(69, "TargetsInMemoryOrder", "targets are read in memory order", Squares,
    {"forward": lambda self, outputs, targets:
     Squares.forward(self, outputs, targets.ravel(order="K").reshape(outputs.shape))}, FAIL_CONTRACT,
    says="the loss.*with targets in column order")
squares.row(69, "MemoryOrderLoss", "outputs are read in memory order", Squares,
    {"forward": lambda self, outputs, targets:
     Squares.forward(self, outputs.ravel(order="K").reshape(outputs.shape), targets)}, FAIL_CONTRACT,
    says="the loss.*with outputs in column order")
sums.row(68, "PenaltyOfColumns", "a penalty for each column", Sum, {"penalty": lambda self, w: (w**2).sum(axis=0)},
    FAIL_CONTRACT, says="penalty must return a float, but returned ndarray")
sums.row(64, "StaleWeight", "the gradient is that of the w of the last penalty", Sum,
    {"penalty": lambda self, w: (vars(self).update(w=w.copy()), Sum.penalty(self, w))[1],
     "gradient": lambda self, w: 2 * self.w}, FAIL_CONTRACT, says="with the penalty of another w in between")
sums.row(31, "InfinitePenalty", "the penalty is infinite", Sum, {"penalty": lambda self, w: np.inf}, FAIL_CONTRACT,
    says="^penalty returned inf")
sums.row(71, "NegativePenalty", "the penalty is negative", Sum, {"penalty": lambda self, w: -1.0}, FAIL_CONTRACT,
    says="^penalty must be at least 0, but is -1")
sums.row(68, "RaisingPenalty", "penalty raises", Sum, {"penalty": lambda self, w: None + w}, FAIL_CONTRACT,
    says="^penalty raised TypeError: ")
sums.row(53, "NoisyPenalty", "the penalty draws at random", Sum, {"penalty": lambda self, w: NOISE.random()},
    NONDETERMINISTIC, says="two calls of penalty|penalty.*differ")
sums.row(67, "SingleGradient", "the gradient is float32 for a float64 w", Sum,
    {"gradient": lambda self, w: (w * 2).astype(np.float32)}, FAIL_CONTRACT, says="gradient must keep dtype float64")
sums.row(70, "EmptyGradient", "the gradient of no rows has three entries", Sum,
    {"gradient": lambda self, w: 2 * w if len(w) else np.zeros(3)}, FAIL_CONTRACT,
    says="with empty w of shape .* has shape")
# fmt: on
