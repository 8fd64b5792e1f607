"""What is written for people: report.html and report.md, and the table for the terminal."""

from pathlib import Path

import numpy as np

from minidl._storage.files import write_whole
from minidl.lab_report.runs import BATCH_SIZE, CHECKED_IMAGES, GradientCheck, Job, Outcome
from minidl.lab_report.summary import Result, chosen, results_of, summarize
from minidl.plotting.charts import Dot, shared_limits
from minidl.plotting.gallery import as_bytes, template_images
from minidl.report import Link, Report
from minidl.report.blocks import make_picture
from minidl.training.describe import minus, number, percent
from minidl.training.run_sections import RunSections

_COURSE = Link("DD2424 Deep Learning in Data Science", "https://www.kth.se/student/kurser/kurs/DD2424")
_CIFAR10 = Link("CIFAR-10", "https://www.cs.toronto.edu/~kriz/cifar.html")


def write_report(job: Job, checks: list[GradientCheck], outcomes: list[Outcome]) -> list[Path]:
    """Write report.html and report.md, and return their paths; pictures need runs with weights and probabilities."""
    results = results_of(outcomes, len(job.test))
    # Where there are several seeds, those of the first one stand for all.
    shown = {r.setting.title: r.runs[0] for r in results}
    report = Report(job.title, author=job.options.author, date=job.date, contents=True)
    sections = RunSections(report, job.out, len(job.test.class_names))
    _sources(report, job)
    _answer(sections, job, results, shown)
    _method(report, job)
    _gradients(report, job, checks)
    _curves(sections, shown)
    _templates(report, job, shown)
    _best(sections, job, chosen(results).runs[0])
    _repeat(report, job, outcomes)
    return report.write(job.out)


def _sources(report: Report, job: Job) -> None:
    task = "a linear classifier with softmax outputs, trained in four settings of penalty λ and learning rate η."
    report.paragraph("This report redoes assignment 1 of ", _COURSE, f" (KTH): {task}")
    parts = [f"{job.data[f'{part}_images']:,} for {part}" for part in ("training", "validation", "test")]
    count = f"{parts[0]}, {parts[1]} and {parts[2]}."
    if job.is_cifar10:
        published = "The published accuracies are those of a student's report on the same task and data."
        report.paragraph("The images are from ", _CIFAR10, f" (A. Krizhevsky, 2009): {count} {published}")
    else:
        nothing = "The published accuracies are for CIFAR-10, so there is nothing to compare with."
        report.paragraph(f"The images are synthetic, drawn by minidl: {count} {nothing}")


def _answer(sections: RunSections, job: Job, results: list[Result], shown: dict[str, Outcome]) -> None:
    """Add what came out: sentences, all settings in one figure, the test accuracies as a figure and a table."""
    report, images, seeds = sections.report, len(job.test), job.options.seeds
    report.heading("Summary").points(summarize(results, images, job.is_cifar10))
    seed = f". Curves, templates and mistakes are those of seed {job.options.seed}" if seeds > 1 else ""
    figure, table = report.figure_number, f"Table {report.table_number}"
    report.paragraph(f"Figure {figure} shows the loss, Figure {figure + 1} and {table} the test accuracies{seed}.")
    own = f"Figure {figure + 2} to Figure {figure + 1 + len(shown)}"
    report.paragraph(_loss_ranges(shown, f"Figure {figure}", own))
    sections.panels({name: o.history for name, o in shown.items()}, "loss")
    theirs = [r.setting.published if job.is_cifar10 else None for r in results]
    dots = [Dot(r.setting.title, r.accuracy, r.accuracy_bar, x) for r, x in zip(results, theirs, strict=True)]
    bars = f"standard deviation over {seeds} seeds" if seeds > 1 else f"standard error over {images:,} test images"
    published = "; diamonds: the published report" if job.is_cifar10 else ""
    sections.accuracies(dots, f"Test accuracy; bars: {bars}{published}")
    header, rows = ["setting", "test accuracy"], [[dot.name, percent(dot.value, dot.error)] for dot in dots]
    if job.is_cifar10:
        header += ["published", "difference in points", "in standard errors"]
        for row, r in zip(rows, results, strict=True):
            points, errors = 100 * (r.accuracy - r.setting.published), r.above_published[0]
            row += [percent(r.setting.published), minus(f"{points:+.2f}"), minus(f"{errors:+.1f}")]
    report.table(header, rows, f"Test accuracy ± {bars}")


def _loss_ranges(shown: dict[str, Outcome], figure: str, own: str) -> str:
    """Say why curves of a smaller learning rate may look flat where all have the same axes."""
    ranges = []
    for eta in dict.fromkeys(o.setting.eta for o in shown.values()):
        histories = [o.history for o in shown.values() if o.setting.eta == eta]
        low, high = map(number, shared_limits(histories, ["loss"]))
        ranges.append(f"from {low} to {high} with η = {eta:g}")
    return (
        f"All panels of {figure} have the same axes, so a small range looks flat: the loss is {' and '.join(ranges)}. "
        f"In {own} each η has its own axes."
    )


def _method(report: Report, job: Job) -> None:
    report.heading("Method and settings").paragraph(
        "Pixels are standardized with the mean and standard deviation of each pixel over the training images. Model: "
        "softmax(xW + b), W drawn from N(0, 0.01²), b = 0. Cost: mean cross-entropy (the loss) plus λ times the sum of "
        "W². Mini-batches are reshuffled every epoch. Cost, loss and accuracy are measured after each epoch, over all "
        "images."
    )
    options = job.options
    seeds = range(options.seed, options.seed + options.seeds)
    settings = {"data": f"{job.test.name} ({job.test.source})", "batch size": BATCH_SIZE, "epochs": options.epochs}
    report.settings(settings | {"seed" + "s" * (len(seeds) > 1): ", ".join(map(str, seeds))})


