"""BatchNorm and LayerNorm: bugs in what their backward makes of the statistics, and in who changes the running ones."""

import numpy as np

from minidl import BatchNorm, LayerNorm
from planted.fault import FAIL_CONTRACT, PASS, STATE_CHANGED, After, Family, plant
from planted.numbers import X, signed

IMAGES = signed(3, 2, 3, 4)
FLAT_COLUMN = np.column_stack([X[:, :3], np.full(5, 0.75)])


def right_dx(d, normal, std, axis):
    return (d - d.mean(axis, keepdims=True) - normal * (d * normal).mean(axis, keepdims=True)) / std


def right_sum(terms):
    return terms.reshape(-1, terms.shape[-1]).sum(axis=0)


class StepByStep:
    """Right with `right_dx` and `right_sum`."""

    def __init__(self, dx=right_dx, total=right_sum):
        super().__init__(4, epsilon=0.01)
        self.dx, self.total = dx, total

    def backward(self, dy):
        normal, std, axis = self.statistics(dy)
        self.gamma.add_grad(self.total(dy * normal))
        self.beta.add_grad(self.total(dy))
        return self.dx(dy * self.gamma.value, normal, std, axis).astype(dy.dtype, copy=False)


class SpoiledBatchNorm(StepByStep, BatchNorm):
    def statistics(self, dy):
        centred, inverse_std = self.kept()
        return (centred * inverse_std).reshape(dy.shape), 1 / inverse_std, tuple(range(dy.ndim - 1))


class SpoiledLayerNorm(StepByStep, LayerNorm):
    def statistics(self, dy):
        normal, inverse_std = self.kept()
        return normal.reshape(dy.shape), (1 / inverse_std).reshape(*dy.shape[:-1], 1), -1


def spoiled(number, name, what, cls, *verdicts, x=X, tensor="x", **bug):
    plant(number, name, what, "layer", lambda: (cls(**bug), x), *verdicts, tensor=tensor)


def unbiased_dx(d, normal, std, axis):
    return (d - d.mean(axis) - normal * (d * normal).sum(axis) / (len(d) - 1)) / std


def root_alone(d, normal, std, axis):
    """std as if epsilon had been added outside the root."""
    return right_dx(d, normal, np.sqrt(std**2 - 0.01) + 0.01, axis)


# fmt: off
for cls, kind in ((SpoiledBatchNorm, "batchnorm"), (SpoiledLayerNorm, "layernorm")):
    spoiled(44, f"{kind}-no-mean-term", "the mean is taken for a constant", cls,
            dx=lambda d, normal, std, axis: (d - normal * (d * normal).mean(axis, keepdims=True)) / std)
    spoiled(44, f"{kind}-no-variance-term", "the variance is taken for a constant", cls,
            dx=lambda d, normal, std, axis: (d - d.mean(axis, keepdims=True)) / std)
    spoiled(44, f"{kind}-statistics-are-constants", "mean and variance are taken for constants", cls,
            dx=lambda d, normal, std, axis: d / std)
    spoiled(50, f"{kind}-epsilon-outside", "epsilon inside the root in forward, outside it in backward", cls,
            dx=root_alone)
    spoiled(50, f"{kind}-no-epsilon-in-backward", "epsilon in forward alone", cls,
            dx=lambda d, normal, std, axis: right_dx(d, normal, np.sqrt(std**2 - 0.01), axis))
    spoiled(44, f"{kind}-right", "written out step by step", cls, PASS)
    spoiled(44, f"{kind}-images-right", "written out step by step, on images", cls, PASS, x=IMAGES)
    spoiled(51, f"{kind}-sums-over-rows-alone", "on images, gamma's gradient is that of the first pixel", cls, x=IMAGES,
            tensor="gamma", total=lambda terms: terms.sum(axis=0)[0, 0])
    spoiled(51, f"{kind}-means-for-sums", "the gradients of gamma and beta are means", cls, tensor="gamma",
            total=lambda terms: terms.reshape(-1, 4).mean(axis=0))
