"""Trial: one config, and what became of it."""

import hashlib
import json
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from minidl._core.errors import InputError
from minidl._core.tables import cell

Config = dict[str, Any]
Run = Callable[[Config, int], Mapping[str, Any]]


OF_TRIAL = ("key", "seed", "seconds", "host", "error")


class Plan(NamedTuple):
    """A trial before it is done."""

    config: Config
    key: str
    seed: int


class Trial(NamedTuple):
    """What a function made of one config.

    Attributes
    ----------
    config : dict
        Plain values as in JSON: numbers, texts, lists.
    key : str
        The digest of the config and of the sweep's seed, by which a restarted sweep finds the trial again.
    seed : int
        What the function was given as seed, below 2**32.
    metrics : dict of str to int or float
        What it returned; empty if it failed.
    seconds : float
        How long it took.
    host : str
        The machine that it ran on.
    error : str
        Why it failed, with the traceback if there is one; "" if it did not.
    """

    config: Config
    key: str
    seed: int
    metrics: dict[str, int | float]
    seconds: float
    host: str
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether it did not fail."""
        return not self.error

    def __str__(self) -> str:
        config = ", ".join(f"{name}={value}" for name, value in self.config.items())
        outcome = "  ".join(f"{name} {cell(value)}" for name, value in self.metrics.items())
        return f"{config}: {outcome if self.ok else self.error.splitlines()[-1]}"


def row_of(trial: Trial) -> dict[str, Any]:
    """Return metrics, config and, with "trial_" before its name, all else of a trial, as one row of a table."""
    return trial.metrics | trial.config | {f"trial_{name}": getattr(trial, name) for name in OF_TRIAL}


def plan(config: Any, seed: int) -> Plan:
    """Return what is to be done for `config` in a sweep with this seed; the same for the same two, whatever else.

    Raises
    ------
    InputError
        If the config is no dict of plain values that JSON has.
    """
    if not isinstance(config, Mapping) or not all(isinstance(name, str) and name.isprintable() for name in config):
        raise InputError(f"space: expected each config to be a dict whose keys are printable texts, got {config!r:.80}")
    try:
        plain: Config = json.loads(json.dumps(dict(config), default=_as_python, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"space: expected configs of numbers, texts and lists of them, got {config!r:.200} ({error})"
        ) from None
    canonical = json.dumps([seed, plain], sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).digest()
    return Plan(plain, digest[:16].hex(), int.from_bytes(digest[-4:]))


def attempt(run: Run, config: Config, key: str, seed: int) -> Trial:
    """Call ``run(config, seed)`` and return the trial, also if it raised: what a worker does."""
    # Here, because importing minidl must stay quick.
    import platform
    import traceback

    metrics, error, start = {}, "", perf_counter()
    try:
        # A copy of the config, which the function may change.
        metrics = _as_metrics(run(json.loads(json.dumps(config)), seed))
    except (Exception, SystemExit) as raised:
        # A KeyboardInterrupt, and the exit after SIGTERM (see `Trainer.fit`), are meant for the sweep.
        if isinstance(raised, SystemExit) and raised.code == 128 + signal.SIGTERM:
            raise
        error = traceback.format_exc().rstrip()
    return Trial(config, key, seed, metrics, perf_counter() - start, platform.node(), error)


def run_name(run: Run) -> str:
    """Return the name of a function that it has in the script that defines it and for those who import that."""
    while isinstance(run, partial):
        run = run.func
    function = run if hasattr(run, "__qualname__") else type(run)
    module = (function.__module__ or "").split(".")[-1]
    if module == "__main__":
        module = Path(getattr(sys.modules["__main__"], "__file__", None) or module).stem
    return f"{module}.{function.__qualname__}"


def _as_python(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"JSON has no {type(value).__name__}")


def _as_metrics(value: Any) -> dict[str, int | float]:
    if not isinstance(value, Mapping):
        raise InputError(f"run: expected it to return a dict of numbers, got {value!r:.80}")
    for name, number in value.items():
        numeric = isinstance(number, int | float | np.integer | np.floating) and not isinstance(number, bool)
        if not isinstance(name, str) or not name.isprintable() or not numeric:
            raise InputError(f"run: expected it to return a dict of numbers, got {number!r:.80} as {name!r}")
    return {name: int(n) if isinstance(n, int | np.integer) else float(n) for name, n in value.items()}
