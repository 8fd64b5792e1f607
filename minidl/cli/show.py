"""Show the results of a run: all files of a folder, or one file.

Supported are results.json, histories (CSV, JSON, JSON lines), checkpoints, weights and sweeps. Damaged files are
reported, the other files are shown, and the exit status is 1. --json prints all rows, not only the last ones.

examples:
  minidl show runs/cifar_softmax
  minidl show runs/mine/best.safetensors
  minidl show sweep.jsonl --json
"""

import argparse
import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minidl._core.errors import DataError, MinidlError
from minidl._core.tables import cell, text_table
from minidl._core.types import Array
from minidl._storage.kinds import read_regular
from minidl._storage.tensors import read_tensors
from minidl.cli.ending import CommandResult
from minidl.sweeps.result import SweepResult
from minidl.sweeps.trial import read_trials, row_of
from minidl.training.checkpoint import read_checkpoint
from minidl.training.compare import compare_runs
from minidl.training.history import History

# The most rows to show of one file.
_SHOWN = 20

HELP = "show the results in a run's folder, or in one file"


class Content(NamedTuple):
    """The content of a file. The text shows `columns` of the last rows; the document has everything."""

    kind: str
    facts: dict[str, Any]
    rows: Sequence[Mapping[str, Any]] = ()
    columns: Sequence[str] = ()
    history: History | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, help="a folder or a file")


def run(options: argparse.Namespace) -> CommandResult:
    path: Path = options.path
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    # Hidden files are internal, and only regular files are read.
    names = sorted(p for p in path.iterdir() if not p.name.startswith(".")) if path.is_dir() else [path]
    read: dict[str, Content | None] = {}
    damaged: dict[str, str] = {}
    for file in names:
        try:
            read[file.name] = _content(file) if file.is_file() else None
        except (MinidlError, OSError) as error:
            damaged[file.name] = str(error)
    contents = {name: content for name, content in read.items() if content is not None}
    others = [name for name in read if name not in contents]
    if others and not path.is_dir():
        raise DataError(f"{path}: expected a file of a run: .json, .jsonl, .csv or .safetensors")
    files = {name: {"kind": c.kind, **c.facts, "rows": c.rows} for name, c in contents.items()}
    document = {"path": str(path), "files": files, "damaged": damaged, "others": others}
    # The table of results comes first, then one table with all histories of a folder.
    parts = [_described(name, content) for name, content in contents.items() if content.kind == "results"]
    runs = {_printable(name): c.history for name, c in contents.items() if c.history is not None and path.is_dir()}
    if runs:
        parts.append("\n".join(["histories: last and best epoch", *_indented(str(compare_runs(runs)))]))
    done = {"results", *["history"] * path.is_dir()}
    parts += [_described(name, content) for name, content in contents.items() if content.kind not in done]
    if damaged:
        parts.append("\n".join(_printable(f"{name}: DAMAGED: {fault}") for name, fault in damaged.items()))
    if others:
        kinds = sorted(Counter(Path(name).suffix or name for name in others).items())
        parts.append(_printable(f"Other files: {', '.join(f'{count} {kind}' for kind, count in kinds)}"))
    return CommandResult(document, "\n\n".join(parts) or "The folder is empty.", not damaged)


def _described(name: str, content: Content) -> str:
    lines = [f"{name}: {content.kind}", *(f"  {key}: {cell(value)}" for key, value in content.facts.items())]
    rows = content.rows[-_SHOWN:]
    if len(rows) < len(content.rows):
        lines.append(f"  the last {len(rows)} of {len(content.rows)}:")
    if rows:
        header = list(content.columns or dict.fromkeys(column for row in rows for column in row))
        table = [[_printable(v) if isinstance(v := row.get(name), str) else v for name in header] for row in rows]
        lines += _indented(text_table([*map(_printable, header)], table))
    return "\n".join(map(_printable, lines))


def _indented(table: str) -> list[str]:
    return [f"  {line}" for line in table.splitlines()]


def _printable(text: str) -> str:
    """Return a text from a file on one line, with control characters replaced."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _content(path: Path) -> Content | None:
    """Return the content of the file, or None if it is not of a supported kind.

    Raises
    ------
    DataError, CheckpointError
        If the file is damaged.
    OSError
        If the file cannot be read.
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
        lines = {name.removeprefix("minidl."): text.replace("\n", ", ") for name, text in texts.items()}
        return Content("weights", {"numbers": sum(a.size for a in arrays.values()), **lines}, _shapes(arrays))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        weights, state = read_checkpoint(path)
    facts: dict[str, Any] = {"numbers": sum(a.size for a in weights.values())}
    terms = ("network", "loss", "regularizer", "optimizer")
    for group, names in [("run", ("epoch", "step")), ("terms", terms), ("run", ("seed",))]:
        table = state.get(group)
        facts |= {name: table.get(name) for name in names} if isinstance(table, dict) else {}
    if caught:
        facts["note"] = str(caught[0].message).removeprefix(f"{path}: ")
    return Content("checkpoint", facts, _shapes(weights))


def _shapes(arrays: Mapping[str, Array]) -> list[dict[str, Any]]:
    return [{"name": name, "shape": str(a.shape), "dtype": str(a.dtype)} for name, a in arrays.items()]


def _history(history: History) -> Content:
    # Read once, since the property examines all rows.
    columns = history.columns
    rows = [{name: row.get(name) for name in columns} for row in history.rows]
    return Content("history", {"epochs": len(history)}, rows, history=history)


def _lines(path: Path) -> Content:
    first = _text(path).lstrip()
    if not first.startswith('{"run"'):
        return _history(History.from_jsonl(path))
    trials = read_trials(path)
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
    return read_regular(path).decode(errors="replace")
