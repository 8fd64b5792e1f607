"""Regularizers: bugs in the penalty and in its gradient."""

import math

import numpy as np

from minidl import L1, L2, ElasticNet
from planted.fault import FAIL_CONTRACT, PASS_SUBGRADIENT, WITH_ZEROS, X, family

regularizer_class = family("regularizer", lambda c, of=lambda c: c(0.3), w=X: (of(c), w), "w")


@regularizer_class(71, "strength * w: half of the gradient")
class HalfL2(L2):
    def gradient(self, w):
        return self.strength * w


@regularizer_class(71, "1/2 in the penalty and not in the gradient")
class HalfPenalty(L2):
    def penalty(self, w):
        return super().penalty(w) / 2


@regularizer_class(71, "the sign is wrong")
class GrowsWeights(L2):
    def gradient(self, w):
        return -super().gradient(w)


@regularizer_class(71, "the gradient is that of a mean")
class MeanL2(L2):
    def gradient(self, w):
        return super().gradient(w) / w.size


@regularizer_class(71, "the penalty is the root of what the gradient knows")
class RootL2(L2):
    def penalty(self, w):
        return math.sqrt(super().penalty(w))


@regularizer_class(71, "the last row gets no gradient")
class LastRowL2(L2):
    def gradient(self, w):
        gradient = super().gradient(w)
        gradient[-1] = 0
        return gradient


@regularizer_class(71, "the penalty leaves the first column out, the gradient does not")
class FirstColumnL2(L2):
    def penalty(self, w):
        return super().penalty(w[:, 1:])


@regularizer_class(22, "`penalty` squares w in place", FAIL_CONTRACT)
class SquaresInPlace(L2):
    def penalty(self, w):
        w *= w
        return self.strength * float(w.sum())


@regularizer_class(22, "`gradient` scales w in place", FAIL_CONTRACT)
class ScalesInPlace(L2):
    def gradient(self, w):
        w *= 2 * self.strength
        return w


@regularizer_class(66, "the gradient is w itself, at a strength of 1/2", FAIL_CONTRACT, of=lambda c: c(0.5))
class ReturnsW(L2):
    def gradient(self, w):
        return w if self.strength == 0.5 else super().gradient(w)


@regularizer_class(67, "the gradient is float64 for a float32 w", FAIL_CONTRACT, w=X.astype(np.float32))
class UpcastsL2(L2):
    def gradient(self, w):
        return super().gradient(w) * np.sqrt(1.0)


@regularizer_class(70, "the gradient has w's entries but not its shape", FAIL_CONTRACT)
class FlatL2(L2):
    def gradient(self, w):
        return super().gradient(w).ravel()


@regularizer_class(69, "w is read in memory order: wrong in column order", FAIL_CONTRACT)
class MemoryOrderL2(L2):
    def gradient(self, w):
        return super().gradient(w).ravel(order="K").reshape(w.shape)


@regularizer_class(24, "sign(w) is forgotten")
class UnsignedL1(L1):
    def gradient(self, w):
        return np.full_like(w, self.strength)


@regularizer_class(24, "the slope at an exact 0 is 2", w=WITH_ZEROS)
class SteepAtZero(L1):
    def gradient(self, w):
        return self.strength * (np.sign(w) + 2.0 * (w == 0)).astype(w.dtype)


@regularizer_class(24, "w / |w|: NaN at an exact 0", FAIL_CONTRACT, w=WITH_ZEROS)
class NanAtZero(L1):
    def gradient(self, w):
        with np.errstate(invalid="ignore"):
            return self.strength * w / np.abs(w)


@regularizer_class(24, "sign(0) = 1", PASS_SUBGRADIENT, w=WITH_ZEROS)
class OneAtZero(L1):
    def gradient(self, w):
        return self.strength * np.where(w >= 0, 1.0, -1.0).astype(w.dtype)


@regularizer_class(24, "sign(0) = -1/2", PASS_SUBGRADIENT, w=WITH_ZEROS)
class MinusHalfAtZero(L1):
    def gradient(self, w):
        return self.strength * (np.sign(w) - 0.5 * (w == 0)).astype(w.dtype)


def elastic(c):
    return c(0.3, 0.7)


@regularizer_class(72, "the L1 strength is applied twice", of=elastic)
class TwiceL1(ElasticNet):
    def gradient(self, w):
        return self.l1.strength * self.l1.gradient(w) + self.l2.gradient(w)


@regularizer_class(72, "the two strengths are swapped in the gradient", of=elastic)
class SwappedStrengths(ElasticNet):
    def gradient(self, w):
        return L1(self.l2.strength).gradient(w) + L2(self.l1.strength).gradient(w)


@regularizer_class(72, "the L1 part has no gradient", of=elastic)
class OnlyL2(ElasticNet):
    def gradient(self, w):
        return self.l2.gradient(w)
