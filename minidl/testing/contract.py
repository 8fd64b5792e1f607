"""Common checks, in the manner of scikit-learn's ``check_estimator``: small named checks, run one after another."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidl._core.checks import check_type
from minidl._core.errors import GradientCheckError, MinidlError
from minidl._core.types import Array


class ContractError(MinidlError, AssertionError):
    """A class breaks a rule that the rest of minidl relies on."""


Check = Callable[..., None]


def run_checks(kind: type, make: Callable[[], Any], checks: Sequence[Check], *arguments: Any) -> None:
    """Call each check with (make, *arguments); what it raises comes out with the names of the class and the check.

    Parameters
    ----------
    kind : type
        What `make` must return an instance of.
    """
    made = make()
    check_type("make", "its result", made, kind)
    for check in checks:
        where = f"{type(made).__name__} breaks the {kind.__name__.lower()} contract, {check.__name__!r}"
        try:
            check(make, *arguments)
        except GradientCheckError as error:
            raise GradientCheckError(f"{where}:\n{error}") from error
        except ContractError as error:
            raise ContractError(f"{where}: {error}") from error
        except Exception as error:
            raise ContractError(f"{where}: raised {type(error).__name__}: {error}") from error


def require(condition: Any, message: str) -> None:
    """Raise ContractError with `message` unless `condition` holds."""
    if not condition:
        raise ContractError(message)


def require_equal(what: str, got: Any, expected: Any) -> None:
    """Raise ContractError unless two arrays, or two lists of arrays, are the same to 1e-9 of the largest entry.

    Not to the last bit: how BLAS rounds depends on where in memory the arrays happen to lie.
    """
    if isinstance(got, list | tuple):
        require(len(got) == len(expected), f"{what}: expected {len(expected)} arrays, got {len(got)}")
        for i, (one, other) in enumerate(zip(got, expected, strict=True)):
            require_equal(f"{what} ({i})", one, other)
        return
    got, expected = np.asarray(got), np.asarray(expected)
    require(got.shape == expected.shape, f"{what}: expected shape {expected.shape}, got {got.shape}")
    bar = 1e-9 * float(np.abs(expected).max(initial=0.0))
    wrong = ~((got == expected) | (np.abs(got - expected) <= bar))
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
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
    generator = np.random.default_rng(seed)
    size = int(np.prod(shape))
    # A shuffled grid: entries off the kinks and apart from each other whatever the seed.
    grid = (2.0 * np.arange(size) + 1.0) / (2.0 * max(size, 1)) * 0.75 + 0.125
    values = generator.permutation(grid * np.where(np.arange(size) % 2, -1.0, 1.0))
    array: Array = values.reshape(shape).astype(dtype)
    array.flags.writeable = False
    return array
