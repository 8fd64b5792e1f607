"""What is in a file that a run has written: a few facts, and rows."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minidl._core.errors import DataError
from minidl._core.types import Array
from minidl._storage.kinds import open_regular
from minidl._storage.tensors import read_tensors
from minidl.sweeps.result import SweepResult
from minidl.sweeps.trial import row_of
from minidl.sweeps.trial_file import read_trials
from minidl.training.checkpoint import read_checkpoint
from minidl.training.history import History


class Content(NamedTuple):
    """What is in a file: `columns` of the `last` rows are for people, all of it is for programs."""

    kind: str
    facts: dict[str, Any]
    rows: Sequence[Mapping[str, Any]] = ()
    columns: Sequence[str] = ()
    last: int = 20


def read_content(path: Path) -> Content | None:
    """Return what is in the file, or None if it is of no kind that minidl writes for programs.

    Raises
    ------
    DataError, CheckpointError
        If it is damaged.
    OSError
        If it cannot be read.
    """
    match path.suffix:
        case ".safetensors":
            return _tensors(path)
        case ".csv":
            header = _text(path).partition("\n")[0].strip("\ufeff\r").split(",")
            if "epoch" in header or path.name.startswith("history"):
                return _history(History.from_csv(path))
        case ".jsonl":
            return _lines(path)
        case ".json":
            return _document(path)
    return None


def _tensors(path: Path) -> Content:
    arrays, texts = read_tensors(path, require_digest=False)
    if "minidl.state" not in texts:
        return Content("weights", {"numbers": sum(a.size for a in arrays.values()), **texts}, _shapes(arrays))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        weights, state = read_checkpoint(path)
    facts: dict[str, Any] = {"numbers": sum(a.size for a in weights.values())}
    terms = ("network", "loss", "regularizer", "optimizer")
    for group, names in [("run", ("epoch", "step")), ("terms", terms), ("run", ("seed",))]:
        table = state.get(group)
        facts |= {name: table.get(name) for name in names} if isinstance(table, dict) else {}
    if told:
        facts["note"] = str(told[0].message).removeprefix(f"{path}: ")
    return Content("checkpoint", facts, _shapes(weights))


def _shapes(arrays: Mapping[str, Array]) -> list[dict[str, Any]]:
    return [{"name": name, "shape": str(a.shape), "dtype": str(a.dtype)} for name, a in arrays.items()]


def _history(history: History) -> Content:
    columns = history.columns  # once: it looks through all rows
    rows = [{name: row.get(name) for name in columns} for row in history.rows]
    return Content("history", {"epochs": len(history)}, rows, last=5)


def _lines(path: Path) -> Content:
    first = _text(path).lstrip()
    if not first.startswith('{"run"'):
        return _history(History.from_jsonl(path))
    trials, _ = read_trials(path)
    done = [{"run": run} | row_of(trial) for run, trial in trials]
    result = SweepResult(trial for _, trial in trials)
    facts = {"trials": len(result), "failed": len(result.failed)}
    return Content("sweep", facts, done, [*result.header, "trial_seconds"])


def _document(path: Path) -> Content:
    try:
        document = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: expected JSON ({error})") from None
    if isinstance(document, list):
        return _history(History.from_json(path))
    if not isinstance(document, dict):
        return Content("JSON", {"value": document})
    settings = document.get("settings")
    if not (isinstance(settings, list) and settings and all(isinstance(row, dict) for row in settings)):
        return Content("JSON", {k: v for k, v in document.items() if not isinstance(v, dict | list)})
    data = document.get("dataset")
    facts = {"dataset": f"{data.get('name')} ({data.get('source')})"} if isinstance(data, dict) else {}
    columns = ("lambda", "eta", "seed", "epochs", "train_loss", "val_loss", "val_accuracy", "test_accuracy")
    return Content("results", facts, settings, [name for name in columns if name in settings[0]])


def _text(path: Path) -> str:
    with open(open_regular(path), encoding="utf-8", errors="replace") as file:
        return file.read()
