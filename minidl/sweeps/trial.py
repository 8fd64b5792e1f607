"""Trial: one config, and what became of it; in the file of a sweep, one line of JSON."""

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from minidl._core.checks import check_type
from minidl._core.errors import DataError, InputError
from minidl._core.tables import cell
from minidl._core.texts import legible
from minidl._storage.files import append_line, write_whole
from minidl._storage.kinds import read_regular
from minidl.training.history import as_row, for_json

Config = dict[str, Any]
Run = Callable[[Config, int], Mapping[str, Any]]


TRIAL_FIELDS = ("key", "seed", "seconds", "host", "error")
# The start of each line.
_START = b'{"run": '


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
        # Texts of a config and of an error may hold what would steer the terminal.
        return legible(f"{config}: {outcome if self.ok else self.error.splitlines()[-1]}")


def row_of(trial: Trial) -> dict[str, Any]:
    """Return metrics, config and, with "trial_" before its name, all else of a trial, as one row of a table."""
    return trial.metrics | trial.config | {f"trial_{name}": getattr(trial, name) for name in TRIAL_FIELDS}


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
        got = f"{config!r:.200} ({error})"
        raise InputError(f"space: expected configs of numbers, texts and lists of them, got {got}") from None
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
        returned = run(json.loads(json.dumps(config)), seed)
        check_type("run", "what it returns", returned, Mapping, "return a dict of numbers")
        metrics = as_row(returned, "run")
    except BaseException as raised:
        # Ctrl-C, and the exit after SIGTERM (see `Trainer.fit`), are meant for the sweep.
        terminated = isinstance(raised, SystemExit) and raised.code == 128 + signal.SIGTERM
        if terminated or isinstance(raised, KeyboardInterrupt):
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


def append_trial(path: Path, run: str, trial: Trial) -> None:
    """Add the line of a trial of the function that is called `run`, durable when this returns."""
    row: dict[str, Any] = {"run": run, "key": trial.key, "config": trial.config, "seed": trial.seed}
    row |= {"status": "ok" if trial.ok else "failed", "metrics": for_json(trial.metrics)}
    row |= {"seconds": trial.seconds, "host": trial.host} | ({} if trial.ok else {"error": trial.error})
    append_line(path, json.dumps(row, allow_nan=False))


def read_trials(path: Path, *, mend: bool = False) -> list[tuple[str, Trial]]:
    """Return the trials in `path`, each with the name of its function.

    A line at the end that was not finished, as a kill or a power cut may leave one, does not count. With `mend` the
    file loses it, and ends with a whole line, so that the next one can be added; and it has no second name then.

    Raises
    ------
    DataError
        If the file cannot be read, or another line is not a trial's; the message names file and line.
    """
    content = read_regular(path)
    trials, lines = [], content.splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            trials.append(_parsed(line))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            if number < len(lines) or not _is_torn(line):
                told = f"expected a trial of a sweep, got {line!r:.80} ({error})"
                raise DataError(f"{path}, line {number}: {told}") from None
            lines.pop()
    whole = b"".join(lines)
    whole += b"\n" if whole and not whole.endswith(b"\n") else b""
    # A second name of the file, a hard link, keeps what it has: another sweep may write there.
    if mend and (whole != content or (content and os.stat(path).st_nlink > 1)):
        write_whole(path, whole)
    return trials


def _parsed(line: bytes) -> tuple[str, Trial]:
    row = json.loads(line)
    run, key, config, metrics = row["run"], row["key"], row["config"], row["metrics"]
    if not (isinstance(run, str) and isinstance(key, str) and isinstance(config, dict)):
        raise ValueError("of another kind")
    numbers = {name: float(value) if isinstance(value, str) else value for name, value in metrics.items()}
    if not all(isinstance(value, int | float) for value in numbers.values()):
        raise ValueError("metrics that are no numbers")
    error = "" if row["status"] == "ok" else str(row.get("error") or "failed")
    return run, Trial(config, key, int(row["seed"]), numbers, float(row["seconds"]), str(row["host"]), error)


def _is_torn(line: bytes) -> bool:
    """Return whether this may be left of a line: its beginning, or its end after zeros, and maybe zeros behind."""
    rest = line.strip(b"\0")
    begins = rest[: len(_START)] == _START[: len(rest)]
    # A whole line that is no trial is not torn.
    whole = line.endswith(b"\n") and b"\0" not in line
    return (begins and not whole) or (line.startswith(b"\0") and (rest == b"\n" or rest.endswith(b"}\n")))
