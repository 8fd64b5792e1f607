"""Trial: one config and its result; in the file of a sweep, one line of JSON."""

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
    """The result of one config.

    Attributes
    ----------
    config : dict
        Plain values as in JSON: numbers, texts, lists.
    key : str
        The digest of the config and of the sweep's seed, which identifies the trial in a restarted sweep.
    seed : int
        The seed passed to the function, below 2**32.
    metrics : dict of str to int or float
        The returned numbers; empty if the trial failed.
    seconds : float
        The running time.
    host : str
        The name of the machine.
    error : str
        The error of a failed trial, with its traceback if there is one; else "".
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
        """Whether the trial did not fail."""
        return not self.error

    def __str__(self) -> str:
        config = ", ".join(f"{name}={value}" for name, value in self.config.items())
        outcome = "  ".join(f"{name} {cell(value)}" for name, value in self.metrics.items())
        # Texts in a config or error may contain control characters.
        return legible(f"{config}: {outcome if self.ok else self.error.splitlines()[-1]}")


def row_of(trial: Trial) -> dict[str, Any]:
    """Return a trial as one row of a table: metrics, config, and the other fields with "trial_" before their names."""
    return trial.metrics | trial.config | {f"trial_{name}": getattr(trial, name) for name in TRIAL_FIELDS}


def plan(config: Any, seed: int) -> Plan:
    """Return the plan for `config` in a sweep with this seed; it depends only on these two.

    Raises
    ------
    InputError
        If the config is not a dict of plain values that JSON can represent.
    """
    if not isinstance(config, Mapping) or not all(isinstance(name, str) and name.isprintable() for name in config):
        raise InputError(f"space: expected each config to be a dict with printable names, got {config!r:.80}")
    try:
        plain: Config = json.loads(json.dumps(dict(config), default=_as_python, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        got = f"{config!r:.200} ({error})"
        raise InputError(f"space: expected configs of numbers, texts and lists of them, got {got}") from None
    canonical = json.dumps([seed, plain], sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).digest()
    return Plan(plain, digest[:16].hex(), int.from_bytes(digest[-4:]))


def attempt(run: Run, config: Config, key: str, seed: int) -> Trial:
    """Call ``run(config, seed)`` and return the trial, even if the call raised an error. Workers call this."""
    # Imported here to keep `import minidl` fast.
    import platform
    import traceback

    metrics, error, start = {}, "", perf_counter()
    try:
        # The function gets a copy of the config, which it may change.
        returned = run(json.loads(json.dumps(config)), seed)
        check_type("run", "the returned value", returned, Mapping, "return a dict of numbers")
        metrics = as_row(returned, "run")
    except BaseException as raised:
        # Ctrl-C and the exit after SIGTERM (see `Trainer.fit`) must stop the whole sweep.
        terminated = isinstance(raised, SystemExit) and raised.code == 128 + signal.SIGTERM
        if terminated or isinstance(raised, KeyboardInterrupt):
            raise
        error = traceback.format_exc().rstrip()
    return Trial(config, key, seed, metrics, perf_counter() - start, platform.node(), error)


def run_name(run: Run) -> str:
    """Return a function's name, the same whether its module is run as a script or imported."""
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
    raise TypeError(f"JSON cannot represent {type(value).__name__}")


def append_trial(path: Path, run: str, trial: Trial) -> None:
    """Append a trial of the function named `run`; its line is on the disk when this returns."""
    row: dict[str, Any] = {"run": run, "key": trial.key, "config": trial.config, "seed": trial.seed}
    row |= {"status": "ok" if trial.ok else "failed", "metrics": for_json(trial.metrics)}
    row |= {"seconds": trial.seconds, "host": trial.host} | ({} if trial.ok else {"error": trial.error})
    append_line(path, json.dumps(row, allow_nan=False))


def read_trials(path: Path, *, mend: bool = False) -> list[tuple[str, Trial]]:
    """Return the trials in `path`, each with the name of its function.

    An incomplete last line, as a kill or a power cut can leave it, is ignored. With `mend`, it is removed from the
    file, which then ends with a complete line and has no other hard link.

    Raises
    ------
    DataError
        If the file cannot be read, or another line is not a trial; the message names file and line.
    """
    content = read_regular(path)
    trials, lines = [], content.splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            trials.append(_parsed(line))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            if number < len(lines) or not _is_torn(line):
                message = f"expected a trial of a sweep, got {line!r:.80} ({error})"
                raise DataError(f"{path}, line {number}: {message}") from None
            lines.pop()
    whole = b"".join(lines)
    whole += b"\n" if whole and not whole.endswith(b"\n") else b""
    # Another hard link of the file keeps its content: another sweep may write there.
    if mend and (whole != content or (content and os.stat(path).st_nlink > 1)):
        write_whole(path, whole)
    return trials


def _parsed(line: bytes) -> tuple[str, Trial]:
    row = json.loads(line)
    run, key, config, metrics = row["run"], row["key"], row["config"], row["metrics"]
    if not (isinstance(run, str) and isinstance(key, str) and isinstance(config, dict)):
        raise ValueError("run, key or config of the wrong type")
    numbers = {name: float(value) if isinstance(value, str) else value for name, value in metrics.items()}
    if not all(isinstance(value, int | float) for value in numbers.values()):
        raise ValueError("metrics that are not numbers")
    error = "" if row["status"] == "ok" else str(row.get("error") or "failed")
    return run, Trial(config, key, int(row["seed"]), numbers, float(row["seconds"]), str(row["host"]), error)


def _is_torn(line: bytes) -> bool:
    """Return whether `line` can be the rest of a trial's line: its start, or its end after zeros; zeros may follow."""
    rest = line.strip(b"\0")
    begins = rest[: len(_START)] == _START[: len(rest)]
    # A complete line that is not a trial is an error.
    whole = line.endswith(b"\n") and b"\0" not in line
    return (begins and not whole) or (line.startswith(b"\0") and (rest == b"\n" or rest.endswith(b"}\n")))
