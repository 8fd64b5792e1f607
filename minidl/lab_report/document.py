"""What is written: results.json and results.csv for programs, report.html and report.md, the table for the terminal."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from minidl._storage.files import write_whole
from minidl.data.dataset import Dataset
from minidl.lab_report.runs import BATCH_SIZE, SETTINGS, GradientCheck, Outcome
from minidl.report import Report
from minidl.training.describe import describe_run


def write_report(out: Path, train: Dataset, checks: list[GradientCheck], outcomes: list[Outcome]) -> None:
    """Write report.html and report.md."""
    seeds = sorted({o.seed for o in outcomes})
    shown = [o for o in outcomes if o.seed == seeds[0]]
    report = Report(f"A one-layer softmax classifier on {train.name}")
    report.paragraph(
        "Pixels are standardized with the mean and standard deviation of each pixel over the training images. Model: "
        "softmax(xW + b), W drawn from N(0, 0.01²), b = 0. Cost: mean cross-entropy (the loss) plus λ times the sum of "
        "W². Mini-batches are reshuffled every epoch. Cost, loss and accuracy are measured after each epoch, over all "
        "images."
    )
    settings = {"data": f"{train.name} ({train.source})", "training images": len(train), "batch size": BATCH_SIZE}
    settings |= {"epochs": len(shown[0].history), "seed" + "s" * (len(seeds) > 1): ", ".join(map(str, seeds))}
    report.settings(settings)
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
    measured = ["training loss", "validation loss", "gap", "penalty", "training accuracy", "validation accuracy"]
    caption = "gap: validation loss - training loss; penalty: cost - loss"
    report.table(["λ", "η", *measured], [_final(o) for o in shown], caption=caption)
    report.heading("The four settings" if len(seeds) == 1 else f"The four settings, seed {seeds[0]}")
    for o in shown:
        report.heading(o.setting.title, level=3)
        report.paragraph(f"{describe_run(o.history)} Test accuracy: {_percent(o.test_accuracy)}.")
        alt = {"cost": "cost over the epochs", "loss": "loss over the epochs", "weights": "weights of each class"}
        report.figures((svg, f"{alt[name]}, {o.setting.title}", "") for name, (_, svg) in o.figures.items())
    report.heading("Environment").environment()
    report.write(out)


def print_accuracies(train: Dataset, outcomes: list[Outcome]) -> None:
    for row in [["lambda", "eta", "test accuracy", "published"], *_accuracies(train, outcomes)]:
        print(f"{row[0]:>8}{row[1]:>8}{row[2]:>18}{row[3]:>12}")


def _accuracies(train: Dataset, outcomes: list[Outcome]) -> list[list[str]]:
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


def _is_cifar10(data: Dataset) -> bool:
    return data.name == "CIFAR-10"


def write_results(out: Path, train: Dataset, checks: list[GradientCheck], outcomes: list[Outcome]) -> dict[str, Any]:
    """Write results.json and results.csv, an entry for each run, and return what the first one holds."""
    checked = [
        {"lambda": c.lam, "parameter": c.parameter, **c.report.tensors[c.parameter], "verdict": c.report.verdict.name}
        for c in checks
    ]
    dataset = {"name": train.name, "source": train.source, "training_images": len(train)}
    entries = [_entry(o) for o in outcomes]
    results = {"dataset": dataset, "gradient_check": checked, "settings": entries}
    write_whole(out / "results.json", json.dumps(results, indent=2, allow_nan=False) + "\n")
    names = [name for name in entries[0] if name != "figures"]
    rows = [names, *([entry[name] for name in names] for entry in entries)]
    write_whole(out / "results.csv", "".join(f"{','.join(map(str, row))}\n" for row in rows))
    return results


def _entry(o: Outcome) -> dict[str, Any]:
    last = o.history.rows[-1]
    entry = {"lambda": o.setting.lam, "eta": o.setting.eta, "batch_size": BATCH_SIZE, "epochs": len(o.history)}
    entry |= {"seed": o.seed, "test_accuracy": o.test_accuracy}
    entry |= {f"train_{name}": last[name] for name in ("cost", "loss", "accuracy")}
    entry |= {name: last[name] for name in ("val_cost", "val_loss", "val_accuracy")}
    return entry | {"seconds": o.seconds, "figures": {name: png.name for name, (png, _) in o.figures.items()}}
