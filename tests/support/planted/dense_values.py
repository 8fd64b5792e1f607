"""Dense: bugs in what its backward makes of the right gradients, a namespace of x, dy, weight, dx, dweight, dbias."""

from types import SimpleNamespace

import numpy as np

from minidl import Dense, Layer
from planted.fault import FAIL_CONTRACT, PASS, plant
from planted.numbers import X, signed


class SpoiledDense(Dense):
    def __init__(self, wrong, inputs, outputs):
        super().__init__(inputs, outputs, rng=0)
        self.wrong = wrong

    def backward(self, dy):
        (x,) = self.kept()
        weight = self.weight.value
        g = SimpleNamespace(x=x, dy=dy, weight=weight, dx=dy @ weight.T, dweight=x.T @ dy, dbias=dy.sum(axis=0))
        vars(g).update({name: formula(g) for name, formula in self.wrong.items()})
        self.weight.add_grad(g.dweight)
        self.bias.add_grad(g.dbias)
        return g.dx

    backward_parameters = Layer.backward_parameters


def dense(number, name, what, *verdicts, x=X, outputs=3, says="", **wrong):
    """Plant one that makes one of dx, dweight and dbias of the right gradients, by a formula that is wrong."""

    def make():
        return SpoiledDense(wrong, x.shape[1], outputs), x

    tensor = "".join({"dx": "x", "dweight": "weight", "dbias": "bias"}[gradient] for gradient in wrong)
    plant(number, name, what, "layer", make, *verdicts, tensor=tensor, says=says)


def one_entry(array, index, factor):
    changed = array.copy()
    changed[index] *= factor
    return changed


# fmt: off
dense(13, "dense-bias-axis", "the bias's gradient is summed over the features (batch = features)",
    dbias=lambda g: g.dy.sum(axis=1), x=signed(3, 4))
dense(13, "dense-bias-axis-shape", "the same where the shapes differ: backward raises", FAIL_CONTRACT,
    dbias=lambda g: g.dy.sum(axis=1))
dense(13, "dense-bias-mean", "the bias's gradient is a mean", dbias=lambda g: g.dy.mean(axis=0))
dense(13, "dense-bias-total", "the bias's gradient is summed over both axes",
    dbias=lambda g: np.full_like(g.dbias, g.dy.sum()))
dense(13, "dense-bias-first-row", "the bias's gradient sees the first row alone", dbias=lambda g: g.dy[0])
dense(15, "dense-weight-transposed", "the gradient of a square weight is transposed", dweight=lambda g: g.dweight.T,
    outputs=4)
dense(15, "dense-weight-reshaped", "the weight's gradient is reshaped where it should be transposed",
    dweight=lambda g: (g.dy.T @ g.x).reshape(g.weight.shape))
dense(15, "dense-dx-untransposed", "dx = dy @ weight for a square weight", dx=lambda g: g.dy @ g.weight, outputs=4)
dense(15, "dense-weight-flipped", "the weight's gradient is in reverse order", dweight=lambda g: g.dweight[::-1])
dense(17, "dense-one-output", "with one output, dy is averaged before the weight's gradient",
    dweight=lambda g: g.dweight if g.dy.shape[1] > 1 else g.x.sum(axis=0)[:, None] * g.dy.mean(), outputs=1)
dense(18, "dense-batch-of-one", "dy.squeeze() sums over the features at batch 1",
    dbias=lambda g: np.broadcast_to(g.dy.squeeze().sum(axis=0), g.dbias.shape), x=X[:1])
dense(18, "dense-batch-of-one-unseen", "the same, checked with a batch of 5", FAIL_CONTRACT,
    dbias=lambda g: np.broadcast_to(g.dy.squeeze().sum(axis=0), g.dbias.shape))
dense(12, "dense-factor-2", "the weight's gradient is doubled", dweight=lambda g: 2 * g.dweight)
dense(12, "dense-mean", "the weight's gradient is divided by N, which the loss has done",
    dweight=lambda g: g.dweight / len(g.x))
dense(12, "dense-dx-sign", "dx has the wrong sign", dx=lambda g: -g.dx)
dense(12, "dense-weight-1e-7", "the whole weight gradient is off by a factor 1 + 1e-7",
    dweight=lambda g: g.dweight * (1 + 1e-7))
dense(12, "dense-dx-1e-7", "the whole of dx is off by a factor 1 + 1e-7", dx=lambda g: g.dx * (1 + 1e-7))
dense(12, "dense-one-of-78400", "one entry of a (784, 100) weight's gradient is off by 1e-6 of it",
    dweight=lambda g: one_entry(g.dweight, (513, 42), 1 + 1e-6), x=signed(5, 784), outputs=100)
