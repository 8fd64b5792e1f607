"""Common checks, like scikit-learn's ``check_estimator``: small named rules, checked one after another."""

import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar
from unittest import SkipTest

import numpy as np

from minidl._core.checks import as_count, check_type
from minidl._core.errors import GradientCheckError, InputError, MinidlError
from minidl._core.types import Array
from minidl.gradcheck.arrays import first

Shape = tuple[int, ...]


class ContractError(MinidlError, AssertionError):
    """A class breaks a rule that the rest of minidl relies on."""


class Contract:
    """The rules that all objects of a kind must keep: each public method of a subclass is a rule.

    A broken rule raises; a rule warns about unusual but allowed behaviour, and raises SkipTest if it does not apply.
    Rules that name the cause of a fault come before rules that only compare numbers.

    Parameters
    ----------
    make : callable
        Returns a new object, the same each time.
    """

    _kind: ClassVar[type]

    def __init__(self, make: Callable[[], Any]) -> None:
        kind = self._kind.__name__
        # Objects of the kind may be callable themselves, such as schedules and initializers.
        if isinstance(make, self._kind) or not callable(make):
            given = f"{make!r:.80}"
            raise InputError(f"make: expected a function that returns a new {kind}, got {given}; write lambda: {given}")
        check_type("make", "its result", subject := make(), self._kind)
        if make() is subject:
            raise InputError(f"make: expected a new {kind} from each call, got the same one; construct it inside make")
        self._make, self._name = make, type(subject).__name__

    @classmethod
    def _rules(cls) -> list[str]:
        """Return the names of the rules, in the order of the checks."""
        return [name for name in vars(cls) if name[0] != "_"]

    def _check(self) -> None:
        """Check all rules; an error names the class and the rule."""
        for rule in self._rules():
            with suppress(SkipTest):
                self._check_rule(rule)

    def _check_rule(self, rule: str) -> None:
        where = f"{self._name} breaks the {self._kind.__name__.lower()} contract, {rule!r}"
        try:
            getattr(self, rule)()
        except (SkipTest, Warning):
            raise
        except (GradientCheckError, ContractError) as error:
            raise type(error)(f"{where}: {error}") from error
        except Exception as error:
            raise ContractError(f"{where}: raised {type(error).__name__}: {error}") from error

    def _note(self, text: str) -> None:
        warnings.warn(f"{self._name}: {text}; if this is intended, ignore this warning", stacklevel=3)


def as_shape(name: str, value: Any) -> Shape:
    """Return a side or a sequence of sides as a tuple of integers >= 1."""
    return tuple(as_count(name, side) for side in (value if isinstance(value, list | tuple) else [value]))


def require(condition: Any, message: str) -> None:
    """Raise ContractError with `message` unless `condition` holds."""
    if not condition:
        raise ContractError(message)


def require_equal(label: str, got: Any, expected: Any, advice: str = "") -> None:
    """Raise ContractError unless two arrays, or two dicts of arrays, are equal to 1e-9 of the largest entry.

    In float32 the tolerance is 1e-5. It is not 0, since the rounding of BLAS depends on the memory of the arrays.
    """
    if isinstance(expected, dict):
        for name, array in expected.items():
            require_equal(f"{label}, {name}", got[name], array, advice)
        return
    require(got.shape == expected.shape, f"{label}: expected shape {expected.shape}, got {got.shape}{advice}")
    bar = (1e-5 if got.dtype == np.float32 else 1e-9) * np.abs(expected).max(initial=0.0)
    if (index := first(~((got == expected) | (np.abs(got - expected) <= bar)))) is not None:
        raise ContractError(f"{label}: expected {expected[index]} at {index}, got {got[index]}{advice}")


def sample(shape: tuple[int, ...], seed: int, dtype: Any = np.float64) -> Array:
    """Return a read-only array of distinct numbers of both signs, none near 0 or 1."""
    size = int(np.prod(shape))
    # A shuffled grid: for every seed, entries are away from kinks and from each other.
    grid = (2.0 * np.arange(size) + 1.0) / (2.0 * max(size, 1)) * 0.75 + 0.125
    values = np.random.default_rng(seed).permutation(grid * np.where(np.arange(size) % 2, -1.0, 1.0))
    array: Array = values.reshape(shape).astype(dtype)
    array.flags.writeable = False
    return array
