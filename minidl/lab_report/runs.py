"""The settings, and the results."""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

from minidl._core.types import Array
from minidl.data.dataset import Dataset
from minidl.gradcheck import GradientReport
from minidl.nn.model import Model
from minidl.training.history import History

BATCH_SIZE = 100
CHECKED_IMAGES = 5


class Setting(NamedTuple):
    # Strength of the L2 penalty.
    lam: float
    # Learning rate.
    eta: float
    # Test accuracy in the published report.
    published: float

    @property
    def title(self) -> str:
        return f"λ = {self.lam:g}, η = {self.eta:g}"

    @property
    def name(self) -> str:
        return f"lambda-{self.lam:g}-eta-{self.eta:g}"


SETTINGS = [Setting(0, 0.1, 0.2782), Setting(0, 0.001, 0.3913), Setting(0.1, 0.001, 0.3936), Setting(1, 0.001, 0.3740)]


class Job(NamedTuple):
    """What the job was asked to do, when, and on which data."""

    options: argparse.Namespace
    command: str
    date: str
    # What results.json says of the data.
    data: dict[str, Any]
    # As it was loaded, to show pictures of it.
    test: Dataset

    @property
    def out(self) -> Path:
        return Path(self.options.out)

    @property
    def title(self) -> str:
        return f"A one-layer softmax classifier on {self.test.name}"

    @property
    def is_cifar10(self) -> bool:
        return self.test.name == "CIFAR-10"


class GradientCheck(NamedTuple):
    lam: float
    parameter: str
    report: GradientReport
    # Images, pixels of each.
    shape: tuple[int, ...]

    @property
    def cells(self) -> tuple[str, int, str, str]:
        """The verdict, the number of entries, and the mean and the largest relative error."""
        measured = self.report.tensors[self.parameter]
        mean, most = (f"{measured[name]:.1e}" for name in ("mean_relative_error", "max_relative_error"))
        return self.report.verdict.name, int(measured["entries"]), mean, most

    def __str__(self) -> str:
        verdict, entries, mean, most = self.cells
        return f"{verdict}, λ = {self.lam:g}, {entries:,} of {self.parameter}: error {mean}, max {most}"


class Outcome(NamedTuple):
    setting: Setting
    seed: int
    history: History
    test_accuracy: float
    seconds: float
    # "cost", "loss" and "weights", each as PNG and as SVG.
    figures: dict[str, list[Path]]
    # CSV file of the history.
    history_file: str
    model: Model
    # Of each class for each test image, (n, 10); of the first seed alone.
    probabilities: Array | None