spoiled(51, "layernorm-sums-over-features", "gamma's gradient is summed over features", SpoiledLayerNorm,
        tensor="gamma", x=signed(4, 4), total=lambda terms: terms.sum(axis=-1))
spoiled(45, "batchnorm-unbiased-in-backward", "backward divides the variance term by n - 1", SpoiledBatchNorm,
        dx=unbiased_dx)
spoiled(48, "batchnorm-per-pixel-backward", "on images, backward takes means over the rows alone", SpoiledBatchNorm,
        x=IMAGES, dx=lambda d, normal, std, axis: right_dx(d, normal, std, 0))
# fmt: on


batch_norm = Family("layer", lambda c, x=X: (c(4, epsilon=0.01), x))
step_by_step = Family("layer", lambda c: (c(), X))


@batch_norm(46, "forward predicts in training too, backward is that of batch statistics")
class PredictsInTraining(BatchNorm):
    def forward(self, x, train=False):
        if train:
            super().forward(x, train=True)
        return super().forward(x)


@batch_norm(47, "backward updates the running mean once more", STATE_CHANGED, says="backward changed running_mean")
class UpdatesInBackward(BatchNorm):
    def backward(self, dy):
        self.running_mean *= self.momentum
        return super().backward(dy)


@batch_norm(47, "prediction updates the running mean", STATE_CHANGED, says=r"\(train=False\) changed running_mean")
class UpdatesInPrediction(BatchNorm):
    def forward(self, x, train=False):
        self.running_mean += 0.1 * (x.mean(axis=0) - self.running_mean)
        return super().forward(x, train)


@batch_norm(47, "the running mean is an attribute, not a buffer", STATE_CHANGED)
class HiddenStatistics(BatchNorm):
    def __init__(self, features, epsilon):
        super().__init__(features, epsilon=epsilon)
        self.mean = np.zeros(features)

    def forward(self, x, train=False):
        y = super().forward(x, train)
        if train:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(axis=0)
            return y
        return (y - self.mean).astype(x.dtype)


@batch_norm(49, "a feature without variance: 0 / 0, because epsilon is missing", FAIL_CONTRACT, x=FLAT_COLUMN)
class NoEpsilon(BatchNorm):
    def __init__(self, features, epsilon):
        super().__init__(features)
        self.epsilon = 0.0


@step_by_step(49, "the unbiased variance, undefined for one row", FAIL_CONTRACT)
class UnbiasedOneRow(SpoiledBatchNorm):
    def __init__(self):
        super().__init__(unbiased_dx)

    def forward(self, x, train=False):
        if not train:
            return super().forward(x)
        inverse_std = 1 / np.sqrt(x.var(axis=0, ddof=1) + self.epsilon)
        self.keep(x - x.mean(axis=0), inverse_std)
        return (x - x.mean(axis=0)) * inverse_std * self.gamma.value + self.beta.value


@step_by_step(45, "the unbiased variance in both, and one row refused", PASS)
class UnbiasedInBoth(UnbiasedOneRow):
    def forward(self, x, train=False):
        BatchNorm.forward(self, x, train)  # which refuses one row, and gathers the running statistics
        return super().forward(x, train)


# fmt: off
batch_norm.row(46, "RunningInBackward", "backward uses the running variance, as if in prediction", BatchNorm,
    {"backward": After(lambda self, dx, dy:
     (dy * self.gamma.value / np.sqrt(self.running_variance + self.epsilon)).astype(dy.dtype))})
batch_norm.row(46, "RowsMixUnsaid", "rows mix in training, and batch_independent does not say so", BatchNorm,
    {"batch_independent": True}, FAIL_CONTRACT)
batch_norm.row(49, "FlatFeature", "a feature without variance, with an epsilon", BatchNorm, {}, PASS, x=FLAT_COLUMN)
batch_norm.row(49, "TwoRows", "two rows: dx is next to nothing", BatchNorm, {}, PASS, x=X[:2])
# fmt: on
