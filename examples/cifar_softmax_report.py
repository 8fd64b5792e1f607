"""What cifar_softmax.py writes about its runs: results.json, results.csv, report.html, report.md, and a table."""

import csv
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minidl as dl
from minidl.files import write_whole


class Setting(NamedTuple):
    lam: float  # strength of the L2 penalty
    eta: float  # learning rate
    published: float  # test accuracy in the lab report

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
    report: dl.GradientReport
    shape: tuple[int, ...]  # images, pixels of each

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
    batch_size: int
    history: dl.History
    test_accuracy: float
    seconds: float
    figures: dict[str, list[Path]]  # "cost", "loss" and "weights", each as PNG and as SVG


def write_results(out: Path, train: dl.Dataset, checks: list[GradientCheck], outcomes: list[Outcome]) -> None:
    """Write results.json and results.csv, an entry for each run."""
    results = {
        "dataset": {"name": train.name, "source": train.source, "training_images": len(train)},
        "gradient_check": [
            {
                "lambda": c.lam,
                "parameter": c.parameter,
                **c.report.tensors[c.parameter],
                "verdict": c.report.verdict.name,
            }
            for c in checks
        ],
        "settings": [_entry(o) for o in outcomes],
    }
    write_whole(out / "results.json", json.dumps(results, indent=2, allow_nan=False) + "\n")
    rows = [{name: value for name, value in _entry(o).items() if name != "figures"} for o in outcomes]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerows([list(rows[0])] * bool(rows) + [list(row.values()) for row in rows])
    write_whole(out / "results.csv", text.getvalue())


def _entry(o: Outcome) -> dict[str, Any]:
    last = o.history.rows[-1]
    entry = {"lambda": o.setting.lam, "eta": o.setting.eta, "batch_size": o.batch_size, "epochs": len(o.history)}
    entry |= {"seed": o.seed, "test_accuracy": o.test_accuracy}
    entry |= {f"train_{name}": last[name] for name in ("cost", "loss", "accuracy")}
    entry |= {name: last[name] for name in ("val_cost", "val_loss", "val_accuracy")}
    return entry | {"seconds": o.seconds, "figures": {name: png.name for name, (png, _) in o.figures.items()}}


def write_report(out: Path, train: dl.Dataset, checks: list[GradientCheck], outcomes: list[Outcome]) -> None:
    """Write report.html and report.md."""
    seeds = sorted({o.seed for o in outcomes})
    shown = [o for o in outcomes if o.seed == seeds[0]]
    report = dl.Report(f"A one-layer softmax classifier on {train.name}")
    report.paragraph(
        f"Data: {train.name} ({train.source}), {len(train)} training images; pixels standardized with the mean and "
        f"standard deviation of each pixel over the training images. Model: softmax(xW + b), W drawn from N(0, 0.01²), "
        f"b = 0. Cost: mean cross-entropy (the loss) plus λ times the sum of W². Mini-batches of "
        f"{shown[0].batch_size} images, reshuffled every epoch, {len(shown[0].history)} epochs, seed "
        f"{', '.join(map(str, seeds))}. Cost, loss and accuracy are measured after each epoch, over all images."
    )
    report.heading("Test accuracy")
    spread = f"mean ± standard deviation over {len(seeds)} seeds" if len(seeds) > 1 else ""
    report.table(["λ", "η", "test accuracy", "in the published report"], _accuracies(train, outcomes), caption=spread)
    if not _is_cifar10(train):
        report.paragraph("The published numbers are for CIFAR-10: with these images there is nothing to compare with.")
    report.heading("Gradient check")
    report.paragraph(
        f"Analytic gradient g of the cost against numerical derivatives n on {checks[0].shape[0]} training images "
        f"({checks[0].shape[1]} pixels of each), in float64, for every entry, near the initial W and b. The verdict "
        f"rests on the error bar of each derivative: PASS says that every entry lies within four of its bars. For "
        f"comparison, the relative error |g - n| / max(1e-6, |g| + |n|); the published report found a mean of 1.1e-9 "
        f"for the weight and 2.25e-9 for the bias."
    )
    header = ["λ", "parameter", "verdict", "entries", "mean relative error", "max relative error"]
    report.table(header, [[c.lam, c.parameter, *c.cells] for c in checks])
    report.heading("After the last epoch")
    header = [
        "λ",
        "η",
        "training loss",
        "validation loss",
        "gap",
        "penalty",
        "training accuracy",
        "validation accuracy",
    ]
    caption = "gap: validation loss - training loss; penalty: cost - loss"
    report.table(header, [_final(o) for o in shown], caption=caption)
    report.heading("The four settings" if len(seeds) == 1 else f"The four settings, seed {seeds[0]}")
    for o in shown:
        report.heading(o.setting.title, level=3)
        report.paragraph(f"{dl.describe_run(o.history)} Test accuracy: {_percent(o.test_accuracy)}.")
        alt = {"cost": "cost over the epochs", "loss": "loss over the epochs", "weights": "weights of each class"}
        report.figures((svg, f"{alt[name]}, {o.setting.title}", "") for name, (_, svg) in o.figures.items())
    report.write(out)


def print_accuracies(train: dl.Dataset, outcomes: list[Outcome]) -> None:
    for row in [["lambda", "eta", "test accuracy", "published"], *_accuracies(train, outcomes)]:
        print(f"{row[0]:>8}{row[1]:>8}{row[2]:>18}{row[3]:>12}")


def _accuracies(train: dl.Dataset, outcomes: list[Outcome]) -> list[list[str]]:
    """Return a row for each setting: lambda, eta, our test accuracy (with several seeds mean ± std), the published."""
    rows = []
    for setting in SETTINGS:
        ours = [o.test_accuracy for o in outcomes if o.setting == setting]
        spread = f" ± {100 * np.std(ours, ddof=1):.2f}" if len(ours) > 1 else ""
        published = _percent(setting.published) if _is_cifar10(train) else "-"
        rows.append([f"{setting.lam:g}", f"{setting.eta:g}", f"{100 * np.mean(ours):.2f}{spread} %", published])
    return rows


def _final(o: Outcome) -> list[str]:
    last = o.history.rows[-1]
    numbers = [last["loss"], last["val_loss"], last["val_loss"] - last["loss"], last["cost"] - last["loss"]]
    shares = [_percent(last[name]) for name in ("accuracy", "val_accuracy")]
    return [f"{o.setting.lam:g}", f"{o.setting.eta:g}", *(f"{number:.3f}" for number in numbers), *shares]


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _is_cifar10(data: dl.Dataset) -> bool:
    return data.name == "CIFAR-10"
