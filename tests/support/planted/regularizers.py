"""Regularizers: bugs in the penalty and in its gradient."""

import math

import numpy as np

from minidl import L1, L2, ElasticNet
from planted.fault import FAIL_CONTRACT, PASS_SUBGRADIENT, After, Family
from planted.numbers import WITH_ZEROS, X

term = Family("regularizer", lambda c, of=lambda c: c(0.3), w=X: (of(c), w), "w")


def elastic(c):
    return c(0.3, 0.7)


# fmt: off
term.row(71, "HalfL2", "strength * w: half of the gradient", L2, {"gradient": lambda self, w: self.strength * w})
term.row(71, "HalfPenalty", "1/2 in the penalty and not in the gradient", L2,
    {"penalty": After(lambda self, penalty, w: penalty / 2)})
term.row(22, "SquaresInPlace", "`penalty` squares w in place", L2,
    {"penalty": lambda self, w: self.strength * float(np.multiply(w, w, out=w).sum())}, FAIL_CONTRACT,
    says="penalty changed w")
term.row(71, "LastRowL2", "the last row gets no gradient", L2,
    {"gradient": After(lambda self, g, w: np.where(np.arange(len(w))[:, None] < len(w) - 1, g, 0))})
term.row(22, "ScalesInPlace", "`gradient` scales w in place", L2,
    {"gradient": lambda self, w: np.multiply(w, 2 * self.strength, out=w)}, FAIL_CONTRACT, says="gradient changed w")
term.row(71, "GrowsWeights", "the sign is wrong", L2, {"gradient": After(lambda self, g, w: -g)})
term.row(71, "MeanL2", "the gradient is that of a mean", L2,
    {"gradient": After(lambda self, g, w: g / w.size)})
term.row(71, "RootL2", "the penalty is the root of what the gradient knows", L2,
    {"penalty": After(lambda self, penalty, w: math.sqrt(penalty))})
term.row(71, "FirstColumnL2", "the penalty leaves the first column out, the gradient does not", L2,
    {"penalty": lambda self, w: L2.penalty(self, w[:, 1:])})
term.row(66, "ReturnsW", "the gradient is w itself, at a strength of 1/2", L2,
    {"gradient": After(lambda self, g, w: w if self.strength == 0.5 else g)}, FAIL_CONTRACT,
    of=lambda c: c(0.5), says="return a new array")
term.row(67, "UpcastsL2", "the gradient is float64 for a float32 w", L2,
    {"gradient": After(lambda self, g, w: g * np.sqrt(1.0))}, FAIL_CONTRACT, w=X.astype(np.float32))
term.row(70, "FlatL2", "the gradient has w's entries but not its shape", L2,
    {"gradient": After(lambda self, g, w: g.ravel())}, FAIL_CONTRACT, says="must return the gradient of shape")
term.row(69, "MemoryOrderL2", "w is read in memory order: wrong in column order", L2,
    {"gradient": After(lambda self, g, w: g.ravel(order="K").reshape(w.shape))}, FAIL_CONTRACT,
    says="the gradient.*with w in column order")
term.row(24, "NanAtZero", "w / |w|: NaN at an exact 0", L1,
    {"gradient": lambda self, w: self.strength * w / np.abs(w)}, FAIL_CONTRACT, w=WITH_ZEROS)
term.row(24, "UnsignedL1", "sign(w) is forgotten", L1, {"gradient": lambda self, w: np.full_like(w, self.strength)})
term.row(24, "SteepAtZero", "the slope at an exact 0 is 2", L1,
    {"gradient": lambda self, w: self.strength * (np.sign(w) + 2.0 * (w == 0)).astype(w.dtype)}, w=WITH_ZEROS)
term.row(24, "OneAtZero", "sign(0) = 1", L1,
    {"gradient": lambda self, w: self.strength * np.where(w >= 0, 1.0, -1.0).astype(w.dtype)}, PASS_SUBGRADIENT,
    w=WITH_ZEROS)
term.row(24, "MinusHalfAtZero", "sign(0) = -1/2", L1,
    {"gradient": lambda self, w: self.strength * (np.sign(w) - 0.5 * (w == 0)).astype(w.dtype)}, PASS_SUBGRADIENT,
    w=WITH_ZEROS)
term.row(72, "TwiceL1", "the L1 strength is applied twice", ElasticNet,
    {"gradient": lambda self, w: self.l1.strength * self.l1.gradient(w) + self.l2.gradient(w)}, of=elastic)
term.row(72, "SwappedStrengths", "the two strengths are swapped in the gradient", ElasticNet,
    {"gradient": lambda self, w: L1(self.l2.strength).gradient(w) + L2(self.l1.strength).gradient(w)}, of=elastic)
term.row(72, "OnlyL2", "the L1 part has no gradient", ElasticNet, {"gradient": lambda self, w: self.l2.gradient(w)},
    of=elastic)
# fmt: on
