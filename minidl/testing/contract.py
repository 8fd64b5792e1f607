"""Common checks, in the manner of scikit-learn's ``check_estimator``: small named rules, checked one after another."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minidl._core.checks import check_type
from minidl._core.errors import GradientCheckError, MinidlError
from minidl._core.types import Array
from minidl.gradcheck.arrays import first


class ContractError(MinidlError, AssertionError):
    """A class breaks a rule that the rest of minidl relies on."""


@dataclass
class Contract:
    """What objects of a kind promise: each public method of a subclass is a rule, and raises if it is broken.

    Parameters
    ----------
    make : callable
        Returns a new object, the same each time.
    """

    make: Callable[[], Any]
    _kind: ClassVar[type]

    def check(self) -> None:
        """Check the rules in the order in which they are written; an error names the class and the rule."""
        check_type("make", "its result", self.make(), self._kind)
        for rule in vars(type(self)):
            if rule.startswith("_"):
                continue
            where = f"{type(self.make()).__name__} breaks the {self._kind.__name__.lower()} contract, {rule!r}"
            try:
                getattr(self, rule)()
            except (GradientCheckError, ContractError) as error:
                separator = "\n" if isinstance(error, GradientCheckError) else " "
                raise type(error)(f"{where}:{separator}{error}") from error
            except Exception as error:
                raise ContractError(f"{where}: raised {type(error).__name__}: {error}") from error


def require(condition: Any, message: str) -> None:
    """Raise ContractError with `message` unless `condition` holds."""
    if not condition:
        raise ContractError(message)


def require_equal(what: str, got: Any, expected: Any) -> None:
    """Raise ContractError unless two arrays, or two dicts of arrays, are the same to 1e-9 of the largest entry.

    Not to the last bit: how BLAS rounds depends on where in memory the arrays happen to lie.
    """
    if isinstance(expected, dict):
        for name, array in expected.items():
            require_equal(f"{what}, {name}", got[name], array)
        return
    require(got.shape == expected.shape, f"{what}: expected shape {expected.shape}, got {got.shape}")
    bar = 1e-9 * np.abs(expected).max(initial=0.0)
    if (index := first(~((got == expected) | (np.abs(got - expected) <= bar)))) is not None:
        raise ContractError(f"{what}: expected {expected[index]} at {index}, got {got[index]}")


def require_raises(what: str, errors: type[Exception], call: Callable[[], Any]) -> None:
    """Raise ContractError unless `call` raises one of `errors`."""
    try:
        call()
    except errors:
        return
    except Exception as error:
        raise ContractError(f"{what}: expected {errors.__name__}, got {type(error).__name__}: {error}") from error
    raise ContractError(f"{what}: expected {errors.__name__}, got no error")


def sample(shape: tuple[int, ...], seed: int, dtype: Any = np.float64) -> Array:
    """Return numbers in memory nobody may write to: none near 0 or 1, no two alike, of both signs."""
    size = int(np.prod(shape))
    # A shuffled grid: entries off the kinks and apart from each other whatever the seed.
    grid = (2.0 * np.arange(size) + 1.0) / (2.0 * max(size, 1)) * 0.75 + 0.125
    values = np.random.default_rng(seed).permutation(grid * np.where(np.arange(size) % 2, -1.0, 1.0))
    array: Array = values.reshape(shape).astype(dtype)
    array.flags.writeable = False
    return array