dense(12, "dense-one-entry-of-dx", "one entry of dx is zero", dx=lambda g: one_entry(g.dx, (-1, 2), 0.0))
dense(12, "dense-last-row-dropped", "the last row is left out of the weight's gradient",
    dweight=lambda g: g.x[:-1].T @ g.dy[:-1])
dense(12, "dense-last-row-of-dx", "the last row of dx is zero",
    dx=lambda g: g.dx * (np.arange(len(g.x)) < len(g.x) - 1)[:, None])
dense(12, "dense-rows-shifted", "dx is shifted by one row", dx=lambda g: np.roll(g.dx, 1, axis=0))
dense(12, "dense-dx-mean", "every row of dx is the mean over the rows",
    dx=lambda g: np.zeros_like(g.dx) + g.dx.mean(axis=0))
dense(12, "dense-negative-x", "the weight's gradient takes |x|: wrong for x < 0",
    dweight=lambda g: np.abs(g.x).T @ g.dy)
dense(12, "dense-dx-negative-x", "dx is zero where x < 0", dx=lambda g: g.dx * (g.x > 0))
dense(5, "dense-dy-ignored", "the weight's gradient takes ones for dy", dweight=lambda g: g.x.T @ np.ones_like(g.dy))
dense(6, "dense-dy-inverted", "the bias's gradient divides by dy instead of multiplying",
    dbias=lambda g: (1 / g.dy).sum(axis=0))
dense(31, "dense-nan", "one entry of the weight's gradient is NaN", FAIL_CONTRACT,
    dweight=lambda g: one_entry(g.dweight, (0, 0), np.nan), says=r"^weight.grad\[0, 0\]: backward returned nan")
dense(62, "dense-offset", "dx has an offset that does not come from dy", dx=lambda g: g.dx + 1e-3)
dense(67, "dense-float32-sum", "the weight's gradient is computed in float32", FAIL_CONTRACT,
    dweight=lambda g: g.x.astype(np.float32).T @ g.dy.astype(np.float32), x=signed(50, 4))
dense(67, "dense-float32-dx", "dx is float32 for a float64 dy", FAIL_CONTRACT, dx=lambda g: g.dx.astype(np.float32),
    says="^dx: backward must keep dtype float64, but")
dense(67, "dense-float64-dx", "dx is float64 for float32 arrays", FAIL_CONTRACT, dx=lambda g: g.dx.astype(np.float64),
    x=X.astype(np.float32))
dense(67, "dense-wrong-in-float32", "the weight's gradient is off by 1e-3, in float32 alone",
    dweight=lambda g: g.dweight * np.float32(1.001) if g.x.dtype == np.float32 else g.dweight,
    x=X.astype(np.float32))
dense(68, "dense-no-dx", "backward returns nothing", FAIL_CONTRACT, dx=lambda g: None,
    says="backward .*returned NoneType; does it have a return")
dense(68, "dense-list-dx", "backward returns lists", FAIL_CONTRACT, dx=lambda g: g.dx.tolist(),
    says="^dx: backward must return an array, but returned list")
dense(68, "dense-dx-summed", "dx is summed over the rows", FAIL_CONTRACT, dx=lambda g: g.dx.sum(axis=0),
    says="backward must return dx of shape")
dense(68, "dense-no-bias-gradient", "the bias gets no gradient", dbias=lambda g: 0 * g.dbias)
dense(69, "dense-memory-order", "dy is read in memory order: wrong unless C-contiguous", FAIL_CONTRACT,
    dbias=lambda g: g.dy.ravel(order="K").reshape(g.dy.shape).sum(axis=0))
dense(70, "dense-empty-batch", "backward takes dy.max(), which an empty batch does not have", FAIL_CONTRACT,
    dx=lambda g: g.dx + 0 * g.dy.max())
dense(74, "dense-clip-entries", "dx is clipped to -1 .. 1", dx=lambda g: np.clip(g.dx, -1, 1))
dense(74, "dense-clip-norm", "the weight's gradient is clipped to norm 1",
    dweight=lambda g: g.dweight / max(1.0, float(np.linalg.norm(g.dweight))))
dense(74, "dense-clip-far", "dx is clipped to -1000 .. 1000", FAIL_CONTRACT, dx=lambda g: np.clip(g.dx, -1e3, 1e3),
    says=r"^dx.*: backward is not linear in dy: 1.09951e\+12 times")
dense(76, "dense-right", "the same without a bug", PASS)
dense(76, "dense-right-one-sample", "correct, at batch 1 with one output", PASS, x=X[:1], outputs=1)
dense(76, "dense-right-column-order", "correct, with dx in column order", PASS, dx=lambda g: np.asfortranarray(g.dx))
# fmt: on
