"""The tasks of the contestants, their common numbers, and a check that all did the same work."""

import dataclasses
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import minidl as dl
from minidl._core.types import Array

BATCH = 100
LEARNING_RATE = 0.001
L2 = 0.1
ADAM_RATE = 0.001
MOMENTUM = 0.9
CHANNELS = (32, 64, 128)

Result = dict[str, float]
Once = Callable[[], Result]
"""Does the work once more and returns its results."""
Run = Callable[[int], Result]
"""Does the work a given number of times and returns the last results."""


@dataclass(frozen=True)
class Task:
    """One kind of work at one size.

    Parameters
    ----------
    kind : str
        "epoch": one epoch of the one-layer softmax classifier (shuffled batches of 100, SGD, L2), then exact cost, loss
        and accuracy over training and validation set. "predict": the classes of all validation rows, with that model.
        "mlp": one step of Adam on one batch, dense layers with ReLU. "conv": one step of SGD with momentum on one
        batch, three stages of 3x3 convolution, ReLU and 2x2 max pooling, then a dense layer.
    rows, classes : int
        Of the training set (the validation set has as many rows).
    hidden : tuple of int
        Widths of the hidden layers of "mlp".
    """

    kind: str
    rows: int = 10_000
    classes: int = 10
    hidden: tuple[int, ...] = ()


EPOCH = Task("epoch")
PREDICT = Task("predict")
MLP = Task("mlp", rows=BATCH, hidden=(256, 128))
CONV = Task("conv", rows=BATCH)


@dataclass(frozen=True)
class Problem:
    """A task with its numbers: float32 rows of 3072, labels, and initial weights.

    Attributes
    ----------
    weights : list of array
        One per layer: (inputs, outputs) of a dense layer, (3, 3, inputs, outputs) of a convolution. Biases start at 0.
    """

    task: Task
    x: Array
    y: Array
    x_val: Array
    y_val: Array
    weights: list[Array]

    def save(self, folder: Path) -> None:
        """Write the problem to files that the processes of the contestants read."""
        (folder / "task.json").write_text(json.dumps(dataclasses.asdict(self.task)))
        arrays = {"x": self.x, "y": self.y, "x_val": self.x_val, "y_val": self.y_val}
        for name, array in {**arrays, **{f"weight{i}": w for i, w in enumerate(self.weights)}}.items():
            np.save(folder / f"{name}.npy", array)

    @classmethod
    def load(cls, folder: Path) -> "Problem":
        """Read what `save` wrote."""
        fields = json.loads((folder / "task.json").read_text())
        task = Task(**{**fields, "hidden": tuple(fields["hidden"])})
        x, y, x_val, y_val = (np.load(folder / f"{name}.npy") for name in ("x", "y", "x_val", "y_val"))
        weights = [np.load(folder / f"weight{i}.npy") for i in range(len(list(folder.glob("weight*.npy"))))]
        return cls(task, x, y, x_val, y_val, weights)


def pose(task: Task) -> Problem:
    """Draw the numbers of a task, always with the same seeds."""
    rng = np.random.default_rng(0)
    train, validation = (dl.datasets.synthetic_images(task.rows, rng=seed) for seed in (1, 2))
    scale = dl.Standardizer().fit(train.x)
    labels = train.y, validation.y
    if task.classes != 10:
        labels = rng.integers(task.classes, size=task.rows), rng.integers(task.classes, size=task.rows)
    if task.kind == "conv":
        sizes = zip((3, *CHANNELS), CHANNELS, strict=False)
        weights = [rng.normal(0, np.sqrt(2 / (9 * a)), (3, 3, a, b)) for a, b in sizes]
        weights.append(rng.normal(0, 0.02, (16 * CHANNELS[-1], task.classes)))
    elif task.kind == "mlp":
        widths = (3072, *task.hidden, task.classes)
        weights = [rng.normal(0, np.sqrt(2 / a), (a, b)) for a, b in itertools.pairwise(widths)]
    else:
        weights = [rng.normal(0, 0.01, (3072, task.classes))]
    weights = [w.astype(np.float32) for w in weights]
    return Problem(task, scale(train.x), labels[0], scale(validation.x), labels[1], weights)


def repeated(once: Once) -> Run:
    """Return a function that calls `once` a given number of times."""

    def run(times: int) -> Result:
        for _ in range(times):
            result = once()
        return result

    return run


def disagreements(results: Mapping[str, Result], reference: str) -> list[str]:
    """Return a sentence for each result of a contestant that differs from the reference.

    Contestants shuffle differently, which changes losses by a fraction of a percent. Less work would change them by
    several percent.
    """
    sentences = []
    for name, result in results.items():
        for what, expected in results[reference].items():
            tolerance = 0.02 if what.endswith("accuracy") else 0.02 * abs(expected)
            got = result.get(what, float("nan"))
            if not abs(got - expected) <= tolerance:
                sentences.append(f"{name}: {what} {got:.4f} where {reference} has {expected:.4f}")
    return sentences
