"""Searches: which configs to try, and which ones next."""

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
    """What a sweep asks for configs."""

    def next_round(self, rounds: Sequence[Sequence[Trial]], seed: int) -> Sequence[Mapping[str, Any]]:
        """Return the configs to try next, given the trials of every round before; none ends the search.

        The same arguments give the same configs: so a restarted sweep finds its way.
        """


class LogUniform(Declared):
    """A range of numbers whose logarithms are equally likely: strengths of penalties, learning rates.

    ``10 ** u`` with u uniform between log10(low) and log10(high), rounded to four significant digits, so that a value
    read off a table is the value that was tried.

    Parameters
    ----------
    low, high : float
        Above 0.

    Examples
    --------
    >>> LogUniform(1e-5, 1e-1)
    LogUniform(1e-05, 0.1)
    """

    def __init__(self, low: float, high: float) -> None:
        self.low = as_number("LogUniform: low", low, 0.0, above=True)
        self.high = as_number("LogUniform: high", high, self.low)

    def draw(self, rng: np.random.Generator) -> float:
        """Return a number of the range."""
        value = float(f"{10 ** rng.uniform(math.log10(self.low), math.log10(self.high)):.4g}")
        # Rounding may lead out of the range.
        return min(max(value, self.low), self.high)

    def near(self, value: float, share: float) -> "LogUniform":
        """Return the part of the range around `value` that has `share` of its width on the log scale."""
        factor = (self.high / self.low) ** (share / 2)
        return LogUniform(max(self.low, value / factor), min(self.high, value * factor))

    __repr__ = constructor_call


Ranges = Mapping[str, LogUniform | Sequence[Any]]


class RandomSearch(Declared):
    """Configs whose values are drawn independently: of a `LogUniform`, or one of a sequence.

    Where few of the parameters matter, that finds better values than a grid of the same size (Bergstra and Bengio,
    Random search for hyper-parameter optimization, JMLR 13, 2012). More trials later keep those already drawn.

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
        """Return all trials as the first round."""
        rng = keyed_generator(seed, "search", 0)
        return [] if rounds else [_draw(self.ranges, rng) for _ in range(self.trials)]

    __repr__ = constructor_call


class CoarseToFine(Declared):
    """A random search over whole ranges, and then ever closer around the best configs found.

    Each round after the first draws every `LogUniform` around the values of the best configs so far, in turn, from a
    quarter of the width that the round before had on the log scale; a value from a sequence stays. So assignment 2 of
    the course text DD2424 (KTH) looks for lambda, by hand.

    Parameters
    ----------
    ranges : dict of str to LogUniform or sequence
        At least one `LogUniform`.
    metric : str
        Which of the returned numbers tells the best, such as ``"val_accuracy"``.
    trials : int
        Of each round.
    rounds : int
    keep : int
        Around how many of the best the next round draws.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better; "auto" takes "max" for a metric that ends with "accuracy", "acc", "f1",
        "auc", "precision", "recall" or "r2", else "min".
    """

    def __init__(
        self, ranges: Ranges, metric: str, *, trials: int = 20, rounds: int = 2, keep: int = 3, mode: str = "auto"
    ) -> None:
        self.ranges = _as_ranges("CoarseToFine", ranges)
        if not any(isinstance(values, LogUniform) for values in self.ranges.values()):
            raise InputError(f"CoarseToFine: expected at least one LogUniform to look into closer, got {ranges!r:.200}")
        # This refuses what is no metric or mode.
        Monitor(metric, mode)
        self.metric, self.mode = metric, mode
        self.trials = as_count("trials", trials)
        self.rounds = as_count("rounds", rounds)
        self.keep = as_count("keep", keep)

    def next_round(self, rounds: Sequence[Sequence[Trial]], seed: int) -> list[dict[str, Any]]:
        """Return the trials of the next round; none after the last one, or where all failed so far."""
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
    """Configs that are known from the start, in their order."""

    def __init__(self, configs: Iterable[Mapping[str, Any]]) -> None:
        self.configs = list(configs)

    def next_round(self, rounds: Sequence[Sequence[Trial]], seed: int) -> list[Mapping[str, Any]]:
        """Return all of them as the first round."""
        return [] if rounds else self.configs


def as_search(space: Any) -> Search:
    """Return the search that `space` stands for: a grid, configs one by one, or a search already."""
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
        raise InputError(f"{name}: a grid has no ranges; write RandomSearch({{...}}, trials=20), or numpy.logspace")
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
