"""The settings, and the results."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from minidl._core.types import Array
from minidl.data.dataset import Dataset
from minidl.training.history import History

BATCH_SIZE = 100
CHECKED_IMAGES = 5


# What results.json says of the gradient of one parameter.
GradientCheck = Mapping[str, Any]


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


SETTINGS = [
    Setting(0.0, 0.1, 0.2782),
    Setting(0.0, 0.001, 0.3913),
    Setting(0.1, 0.001, 0.3936),
    Setting(1.0, 0.001, 0.3740),
]


class Job(NamedTuple):
    """What the job was asked to do, when, where, and on which data."""

    options: argparse.Namespace
    command: str
    date: str
    environment: Mapping[str, str]
    # What results.json says of the data.
    data: Mapping[str, Any]
    # As it was loaded, to show pictures of it.
    test: Dataset

    @property
    def out(self) -> Path:
        return Path(self.options.out)

    @property
    def title(self) -> str:
        return f"A one-layer softmax classifier on {self.data['name']}"

    @property
    def is_cifar10(self) -> bool:
        return bool(self.data["name"] == "CIFAR-10")


class Outcome(NamedTuple):
    """A run; without weights and probabilities if it was read from files."""

    setting: Setting
    seed: int
    history: History
    # CSV file of the history.
    history_file: str
    test_accuracy: float
    weight_norm: float
    seconds: float
    # "cost", "loss" and "weights", the PNG file of each.
    figures: Mapping[str, str]
    # (3072, 10)
    weights: Array | None = None
    # Of each class for each test image, (n, 10); of the first seed alone.
    probabilities: Array | None = None

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any], setting: Setting, history: History, history_file: str) -> Self:
        """Return what `entry` was made from, as far as files hold it."""
        accuracy, norm, seconds = (float(entry[name]) for name in ("test_accuracy", "weight_norm", "seconds"))
        return cls(setting, entry["seed"], history, history_file, accuracy, norm, seconds, entry["figures"])

    @property
    def title(self) -> str:
        return f"{self.setting.title}, seed {self.seed}"

    @property
    def entry(self) -> dict[str, Any]:
        """What results.json says; results.csv has all but the figures."""
        last = self.history.rows[-1]
        entry = {"lambda": self.setting.lam, "eta": self.setting.eta, "batch_size": BATCH_SIZE}
        entry |= {"epochs": len(self.history), "seed": self.seed, "test_accuracy": self.test_accuracy}
        entry |= {f"train_{name}": last[name] for name in ("cost", "loss", "accuracy")}
        entry |= {name: last[name] for name in ("val_cost", "val_loss", "val_accuracy")}
        return entry | {"weight_norm": self.weight_norm, "seconds": self.seconds, "figures": dict(self.figures)}


def history_file(setting: Setting, seed: int, options: argparse.Namespace) -> str:
    return f"history-{setting.name}{f'-seed-{seed}' if options.seeds > 1 else ''}.csv"
