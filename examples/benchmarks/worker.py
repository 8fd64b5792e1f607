"""Run one contestant in its own process.

python worker.py CONTESTANT FOLDER          reads a number of calls per line, and prints their time as one line of JSON
python worker.py CONTESTANT FOLDER --whole  trains from raw pixels to a validation accuracy, like a whole program
"""

import importlib
import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

EPOCHS_OF_WHOLE = 10


def serve(contestant: Any, folder: Path) -> None:
    from tasks import Problem

    problem = Problem.load(folder)
    pose = getattr(contestant, problem.task.kind, None)
    if pose is None:  # this contestant does not have this kind of task
        return
    run = pose(problem)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        calls = int(line)
        start = perf_counter()
        result = run(calls)
        seconds = (perf_counter() - start) / calls
        print(json.dumps({"seconds": seconds, "result": result}), flush=True)


def whole(contestant: Any, folder: Path) -> None:
    from tasks import Problem, Task

    pixels = {name: np.load(folder / f"{name}.npy") for name in ("x", "x_val")}
    labels = {name: np.load(folder / f"{name}.npy") for name in ("y", "y_val")}
    x, x_val = standardized(pixels["x"], pixels["x_val"])
    problem = Problem(Task("epoch"), x, labels["y"], x_val, labels["y_val"], [np.load(folder / "weight0.npy")])
    run = contestant.epoch(problem)
    print(json.dumps({"result": run(EPOCHS_OF_WHOLE)}))


def standardized(train: Any, other: Any) -> tuple[Any, Any]:
    mean, std = train.mean(axis=0, dtype=np.float32), train.std(axis=0, dtype=np.float32)
    return (train - mean) / std, (other - mean) / std


if __name__ == "__main__":
    chosen = importlib.import_module(f"contestants.{sys.argv[1]}")
    (whole if "--whole" in sys.argv else serve)(chosen, Path(sys.argv[2]))
