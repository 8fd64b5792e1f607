"""Random generators: never a global state, and during training always keyed by seed, purpose and counters."""

import numpy as np

from minidl._core.errors import InputError
from minidl._core.types import Seed


def as_generator(rng: Seed) -> np.random.Generator:
    """Return `rng` as a `numpy.random.Generator`.

    Parameters
    ----------
    rng : int, Generator or None
        A non-negative seed; or a generator, which is returned unchanged; or None for fresh randomness.

    Raises
    ------
    InputError
        For anything else.
    """
    if rng is not None and not isinstance(rng, np.random.Generator):
        if isinstance(rng, bool) or not isinstance(rng, int | np.integer) or rng < 0:
            raise InputError(f"rng: expected a non-negative integer, a numpy.random.Generator or None, got {rng!r}")
        rng = int(rng)
    return np.random.default_rng(rng)


def as_seed(rng: Seed) -> int:
    """Return `rng` as an integer seed: an integer unchanged, else 63 bits drawn once from the generator or system."""
    generator = as_generator(rng)
    return int(rng) if isinstance(rng, int | np.integer) else int(generator.integers(2**63))


def keyed_generator(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """Return the generator of (seed, purpose, counters), such as ``keyed_generator(42, "shuffle", epoch)``.

    The same key always gives the same numbers. So a resumed run needs no position in a random stream, and an extra
    draw in one place changes nothing elsewhere.
    """
    return np.random.default_rng([seed, int.from_bytes(purpose.encode(), "little"), *counters])
