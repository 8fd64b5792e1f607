"""The file of a sweep: one line of JSON a trial."""

import json
import math
from pathlib import Path
from typing import Any

from minidl._core.errors import DataError
from minidl._storage.files import append_line, write_whole
from minidl._storage.kinds import open_regular
from minidl.sweeps.trial import Trial

# The start of each line.
_START = b'{"run": '


def append_trial(path: Path, run: str, trial: Trial) -> None:
    """Add the line of a trial of the function that is called `run`, durable when this returns."""
    # JSON has no NaN and no infinity: they are texts.
    metrics = {name: n if -math.inf < n < math.inf else json.dumps(n) for name, n in trial.metrics.items()}
    row: dict[str, Any] = {"run": run, "key": trial.key, "config": trial.config, "seed": trial.seed}
    row |= {"status": "ok" if trial.ok else "failed", "metrics": metrics}
    row |= {"seconds": trial.seconds, "host": trial.host} | ({} if trial.ok else {"error": trial.error})
    append_line(path, json.dumps(row, allow_nan=False))


def read_trials(path: Path) -> tuple[list[tuple[str, Trial]], bytes]:
    """Return the trials in `path`, each with the name of its function, and the bytes of their lines.

    These are all bytes but those of a line that was not finished, which a kill or a power cut may leave at the end.

    Raises
    ------
    DataError
        If the file cannot be read, or another line is not a trial's; the message names file and line.
    """
    try:
        with open(open_regular(path), "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return [], b""
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    trials, size = [], 0
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        try:
            trials.append(_parsed(line))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            if size + len(line) == len(content) and _is_torn(line):
                break
            raise DataError(f"{path}, line {number}: expected a trial of a sweep, got {line!r:.80} ({error})") from None
        size += len(line)
    return trials, content[:size]


def mended_trials(path: Path) -> list[tuple[str, Trial]]:
    """Return what `read_trials` does, and let the file end with a whole line, so that the next one can be added."""
    trials, whole = read_trials(path)
    if whole and not whole.endswith(b"\n"):
        whole += b"\n"
    if path.exists() and path.read_bytes() != whole:
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
