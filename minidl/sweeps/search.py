"""Searches: the configs of a sweep, round by round."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from minidl._core.attributes import Declared
from minidl._core.checks import as_count, as_number
from minidl._core.errors import InputError
from minidl._core.randomness import keyed_generator
from minidl._core.reprs import constructor_call
from minidl.sweeps.result import SweepResult
from minidl.sweeps.trial import Trial
from minidl.training.history import Monitor


class Search(Protocol):
    """An object that gives a sweep its configs."""

    def next_round(self, rounds: Sequence[Sequence[Trial]], seed: int) -> Sequence[Mapping[str, Any]]:
        """Return the next configs, given the trials of all earlier rounds; an empty sequence ends the search.

        Equal arguments must give equal configs, so that a restarted sweep repeats its rounds.
        """


class LogUniform(Declared):
    """A range of numbers with a uniform distribution on a log scale, such as for learning rates and penalties.

    ``10 ** u`` with u uniform between log10(low) and log10(high), rounded to four significant digits, so that a table
    shows the exact value.

    Parameters
    ----------
    low, high : float
        Greater than 0.

    Examples
    --------
    >>> LogUniform(1e-5, 1e-1)
    LogUniform(1e-05, 0.1)
    """

    def __init__(self, low: float, high: float) -> None:
        self.low = as_number("LogUniform: low", low, 0.0, above=True)
        self.high = as_number("LogUniform: high", high, self.low)

    def draw(self, rng: np.random.Generator) -> float:
        """Return a random number of the range."""
        value = float(f"{10 ** rng.uniform(math.log10(self.low), math.log10(self.high)):.4g}")
        # Rounding can leave the range.
        return min(max(value, self.low), self.high)

    def near(self, value: float, share: float) -> "LogUniform":
        """Return the part of the range around `value` that has `share` of its width on the log scale."""
        factor = (self.high / self.low) ** (share / 2)
        return LogUniform(max(self.low, value / factor), min(self.high, value * factor))

    __repr__ = constructor_call


Ranges = Mapping[str, LogUniform | Sequence[Any]]


class RandomSearch(Declared):
    """Random configs: each value is drawn independently, from a `LogUniform` or from a sequence.

    If only few parameters matter, this finds better values than a grid of the same size (Bergstra and Bengio, Random
    search for hyper-parameter optimization, JMLR 13, 2012). With a larger `trials`, the first configs stay the same.

    Parameters
    ----------
    ranges : dict of str to LogUniform or sequence
        A linear range is a sequence too: ``numpy.linspace(0, 0.5, 101)``.
    trials : int

    Examples
    --------
    >>> RandomSearch({"lam": LogUniform(1e-5, 1e-1), "units": [50, 100]}, trials=20)
    RandomSearch({'lam': LogUniform(1e-05, 0.1), 'units': [50, 100]}, 20)
    """

    def __init__(self, ranges: Ranges, trials: int) -> None:
        self.ranges = _as_ranges("RandomSearch", ranges)
        self.trials = as_count("trials", trials)

    def next_round(self, rounds: Sequence[Sequence[Trial]], seed: int) -> list[dict[str, Any]]:
        """Return all configs as the first round."""
        rng = keyed_generator(seed, "search", 0)
        return [] if rounds else [_draw(self.ranges, rng) for _ in range(self.trials)]

    __repr__ = constructor_call


class CoarseToFine(Declared):
    """A random search over the whole ranges, followed by rounds in ever smaller ranges around the best configs.

    Each round after the first draws every `LogUniform` around the values of the best configs so far, in turn, from a
    quarter of the previous round's width on the log scale; a value from a sequence is kept. Assignment 2 of the course
    DD2424 (KTH) searches for lambda in this way by hand.

    Parameters
    ----------
    ranges : dict of str to LogUniform or sequence
        At least one `LogUniform`.
    metric : str
        The returned number by which configs are compared, such as ``"val_accuracy"``.
    trials : int
        Number of trials per round.
    rounds : int
    keep : int
        Number of best configs around which the next round draws.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better; "auto" means "max" for a metric that ends with "accuracy", "acc", "f1",
        "auc", "precision", "recall" or "r2", else "min".
    """

    def __init__(
        self, ranges: Ranges, metric: str, *, trials: int = 20, rounds: int = 2, keep: int = 3, mode: str = "auto"
    ) -> None:
        self.ranges = _as_ranges("CoarseToFine", ranges)
        if not any(isinstance(values, LogUniform) for values in self.ranges.values()):
            raise InputError(f"CoarseToFine: expected at least one LogUniform among the ranges, got {ranges!r:.200}")
        # Only to check both arguments.
        Monitor(metric, mode)
        self.metric, self.mode = metric, mode
        self.trials = as_count("trials", trials)
        self.rounds = as_count("rounds", rounds)
        self.keep = as_count("keep", keep)

    def next_round(self, rounds: Sequence[Sequence[Trial]], seed: int) -> list[dict[str, Any]]:
        """Return the configs of the next round; none after the last round, or if all trials failed."""
        number = len(rounds)
        if number == 0:
            return RandomSearch(self.ranges, self.trials).next_round(rounds, seed)
        done = SweepResult(itertools.chain.from_iterable(rounds))
        if number == self.rounds or len(done.failed) == len(done):
            return []
        rng = keyed_generator(seed, "search", number)
        best = itertools.cycle(done.best(self.metric, self.mode, self.keep))
        return [_draw(self._around(next(best).config, 4.0**-number), rng) for _ in range(self.trials)]

    def _around(self, config: dict[str, Any], share: float) -> dict[str, LogUniform | list[Any]]:
        return {
            name: values.near(config[name], share) if isinstance(values, LogUniform) else [config[name]]
            for name, values in self.ranges.items()
        }

    __repr__ = constructor_call


class Listed:
    """A fixed list of configs."""

    def __init__(self, configs: Iterable[Mapping[str, Any]]) -> None:
        self.configs = list(configs)

    def next_round(self, rounds: Sequence[Sequence[Trial]], seed: int) -> list[Mapping[str, Any]]:
        """Return all configs as the only round."""
        return [] if rounds else self.configs


def as_search(space: Any) -> Search:
    """Return the search for `space`: a grid, a list of configs, or a search, which is returned unchanged."""
    if hasattr(space, "next_round") and not isinstance(space, type):
        return space  # type: ignore[no-any-return]
    if isinstance(space, Mapping):
        values = [_as_values(f"space[{name!r}]", of) for name, of in space.items()]
        return Listed(dict(zip(space, chosen, strict=True)) for chosen in itertools.product(*values))
    if isinstance(space, Iterable) and not isinstance(space, str):
        return Listed(space)
    wanted = "a grid such as {'lam': [0.1, 1]}, a RandomSearch, a CoarseToFine, or a list of configs"
    raise InputError(f"space: expected {wanted}, got {space!r:.80}")


def _as_values(name: str, values: Any) -> list[Any]:
    if isinstance(values, LogUniform):
        raise InputError(f"{name}: expected a sequence, got a LogUniform; use RandomSearch({{...}}, trials=20) instead")
    if not isinstance(values, Sequence | np.ndarray) or isinstance(values, str) or len(values) == 0:
        raise InputError(f"{name}: expected a sequence of at least one value, got {values!r:.80}")
    return list(values)


def _as_ranges(where: str, ranges: Any) -> dict[str, LogUniform | list[Any]]:
    if not isinstance(ranges, Mapping) or not ranges:
        raise InputError(f"{where}: expected a dict such as {{'lam': LogUniform(1e-5, 1e-1)}}, got {ranges!r:.80}")
    return {
        name: values if isinstance(values, LogUniform) else _as_values(f"{where}: {name}", values)
        for name, values in ranges.items()
    }


def _draw(ranges: Mapping[str, LogUniform | list[Any]], rng: np.random.Generator) -> dict[str, Any]:
    return {
        name: values.draw(rng) if isinstance(values, LogUniform) else values[int(rng.integers(len(values)))]
        for name, values in ranges.items()
    }
