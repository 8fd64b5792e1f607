"""Dense: bugs in what its backward makes of the right gradients, a namespace of x, dy, weight, dx, dweight, dbias."""

from types import SimpleNamespace

import numpy as np

from minidl import Dense, Layer
from planted.fault import FAIL_CONTRACT, FAIL_VALUE, PASS, plant
from planted.numbers import X, signed


class SpoiledDense(Dense):
    def __init__(self, spoil, inputs, outputs):
        super().__init__(inputs, outputs, rng=0)
        self.spoil = spoil

    def backward(self, dy):
        (x,) = self.kept()
        weight = self.weight.value
        g = SimpleNamespace(x=x, dy=dy, weight=weight, dx=dy @ weight.T, dweight=x.T @ dy, dbias=dy.sum(axis=0))
        vars(g).update(self.spoil(g))
        self.weight.add_grad(g.dweight)
        self.bias.add_grad(g.dbias)
        return g.dx

    backward_parameters = Layer.backward_parameters


def dense_mutant(number, name, what, tensor, spoil, *verdicts, x=X, outputs=3, says=""):
    def make():
        return SpoiledDense(spoil, x.shape[1], outputs), x

    plant(number, name, what, "layer", make, *verdicts, tensor=tensor, says=says)


def one_entry(array, index, factor):
    changed = array.copy()
    changed[index] *= factor
    return changed


def only_if(condition, right, wrong):
    return wrong if condition else right


# fmt: off
dense_mutant(13, "dense-bias-axis", "the bias's gradient is summed over the features (batch = features)", "bias",
             lambda g: {"dbias": g.dy.sum(axis=1)}, x=signed(3, 4))
dense_mutant(13, "dense-bias-axis-shape", "the same where the shapes differ: backward raises", "",
             lambda g: {"dbias": g.dy.sum(axis=1)}, FAIL_CONTRACT)
dense_mutant(13, "dense-bias-mean", "the bias's gradient is a mean", "bias", lambda g: {"dbias": g.dy.mean(axis=0)})
dense_mutant(13, "dense-bias-total", "the bias's gradient is summed over both axes", "bias",
             lambda g: {"dbias": np.full_like(g.dbias, g.dy.sum())})
dense_mutant(13, "dense-bias-first-row", "the bias's gradient sees the first row alone", "bias",
             lambda g: {"dbias": g.dy[0]})
dense_mutant(15, "dense-weight-transposed", "the gradient of a square weight is transposed", "weight",
             lambda g: {"dweight": g.dweight.T}, outputs=4)
dense_mutant(15, "dense-weight-reshaped", "the weight's gradient is reshaped where it should be transposed", "weight",
             lambda g: {"dweight": (g.dy.T @ g.x).reshape(g.weight.shape)})
dense_mutant(15, "dense-dx-untransposed", "dx = dy @ weight for a square weight", "x",
             lambda g: {"dx": g.dy @ g.weight}, outputs=4)
dense_mutant(15, "dense-weight-flipped", "the weight's gradient is in reverse order", "weight",
             lambda g: {"dweight": g.dweight[::-1]})
dense_mutant(17, "dense-one-output", "with one output, dy is averaged before the weight's gradient", "weight",
             lambda g: {"dweight": only_if(g.dy.shape[1] == 1, g.dweight, g.x.sum(axis=0)[:, None] * g.dy.mean())},
             outputs=1)
dense_mutant(18, "dense-batch-of-one", "dy.squeeze() sums over the features at batch 1", "bias",
             lambda g: {"dbias": np.broadcast_to(g.dy.squeeze().sum(axis=0), g.dbias.shape)}, x=X[:1])
dense_mutant(18, "dense-batch-of-one-unseen", "the same, checked with a batch of 5", "",
             lambda g: {"dbias": np.broadcast_to(g.dy.squeeze().sum(axis=0), g.dbias.shape)}, FAIL_CONTRACT)
dense_mutant(12, "dense-factor-2", "the weight's gradient is doubled", "weight", lambda g: {"dweight": 2 * g.dweight})
dense_mutant(12, "dense-mean", "the weight's gradient is divided by N, which the loss has done", "weight",
             lambda g: {"dweight": g.dweight / len(g.x)})
dense_mutant(12, "dense-dx-sign", "dx has the wrong sign", "x", lambda g: {"dx": -g.dx})
dense_mutant(12, "dense-weight-1e-7", "the whole weight gradient is off by a factor 1 + 1e-7", "weight",
             lambda g: {"dweight": g.dweight * (1 + 1e-7)})
dense_mutant(12, "dense-dx-1e-7", "the whole of dx is off by a factor 1 + 1e-7", "x",
             lambda g: {"dx": g.dx * (1 + 1e-7)})
dense_mutant(12, "dense-one-of-78400", "one entry of a (784, 100) weight's gradient is off by 1e-6 of it", "weight",
             lambda g: {"dweight": one_entry(g.dweight, (513, 42), 1 + 1e-6)}, x=signed(5, 784), outputs=100)
dense_mutant(12, "dense-one-entry-of-dx", "one entry of dx is zero", "x",
             lambda g: {"dx": one_entry(g.dx, (-1, 2), 0.0)})
dense_mutant(12, "dense-last-row-dropped", "the last row is left out of the weight's gradient", "weight",
             lambda g: {"dweight": g.x[:-1].T @ g.dy[:-1]})
