"""Losses of regression: bugs in what they make of the residuals r."""

import numpy as np

from minidl import Huber
from minidl import MeanAbsoluteError as AbsoluteLoss
from minidl import MeanSquaredError as SquaredLoss
from planted.fault import FAIL_CONTRACT, FAIL_VALUE, PASS, PASS_SUBGRADIENT, family, signed

OUTPUTS = np.round(signed(5, 3) * 24) / 8  # few digits: the checker leaves them as they are
TARGETS = np.round(signed(5, 3, seed=2) * 24) / 8 + 0.0625
SOME_EQUAL = np.where(np.eye(5, 3, dtype=bool), OUTPUTS, TARGETS)


numbers = family("loss", lambda c, outputs=OUTPUTS, targets=TARGETS: (c(), outputs, targets), "outputs")


@numbers(12, "the gradient lacks the factor 2", FAIL_VALUE)
class SquareWithoutTwo(SquaredLoss):
    def slopes(self, residuals):
        return 1 * residuals


@numbers(12, "backward divides by the rows, forward by all entries", FAIL_VALUE)
class SquareOverRows(SquaredLoss):
    def backward(self):
        gradient = super().backward()
        return gradient * gradient[0].size


@numbers(12, "forward divides by the entries of a row alone", FAIL_VALUE)
class SquareSumForward(SquaredLoss):
    def forward(self, outputs, targets):
        return super().forward(outputs, targets) * len(outputs)


@numbers(12, "the gradient has the wrong sign", FAIL_VALUE)
class SquareTurned(SquaredLoss):
    def slopes(self, residuals):
        return -2 * residuals


class Pairs(SquaredLoss):
    """Broadcasts outputs (n, 1) against targets (n,): compares every output with every target."""

    def forward(self, outputs, targets):
        self.keep(outputs - targets)
        return float(((outputs - targets) ** 2).mean())


@numbers(
    20,
    "every pair is compared, and the gradient has their shape",
    FAIL_CONTRACT,
    outputs=signed(5, 1),
    targets=signed(5),
)
class PairsGradient(Pairs):
    pass


@numbers(
    20,
    "every pair is compared, with the right gradient of that",
    FAIL_CONTRACT,
    outputs=signed(5, 1),
    targets=signed(5),
)
class PairsSummed(Pairs):
    def backward(self):
        return super().backward().sum(axis=1, keepdims=True)


@numbers(22, "forward subtracts the targets in place", FAIL_CONTRACT)
class SubtractsInPlace(SquaredLoss):
    def forward(self, outputs, targets):
        outputs -= targets
        return super().forward(outputs, np.zeros_like(outputs))


@numbers(67, "float64 targets make the gradient of float32 outputs float64", FAIL_CONTRACT)
class WidenedByTargets(SquaredLoss):
    def forward(self, outputs, targets):
        self.keep(outputs - targets)
        return float(np.square(outputs - targets).mean())


@numbers(24, "r / |r|: NaN where r is 0", FAIL_CONTRACT, targets=SOME_EQUAL)
class SignByDivision(AbsoluteLoss):
    def slopes(self, residuals):
        with np.errstate(all="ignore"):
            return residuals / np.abs(residuals)


@numbers(24, "the slope at r = 0 is 2, which is none of its slopes", FAIL_VALUE, targets=SOME_EQUAL)
class SlopeOfTwo(AbsoluteLoss):
    def slopes(self, residuals):
        return np.where(residuals == 0, 2, np.sign(residuals))


@numbers(24, "right, where r is 0: the slope 0 lies between those of both sides", PASS_SUBGRADIENT, targets=SOME_EQUAL)
class AbsoluteAtTheKink(AbsoluteLoss):
    pass


@numbers(24, "sign(0) = 1: one of the slopes of |r| at 0", PASS_SUBGRADIENT, targets=SOME_EQUAL)
class SignOfZeroIsOne(AbsoluteLoss):
    def slopes(self, residuals):
        return np.where(residuals >= 0, 1, -1).astype(residuals.dtype)


@numbers(30, "beyond delta backward stays the parabola's", FAIL_VALUE)
class HuberUnclipped(Huber):
    def slopes(self, residuals):
        return residuals.copy()


@numbers(30, "beyond delta the slope is 0, as if clipping were flat", FAIL_VALUE)
class HuberFlat(Huber):
    def slopes(self, residuals):
        return np.where(np.abs(residuals) <= self.delta, residuals, 0)


@numbers(30, "the lower bound of the clip has the wrong sign", FAIL_VALUE)
class HuberOneSided(Huber):
    def slopes(self, residuals):
        return np.where(np.abs(residuals) <= self.delta, residuals, self.delta)


@numbers(
    30,
    "right, exactly at delta, where both pieces have one slope",
    PASS,
    outputs=TARGETS.round() + np.sign(OUTPUTS),
    targets=TARGETS.round(),
)
class HuberAtDelta(Huber):
    pass
