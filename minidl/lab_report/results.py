"""What is written for programs: results.json and results.csv."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minidl._storage.files import write_whole
from minidl._storage.kinds import read_regular
from minidl.data.dataset import Dataset
from minidl.lab_report.runs import GradientCheck, Job, Outcome


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
    entries = [o.entry for o in outcomes]
    names = [name for name in entries[0] if name != "figures"]
    rows = [names, *([entry[name] for name in names] for entry in entries)]
    table = write_whole(job.out / "results.csv", "".join(f"{','.join(map(str, row))}\n" for row in rows))
    files = [*reports, table, *(job.out / o.history_file for o in outcomes)]
    made = {name: getattr(job.options, name) for name in ("dataset", "data_dir", "epochs", "seed", "seeds", "quick")}
    results = {"title": job.title, "author": job.options.author, "date": job.date, "command": job.command}
    results |= {"options": made, "environment": job.environment, "dataset": job.data}
    results |= {"gradient_check": checks, "settings": entries}
    results |= {"files": {path.name: hashlib.sha256(read_regular(path)).hexdigest() for path in files}}
    write_whole(job.out / "results.json", json.dumps(results, indent=2, allow_nan=False) + "\n")
    return results
