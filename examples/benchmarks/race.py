"""A race: contestants in separate processes take turns at the same task."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from tasks import Problem, Result

ENVIRONMENT = {**os.environ, "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"}
ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)  # otherwise an editable installation is compiled at every start
WORKER = Path(__file__).with_name("worker.py")
CALLS = {"epoch": 20, "predict": 5, "mlp": 20, "conv": 3}
"""Calls per turn; a turn takes at least some tens of milliseconds."""
WARM_UP = 2
"""Turns that are not counted, in which compilers compile and caches fill."""
PAUSE = 0.1
"""Seconds before a turn; the threads of BLAS and OpenMP spin for a while before they sleep."""


@dataclass
class Score:
    """The results of one contestant: seconds per call in each turn, and the numbers of the last call."""

    seconds: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    result: Result = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        return min(self.seconds), max(self.seconds)


def ratio(ours: Score, theirs: Score) -> float:
    """Return the median over the rounds of our time divided by theirs; a slow round slows both."""
    return statistics.median(a / b for a, b in zip(ours.seconds, theirs.seconds, strict=True))


def race(problem: Problem, contestants: Sequence[str], rounds: int) -> dict[str, Score]:
    """Return the scores of the contestants that have this task."""
    calls = CALLS[problem.task.kind]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        problem.save(Path(folder))
        workers = {name: stack.enter_context(_worker(name, folder)) for name in contestants}
        # A worker prints a line when it is ready. A worker that does not have this task ends without output.
        workers = {name: worker for name, worker in workers.items() if worker.stdout.readline()}
        scores = {name: Score() for name in workers}
        for turn in range(WARM_UP + rounds):
            for name in _rotated(list(workers), turn):
                sleep(PAUSE)
                answer = _ask(name, workers[name], calls)
                scores[name].result = answer["result"]
                if turn >= WARM_UP:
                    scores[name].seconds.append(answer["seconds"])
    return scores


def race_of_processes(folder: Path, contestants: Sequence[str], rounds: int) -> dict[str, Score]:
    """Return the scores of whole processes, from start to accuracy, with the raw data in `folder`."""
    scores = {name: Score() for name in contestants}
    for turn in range(rounds):
        for name in _rotated(list(contestants), turn):
            start = perf_counter()
            command = [sys.executable, str(WORKER), name, str(folder), "--whole"]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT)
            assert process.stdout is not None  # noqa: S101  (for the type checker: it is a pipe)
            line = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)  # otherwise Popen waits again
            if status != 0:
                raise RuntimeError(f"{name}: its process ended with status {status}")
            scores[name].seconds.append(perf_counter() - start)
            scores[name].megabytes.append(usage.ru_maxrss / 1024)
            scores[name].result = json.loads(line)["result"]
            process.stdout.close()
    return scores


def race_of_imports(modules: Sequence[str], rounds: int) -> dict[str, Score]:
    """Return the time of each import in a new process that has already imported NumPy."""
    scores = {module: Score() for module in modules}
    for turn in range(1 + rounds):  # the first may compile, so it is not counted
        for module in _rotated(list(modules), turn):
            code = f"import numpy, time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
            command = [sys.executable, "-c", code]
            answer = subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT)
            if turn > 0:
                scores[module].seconds.append(float(answer.stdout.split()[-1]))
    return scores


@contextlib.contextmanager
def _worker(name: str, folder: str) -> Iterator[Any]:
    command = [sys.executable, str(WORKER), name, folder]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _ask(name: str, worker: Any, calls: int) -> Any:
    worker.stdin.write(f"{calls}\n")
    worker.stdin.flush()
    line = worker.stdout.readline()
    if not line:
        raise RuntimeError(f"{name}: the process has ended; see its output above")
    return json.loads(line)


def _rotated(names: list[str], turn: int) -> list[str]:
    """Return another order in each turn, because the threads of the previous contestant may still be active."""
    k = turn % len(names)
    return names[k:] + names[:k] if turn % 2 == 0 else (names[k:] + names[:k])[::-1]
