"""What a mutant is, how a class is declared as one, and the numbers that they are checked with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from minidl import gradcheck
from minidl.gradcheck.report import GradientReport, Verdict

PASS, PASS_SUBGRADIENT = Verdict.PASS, Verdict.PASS_SUBGRADIENT
FAIL_VALUE, FAIL_CONTRACT = Verdict.FAIL_VALUE, Verdict.FAIL_CONTRACT
NONDETERMINISTIC, STATE_CHANGED, VACUOUS = Verdict.NONDETERMINISTIC, Verdict.STATE_CHANGED, Verdict.VACUOUS

Class = TypeVar("Class", bound=type)


@dataclass(frozen=True)
class Mutant:
    """A subject for one of the `check_...` functions, with the verdicts that it may get.

    `number` is the one in the project's list of backward bugs, `kind` the check ("layer" for `check_layer`, ...),
    `make` returns the subject and the other arguments of that check, `tensor` is what a FAIL_VALUE must name.
    """

    number: int
    name: str
    what: str
    kind: str
    make: Callable[[], tuple[Any, ...]]
    verdicts: tuple[Verdict, ...]
    tensor: str = ""

    def check(self) -> GradientReport:
        """Return the checker's report."""
        report: GradientReport = getattr(gradcheck, f"check_{self.kind}")(*self.make())
        return report


def signed(*shape: int, seed: int = 1) -> np.ndarray:
    """Numbers of both signs, no two alike."""
    return np.random.default_rng(seed).normal(size=shape)


NOISE = np.random.default_rng(5)  # no attribute of a layer, so that no check can put it back
X = signed(5, 4)
LABELS = np.array([2, 0, 1, 2, 2])
WITH_ZEROS = np.array([[0.0, -1.5, 2.0], [0.75, 0.0, -0.25]])


def mutant(
    number: int,
    what: str,
    *verdicts: Verdict,
    on: Callable[[Any], tuple[Any, ...]],
    into: list[Mutant],
    kind: str = "layer",
    tensor: str = "",
) -> Callable[[Class], Class]:
    """Add the decorated class to the list `into`; `on` makes of it the arguments of the check."""

    def add(cls: Class) -> Class:
        into.append(Mutant(number, cls.__name__, what, kind, lambda: on(cls), verdicts, tensor))
        return cls

    return add
