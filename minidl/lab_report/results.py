"""The numbers of all runs, for other programs: results.json and results.csv."""

import json
from pathlib import Path
from typing import Any

from minidl._storage.files import write_whole
from minidl.data.dataset import Dataset
from minidl.lab_report.runs import GradientCheck, Outcome


def write_results(out: Path, train: Dataset, checks: list[GradientCheck], outcomes: list[Outcome]) -> dict[str, Any]:
    """Write results.json and results.csv, an entry for each run, and return what the first one holds."""
    results: dict[str, Any] = {
        "dataset": {"name": train.name, "source": train.source, "training_images": len(train)},
        "gradient_check": [
            {"lambda": c.lam, "parameter": c.parameter}
            | c.report.tensors[c.parameter]
            | {"verdict": c.report.verdict.name}
            for c in checks
        ],
        "settings": [_entry(o) for o in outcomes],
    }
    write_whole(out / "results.json", json.dumps(results, indent=2, allow_nan=False) + "\n")
    names = [name for name in results["settings"][0] if name != "figures"]
    rows = [names, *([entry[name] for name in names] for entry in results["settings"])]
    write_whole(out / "results.csv", "".join(f"{','.join(map(str, row))}\n" for row in rows))
    return results


def _entry(o: Outcome) -> dict[str, Any]:
    last = o.history.rows[-1]
    entry = {"lambda": o.setting.lam, "eta": o.setting.eta, "batch_size": o.batch_size, "epochs": len(o.history)}
    entry |= {"seed": o.seed, "test_accuracy": o.test_accuracy}
    entry |= {f"train_{name}": last[name] for name in ("cost", "loss", "accuracy")}
    entry |= {name: last[name] for name in ("val_cost", "val_loss", "val_accuracy")}
    return entry | {"seconds": o.seconds, "figures": {name: png.name for name, (png, _) in o.figures.items()}}
