"""Losses of regression: bugs in what they make of the residuals r."""

import numpy as np

from minidl import Huber
from minidl import MeanAbsoluteError as AbsoluteLoss
from minidl import MeanSquaredError as SquaredLoss
from planted.fault import FAIL_CONTRACT, PASS, PASS_SUBGRADIENT, After, Family
from planted.numbers import signed

OUTPUTS = np.round(signed(5, 3) * 24) / 8  # few digits: the checker leaves them as they are
TARGETS = np.round(signed(5, 3, seed=2) * 24) / 8 + 0.0625
SOME_EQUAL = np.where(np.eye(5, 3, dtype=bool), OUTPUTS, TARGETS)


numbers = Family("loss", lambda c, outputs=OUTPUTS, targets=TARGETS: (c(), outputs, targets), "outputs")


class Pairs(SquaredLoss):
    """Broadcasts outputs (n, 1) against targets (n,): compares every output with every target."""

    def forward(self, outputs, targets):
        self.keep(outputs - targets)
        return float(np.square(outputs - targets).mean())


@numbers(22, "forward subtracts the targets in place", FAIL_CONTRACT)
class SubtractsInPlace(SquaredLoss):
    def forward(self, outputs, targets):
        outputs -= targets
        return super().forward(outputs, np.zeros_like(outputs))


# fmt: off
numbers.row(12, "SquareWithoutTwo", "the gradient lacks the factor 2", SquaredLoss,
    {"slopes": lambda self, residuals: 1 * residuals})
numbers.row(12, "SquareSumForward", "forward divides by the entries of a row alone", SquaredLoss,
    {"forward": After(lambda self, loss, outputs, targets: loss * len(outputs))})
numbers.row(12, "SquareOverRows", "backward divides by the rows, forward by all entries", SquaredLoss,
    {"backward": After(lambda self, g: g * g[0].size)})
numbers.row(12, "SquareTurned", "the gradient has the wrong sign", SquaredLoss,
    {"slopes": lambda self, residuals: -2 * residuals})
numbers.row(20, "PairsGradient", "every pair is compared, and the gradient has their shape", Pairs, {}, FAIL_CONTRACT,
    outputs=signed(5, 1), targets=signed(5))
numbers.row(20, "PairsSummed", "every pair is compared, with the correct gradient of that", Pairs,
    {"backward": After(lambda self, g: g.sum(axis=1, keepdims=True))}, FAIL_CONTRACT, outputs=signed(5, 1),
    targets=signed(5))
numbers.row(67, "WidenedByTargets", "float64 targets make the gradient of float32 outputs float64", SquaredLoss,
    {"forward": Pairs.forward}, FAIL_CONTRACT)
numbers.row(24, "SignByDivision", "r / |r|: NaN where r is 0", AbsoluteLoss,
    {"slopes": lambda self, residuals: residuals / np.abs(residuals)}, FAIL_CONTRACT, targets=SOME_EQUAL)
numbers.row(24, "SlopeOfTwo", "the slope at r = 0 is 2, which is none of its slopes", AbsoluteLoss,
    {"slopes": lambda self, residuals: np.where(residuals == 0, 2, np.sign(residuals))}, targets=SOME_EQUAL)
numbers.row(24, "AbsoluteAtTheKink", "correct, where r is 0: the slope 0 lies between those of both sides",
    AbsoluteLoss, {}, PASS_SUBGRADIENT, targets=SOME_EQUAL)
numbers.row(24, "SignOfZeroIsOne", "sign(0) = 1: one of the slopes of |r| at 0", AbsoluteLoss,
    {"slopes": lambda self, residuals: np.where(residuals >= 0, 1, -1).astype(residuals.dtype)}, PASS_SUBGRADIENT,
    targets=SOME_EQUAL)
numbers.row(30, "HuberUnclipped", "beyond delta backward stays the parabola's", Huber,
    {"slopes": lambda self, residuals: residuals.copy()})
numbers.row(30, "HuberFlat", "beyond delta the slope is 0, as if clipping were flat", Huber,
    {"slopes": lambda self, residuals: np.where(np.abs(residuals) <= self.delta, residuals, 0)})
numbers.row(30, "HuberOneSided", "the lower bound of the clip has the wrong sign", Huber,
    {"slopes": lambda self, residuals: np.where(np.abs(residuals) <= self.delta, residuals, self.delta)})
numbers.row(30, "HuberAtDelta", "correct, exactly at delta, where both pieces have one slope", Huber, {}, PASS,
    outputs=TARGETS.round() + np.sign(OUTPUTS), targets=TARGETS.round())
# fmt: on