def _gradients(report: Report, job: Job, checks: list[GradientCheck]) -> None:
    pixels = checks[0]["entries"] // len(job.test.class_names)
    report.heading("Gradient check").paragraph(
        f"Analytic gradient g of the cost against numerical derivatives n on {CHECKED_IMAGES} training images "
        f"({pixels:,} pixels of each), in float64, for every entry, near the initial W and b. The verdict rests on the "
        f"error bar of each derivative: PASS says that every entry lies within four of its bars. "
        f"Table {report.table_number} has, for comparison, the relative error |g − n| / max(1e−6, |g| + |n|); the "
        f"published report found a mean of 1.1e−9 for the weight and 2.25e−9 for the bias."
    )
    header = ["λ", "parameter", "verdict", "entries", "mean relative error", "max relative error"]
    rows = [[f"{c['lambda']:g}", c["parameter"], c["verdict"], c["entries"]] for c in checks]
    for row, c in zip(rows, checks, strict=True):
        row += [f"{c[name]:.1e}" for name in ("mean_relative_error", "max_relative_error")]
    report.table(header, rows, "Gradient check")


def _curves(sections: RunSections, shown: dict[str, Outcome]) -> None:
    """Add the numbers after the last epoch, and the curves of each setting."""
    report = sections.report.heading("After the last epoch")
    losses, accuracies = ("training loss", "validation loss"), ("training accuracy", "validation accuracy")
    header = ["setting", *losses, "gap", "penalty", *accuracies]
    caption = "After the last epoch. Gap: validation loss − training loss; penalty: cost − loss"
    report.table(header, [_final(o) for o in shown.values()], caption)
    report.heading("The four settings").paragraph("Settings with the same η have the same axes of loss and accuracy.")
    for name, o in shown.items():
        report.heading(name, level=3)
        same = [other.history for other in shown.values() if other.setting.eta == o.setting.eta]
        sections.curves(name, o.history, f"Test accuracy: {percent(o.test_accuracy)}.", same)


def _final(o: Outcome) -> list[str]:
    last = o.history.rows[-1]
    numbers = [last["loss"], last["val_loss"], last["val_loss"] - last["loss"], last["cost"] - last["loss"]]
    shares = [percent(last[name]) for name in ("accuracy", "val_accuracy")]
    return [o.setting.title, *(minus(f"{number:.3f}") for number in numbers), *shares]


def _templates(report: Report, job: Job, shown: dict[str, Outcome]) -> None:
    names, rows = job.test.class_names, []
    for title, o in shown.items():
        if o.weights is None:
            return
        pictures = as_bytes(template_images(o.weights))
        rows.append((title, [(p, f"{name}, {title}", name) for p, name in zip(pictures, names, strict=True)]))
    report.heading("What the classifiers look for").paragraph(
        f"Each column of W is a picture: the image to which its class responds most. Figure {report.figure_number} has "
        "those of all settings, each scaled to its own range."
    )
    # Markdown has no rows of pictures: there they are one.
    matrix = np.concatenate([np.concatenate([p for p, _, _ in row], axis=1) for _, row in rows])
    content = make_picture(matrix.repeat(2, axis=0).repeat(2, axis=1), "", "").content
    fallback = write_whole(job.out / "charts" / "templates.png", content)
    report.pictures(rows, "Weight templates: a row for each setting, a column for each class", fallback)


def _best(sections: RunSections, job: Job, best: Outcome) -> None:
    """Add which classes and which images the best setting gets wrong."""
    if best.probabilities is None:
        return
    report, name, names = sections.report, best.setting.title, job.test.class_names
    value, figure = percent(best.history["val_accuracy"][-1]), report.figure_number
    report.heading("What the best setting gets wrong").paragraph(
        f"By validation accuracy, {name} is the best setting ({value} after the last epoch); test images had no part "
        f"in this choice. Figure {figure} shows which of them it confuses, Figure {figure + 1} its surest mistakes."
    )
    sections.classes(job.test.y, best.probabilities.argmax(axis=1), names, name)
    sections.mistakes(job.test.x, job.test.y, best.probabilities, names, name)


def _repeat(report: Report, job: Job, outcomes: list[Outcome]) -> None:
    report.heading("How to repeat it").paragraph(
        "This command does the same again. On the same kind of machine, with the same versions and number of threads, "
        "every number comes out the same; elsewhere they differ a little, and with η = 0.1 by some points."
    )
    report.code(job.command).settings(job.environment)
    files = {"results.json": "all settings, numbers and digests", "results.csv": "the results of each run"}
    files |= {o.history_file: f"{o.setting.title}, seed {o.seed}: every epoch" for o in outcomes}
    report.table(
        ["file", "content"], [[Link(name, name), what] for name, what in files.items()], "Numbers for programs"
    )


def print_accuracies(job: Job, outcomes: list[Outcome]) -> None:
    """Print the table of test accuracies."""
    print(f"{'lambda':>8}{'eta':>8}{'test accuracy':>18}{'published':>12}")
    for r in results_of(outcomes, len(job.test)):
        ours = percent(r.accuracy, r.spread if len(r.runs) > 1 else None)
        published = percent(r.setting.published) if job.is_cifar10 else "-"
        print(f"{r.setting.lam:>8g}{r.setting.eta:>8g}{ours:>18}{published:>12}")
