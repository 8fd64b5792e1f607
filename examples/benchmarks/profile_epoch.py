"""Measure the time of each part of an epoch of the main job, and the least time that the machine needs.

The parts are timed during real training. If a timed function calls another timed function, the inner time counts only
for the inner function.
"""

import argparse
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any
from unittest.mock import patch

import numpy as np
from contestants.minidl_classes import softmax_model
from page import machine, table
from tasks import BATCH, EPOCH, LEARNING_RATE, pose

import minidl as dl
from minidl.lab_report.options import count
from minidl.training.work import Work


class Stopwatch:
    """Time spent in functions, without the time of the timed functions that they call."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.prefix = ""
        self._inner = [0.0]

    def timed(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **keywords: Any) -> Any:
            self._inner.append(0.0)
            start = perf_counter()
            try:
                return function(*arguments, **keywords)
            finally:
                took = perf_counter() - start
                self.seconds[self.prefix + what] += took - self._inner.pop()
                self._inner[-1] += took

        return timed

    def patch(self, owner: Any, **what: str) -> None:
        for name, title in what.items():
            setattr(owner, name, self.timed(title, getattr(owner, name)))


class Waited:
    """An iterator that measures the time of each `next`."""

    def __init__(self, watch: Stopwatch, items: Iterator[Any]) -> None:
        self._next = watch.timed("waiting for the next batch", items.__next__)
        self.close = getattr(items, "close", lambda: None)

    def __iter__(self) -> "Waited":
        return self

    def __next__(self) -> Any:
        return self._next()


def profile(epochs: int) -> tuple[dict[str, list[float]], list[float]]:
    """Return the seconds of each part and of the whole epoch, for every epoch."""
    problem = pose(EPOCH)
    model, watch = softmax_model(problem), Stopwatch()
    trainer = dl.Trainer(model, dl.SGD(LEARNING_RATE), rng=0)
    batches: Any = Work.training_batches
    watch.patch(model.network, forward="forward: x @ weight + bias", backward_parameters="backward: dy.T @ x, dy.sum")
    watch.patch(model.loss, forward="softmax, loss", backward="gradient of the loss", metrics="accuracy")
    watch.patch(model.regularizer, penalty="penalty and its gradient", gradient="penalty and its gradient")
    watch.patch(trainer.optimizer, step="update of the weights")
    measure = watch.timed("the rest", model.evaluate)

    def evaluate(data: dl.Dataset) -> dict[str, float]:
        watch.prefix = "measuring: "
        try:
            return dict(measure(data))
        finally:
            watch.prefix = ""

    model.evaluate = evaluate  # type: ignore[method-assign, assignment]
    parts: dict[str, list[float]] = defaultdict(list)
    train, validation = dl.Dataset(problem.x, problem.y), dl.Dataset(problem.x_val, problem.y_val)

    class EpochEnd(dl.Callback):
        def on_epoch_end(self, trainer: dl.Trainer) -> None:
            for what, seconds in watch.seconds.items():
                parts[what].append(seconds)
            watch.seconds.clear()

    trainer.callbacks.append(EpochEnd())
    with patch.object(Work, "training_batches", lambda *arguments: Waited(watch, batches(*arguments))):
        history = trainer.fit(train, validation, epochs=epochs, batch_size=BATCH)
    return parts, history["seconds"]


def limits(repetitions: int) -> dict[str, float]:
    """Return the time that one core needs for work that no epoch can avoid."""
    problem = pose(EPOCH)
    x, order = problem.x, np.random.default_rng(0).permutation(len(problem.x))

    def gather() -> None:
        for i in range(0, len(x), BATCH):
            x[order[i : i + BATCH]]

    works: dict[str, Callable[[], Any]] = {
        "reading the training set once (a sum)": x.sum,
        "gathering all batches": gather,
    }
    return {what: statistics.median(_seconds(work) for _ in range(repetitions)) for what, work in works.items()}


def _seconds(work: Callable[[], Any]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--epochs", type=count(3), default=15, help="default: %(default)s; the first two are not counted"
    )
    options = parser.parse_args()
    parts, seconds = profile(options.epochs)
    medians = {what: statistics.median(times[2:]) for what, times in parts.items()}
    whole = statistics.median(seconds[2:])
    medians["loop, checks, logs"] = max(whole - sum(medians.values()), 0.0)
    rows = sorted(medians.items(), key=lambda item: -item[1])
    print(machine(["minidl", "numpy"]), end="\n\n")
    print(table(["an epoch", "ms"], [*((what, f"{1e3 * s:.1f}") for what, s in rows), ("all", f"{1e3 * whole:.1f}")]))
    print()
    least = limits(max(options.epochs - 2, 1))
    print(table(["on one core", "ms"], [(what, f"{1e3 * s:.1f}") for what, s in least.items()]))


if __name__ == "__main__":
    main()
