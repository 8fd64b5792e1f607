"""What is run, and what came of it."""

from pathlib import Path
from typing import NamedTuple

from minidl.gradcheck import GradientReport
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
        return f"{verdict}, λ = {self.lam:g}, {entries} of {self.parameter}: relative error {mean} (mean), {most} (max)"


class Outcome(NamedTuple):
    setting: Setting
    seed: int
    history: History
    test_accuracy: float
    seconds: float
    # "cost", "loss" and "weights", each as PNG and as SVG.
    figures: dict[str, list[Path]]