dense_mutant(12, "dense-last-row-of-dx", "the last row of dx is zero", "x",
             lambda g: {"dx": g.dx * (np.arange(len(g.x)) < len(g.x) - 1)[:, None]})
dense_mutant(12, "dense-rows-shifted", "dx is shifted by one row", "x", lambda g: {"dx": np.roll(g.dx, 1, axis=0)})
dense_mutant(12, "dense-dx-mean", "every row of dx is the mean over the rows", "x",
             lambda g: {"dx": np.zeros_like(g.dx) + g.dx.mean(axis=0)})
dense_mutant(12, "dense-negative-x", "the weight's gradient takes |x|: wrong for x < 0", "weight",
             lambda g: {"dweight": np.abs(g.x).T @ g.dy})
dense_mutant(12, "dense-dx-negative-x", "dx is zero where x < 0", "x", lambda g: {"dx": g.dx * (g.x > 0)})
dense_mutant(5, "dense-dy-ignored", "the weight's gradient takes ones for dy", "weight",
             lambda g: {"dweight": g.x.T @ np.ones_like(g.dy)}, FAIL_VALUE)
dense_mutant(6, "dense-dy-inverted", "the bias's gradient divides by dy instead of multiplying", "bias",
             lambda g: {"dbias": (1 / g.dy).sum(axis=0)}, FAIL_VALUE)
dense_mutant(31, "dense-nan", "one entry of the weight's gradient is NaN", "weight",
             lambda g: {"dweight": one_entry(g.dweight, (0, 0), np.nan)}, FAIL_CONTRACT,
             says=r"^weight.grad\[0, 0\]: backward returned nan")
dense_mutant(62, "dense-offset", "dx has an offset that does not come from dy", "x", lambda g: {"dx": g.dx + 1e-3},
             FAIL_VALUE)
dense_mutant(67, "dense-float32-sum", "the weight's gradient is computed in float32", "weight.grad",
             lambda g: {"dweight": g.x.astype(np.float32).T @ g.dy.astype(np.float32)}, FAIL_CONTRACT,
             x=signed(50, 4))
dense_mutant(67, "dense-float32-dx", "dx is float32 for a float64 dy", "", lambda g: {"dx": g.dx.astype(np.float32)},
             FAIL_CONTRACT, says="^dx: backward must keep dtype float64 and")
dense_mutant(67, "dense-float64-dx", "dx is float64 for float32 arrays", "", lambda g: {"dx": g.dx.astype(np.float64)},
             FAIL_CONTRACT, x=X.astype(np.float32))
dense_mutant(67, "dense-wrong-in-float32", "the weight's gradient is off by 1e-3, in float32 alone", "weight",
             lambda g: {"dweight": only_if(g.x.dtype == np.float32, g.dweight, g.dweight * np.float32(1.001))},
             FAIL_VALUE, x=X.astype(np.float32))
dense_mutant(68, "dense-no-dx", "backward returns nothing", "", lambda g: {"dx": None}, FAIL_CONTRACT,
             says="backward .*returned NoneType; is a return missing")
dense_mutant(68, "dense-list-dx", "backward returns lists", "", lambda g: {"dx": g.dx.tolist()}, FAIL_CONTRACT,
             says="^dx: backward must return an array and returned list")
dense_mutant(68, "dense-dx-summed", "dx is summed over the rows", "", lambda g: {"dx": g.dx.sum(axis=0)}, FAIL_CONTRACT,
             says="backward must return dx of shape")
dense_mutant(68, "dense-no-bias-gradient", "the bias gets no gradient", "bias", lambda g: {"dbias": 0 * g.dbias})
dense_mutant(69, "dense-memory-order", "dy is read in memory order: wrong unless C-contiguous", "",
             lambda g: {"dbias": g.dy.ravel(order="K").reshape(g.dy.shape).sum(axis=0)}, FAIL_CONTRACT)
dense_mutant(70, "dense-empty-batch", "backward takes dy.max(), which an empty batch does not have", "",
             lambda g: {"dx": g.dx + 0 * g.dy.max()}, FAIL_CONTRACT)
dense_mutant(74, "dense-clip-entries", "dx is clipped to -1 .. 1", "x", lambda g: {"dx": np.clip(g.dx, -1, 1)},
             FAIL_VALUE)
dense_mutant(74, "dense-clip-norm", "the weight's gradient is clipped to norm 1", "weight",
             lambda g: {"dweight": g.dweight / max(1.0, float(np.linalg.norm(g.dweight)))}, FAIL_VALUE)
dense_mutant(74, "dense-clip-far", "dx is clipped to -1000 .. 1000", "x", lambda g: {"dx": np.clip(g.dx, -1e3, 1e3)},
             FAIL_CONTRACT, says=r"^dx.*: with dy times 1.67772e\+07")
dense_mutant(76, "dense-right", "the same without a bug", "", lambda g: {}, PASS)
dense_mutant(76, "dense-right-one-sample", "right, at batch 1 with one output", "", lambda g: {}, PASS, x=X[:1],
             outputs=1)
dense_mutant(76, "dense-right-column-order", "right, with dx in column order", "",
             lambda g: {"dx": np.asfortranarray(g.dx)}, PASS)
# fmt: on
