"""What is written for programs: results.json and results.csv."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minidl._core.environment import environment
from minidl._storage.files import write_whole
from minidl._storage.kinds import read_regular
from minidl.data.dataset import Dataset
from minidl.lab_report.runs import BATCH_SIZE, GradientCheck, Job, Outcome


def describe_data(train: Dataset, validation: Dataset, test: Dataset) -> dict[str, Any]:
    """Return what the data are, with a digest of every array as it was loaded."""
    parts = {"training": train, "validation": validation, "test": test}
    sizes = {f"{part}_images": len(data) for part, data in parts.items()}
    digests = {part: {"x": _digest(data.x), "y": _digest(data.y)} for part, data in parts.items()}
    return {"name": train.name, "source": train.source, **sizes, "sha256": digests}


def _digest(array: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def write_results(
    job: Job, checks: list[GradientCheck], outcomes: list[Outcome], reports: Sequence[Path] = ()
) -> dict[str, Any]:
    """Write results.json and results.csv, an entry for each run, and return what the first one holds.

    `reports` are other files that this job has written; their digests are noted, with those of the histories.
    """
    checked = [
        {"lambda": c.lam, "parameter": c.parameter, **c.report.tensors[c.parameter], "verdict": c.report.verdict.name}
        for c in checks
    ]
    entries = [_entry(o) for o in outcomes]
    names = [name for name in entries[0] if name != "figures"]
    rows = [names, *([entry[name] for name in names] for entry in entries)]
    table = write_whole(job.out / "results.csv", "".join(f"{','.join(map(str, row))}\n" for row in rows))
    files = [*reports, table, *(job.out / o.history_file for o in outcomes)]
    made = {name: getattr(job.options, name) for name in ("dataset", "data_dir", "epochs", "seed", "seeds", "quick")}
    results = {"title": job.title, "author": job.options.author, "date": job.date, "command": job.command}
    results |= {"options": made, "environment": environment(), "dataset": job.data}
    results |= {"gradient_check": checked, "settings": entries}
    results |= {"files": {path.name: hashlib.sha256(read_regular(path)).hexdigest() for path in files}}
    write_whole(job.out / "results.json", json.dumps(results, indent=2, allow_nan=False) + "\n")
    return results


def _entry(o: Outcome) -> dict[str, Any]:
    last = o.history.rows[-1]
    entry = {"lambda": o.setting.lam, "eta": o.setting.eta, "batch_size": BATCH_SIZE, "epochs": len(o.history)}
    entry |= {"seed": o.seed, "test_accuracy": o.test_accuracy}
    entry |= {f"train_{name}": last[name] for name in ("cost", "loss", "accuracy")}
    entry |= {name: last[name] for name in ("val_cost", "val_loss", "val_accuracy")}
    return entry | {"seconds": o.seconds, "figures": {name: png.name for name, (png, _) in o.figures.items()}}
