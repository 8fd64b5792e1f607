"""What is written for people: report.html and report.md, and the table for the terminal."""

from pathlib import Path

import numpy as np

from minidl._storage.files import write_whole
from minidl.lab_report.runs import BATCH_SIZE, CHECKED_IMAGES, GradientCheck, Job, Outcome
from minidl.lab_report.summary import Result, chosen, penalty_group, results_of, summarize
from minidl.plotting.charts import Dot
from minidl.plotting.gallery import as_bytes, template_images
from minidl.report import Link, Report
from minidl.report.blocks import make_picture
from minidl.training.describe import percent
from minidl.training.history import History
from minidl.training.run_sections import RunSections

_COURSE = Link("DD2424 Deep Learning in Data Science", "https://www.kth.se/student/kurser/kurs/DD2424")
_CIFAR10 = Link("CIFAR-10", "https://www.cs.toronto.edu/~kriz/cifar.html")


def write_report(job: Job, checks: list[GradientCheck], outcomes: list[Outcome]) -> list[Path]:
    """Write report.html and report.md, and return their paths; pictures need runs with weights and probabilities."""
    results = results_of(outcomes, len(job.test))
    # Where there are several seeds, those of the first one stand for all, and their names say so.
    shown = {r.runs[0].title if len(r.runs) > 1 else r.setting.title: r.runs[0] for r in results}
    report = Report(job.title, author=job.options.author, date=job.date, contents=True)
    sections = RunSections(report, job.out, len(job.test.class_names))
    _sources(report, job)
    _answer(sections, job, results, shown)
    _method(report, job)
    _gradients(report, job, checks)
    _curves(sections, results, shown)
    _templates(report, job, shown)
    best = chosen(results).runs[0]
    _best(sections, job, next(name for name, o in shown.items() if o is best), best)
    _repeat(report, job, outcomes)
    return report.write(job.out)


def _sources(report: Report, job: Job) -> None:
    task = "We train a linear softmax classifier with four settings; each is a penalty weight λ and a learning rate η."
    report.paragraph("This report repeats assignment 1 of ", _COURSE, f" (KTH). {task}")
    files = {"training": " (data_batch_1)", "validation": " (data_batch_2)", "test": " (test_batch)"}
    parts = [f"{job.data[f'{part}_images']:,} for {part}{file * job.is_cifar10}" for part, file in files.items()]
    count = f"{parts[0]}, {parts[1]} and {parts[2]}."
    if job.is_cifar10:
        published = "The published accuracies are from a student's report; we know of no public copy of it."
        report.paragraph("The images are from ", _CIFAR10, f" (A. Krizhevsky, 2009): {count} {published}")
    else:
        nothing = "The published accuracies are for CIFAR-10, so there is nothing to compare with."
        report.paragraph(f"The images are synthetic, drawn by minidl: {count} {nothing}")


def _answer(sections: RunSections, job: Job, results: list[Result], shown: dict[str, Outcome]) -> None:
    """Add what came out: sentences, all settings in one figure, what λ does, the test accuracies."""
    report, images, seeds = sections.report, len(job.test), job.options.seeds
    report.heading("Summary").points(summarize(results, images, job.is_cifar10))
    group, figure, table = penalty_group(results), report.figure_number, report.table_number
    # Of several seeds, curves show one and tables their mean.
    eta, of_one, means = f"η = {group[0].setting.eta:g}", "", ""
    if seeds > 1:
        of_one, means = f", seed {job.options.seed}", f"; means over {seeds} seeds"
    report.paragraph(
        f"Figure {figure} shows the loss of all settings, Figure {figure + 1} and Table {table} what λ does, "
        f"Figure {figure + 2} and Table {table + 1} the test accuracies."
    )
    sections.panels({name: o.history for name, o in shown.items()}, "loss")
    gaps = {f"λ = {r.setting.lam:g}": _gaps(r.runs[0].history) for r in group}
    sections.all_runs(gaps, "gap", f"Validation loss − training loss, with {eta}{of_one}")
    bars = f"standard deviation over {seeds} seeds" if seeds > 1 else f"standard error over {images:,} test images"
    accuracies = {r.setting: percent(r.accuracy, r.accuracy_bar) for r in results}
    rows = [[f"{r.setting.lam:g}", f"{r.gap:.3f}", f"{r.weight_norm:.3f}", accuracies[r.setting]] for r in group]
    header = ["λ", "gap", "norm of W", "test accuracy"]
    report.table(header, rows, f"What λ does with {eta}. Gap: validation loss − training loss{means}")
    theirs = [r.setting.published if job.is_cifar10 else None for r in results]
    dots = [Dot(r.setting.title, r.accuracy, r.accuracy_bar, x) for r, x in zip(results, theirs, strict=True)]
    published = " Diamonds show the published accuracy." if job.is_cifar10 else ""
    sections.accuracies(dots, f"Test accuracy. Bars show ± {bars}.{published}")
    header, rows = ["setting", "test accuracy"], [[setting.title, text] for setting, text in accuracies.items()]
    if job.is_cifar10:
        bars += ". The standard error of a difference is larger, because both accuracies have one"
        header += ["published", "difference in percentage points", "difference ÷ its standard error"]
        for row, r in zip(rows, results, strict=True):
            points, errors = 100 * (r.accuracy - r.setting.published), r.above_published[0]
            row += [percent(r.setting.published), f"{points:+.2f}", f"{errors:+.1f}"]
    report.table(header, rows, f"Test accuracy ± {bars}")


def _gaps(history: History) -> History:
    return History({"epoch": row["epoch"], "gap": row["val_loss"] - row["loss"]} for row in history)


def _method(report: Report, job: Job) -> None:
    report.heading("Method and settings").paragraph(
        "For each pixel we subtract its mean and divide by its standard deviation, both from the training images. The "
        "model is softmax(xW + b). At the start, W is random, from N(0, 0.01²), and b is 0. We use stochastic "
        "gradient descent on shuffled mini-batches. The loss is the mean cross-entropy. The cost is the "
        "loss plus λ times the sum of the squared weights. Cost, loss and accuracy are measured after each epoch, over "
        f"all images. Table {report.table_number} has the settings that all runs share."
    )
    options = job.options
    seeds = ", ".join(map(str, range(options.seed, options.seed + options.seeds)))
    source = "a local copy" if job.test.source == "cache" else job.test.source
    settings = {"data": f"{job.test.name} ({source})", "batch size": BATCH_SIZE, "epochs": options.epochs}
    report.settings(settings | {"seeds" if options.seeds > 1 else "seed": seeds}, "Settings of all runs")


def _gradients(report: Report, job: Job, checks: list[GradientCheck]) -> None:
    pixels = checks[0]["entries"] // len(job.test.class_names)
    published = " The published report has a mean of 1.1e−9 for W and 2.25e−9 for b." if job.is_cifar10 else ""
    report.heading("Gradient check").paragraph(
        "We compare the analytic gradient g of the cost with a numerical gradient n. We check every entry of W and b, "
        f"near their initial values, on {CHECKED_IMAGES} training images ({pixels:,} pixels of each), in float64. Each "
        "numerical derivative has an error estimate. PASS means: for every entry, |g − n| is at most four times this "
        f"estimate. Table {report.table_number} also has the relative error |g − n| / max(1e−6, |g| + |n|).{published}"
    )
    header = ["λ", "parameter", "verdict", "entries", "mean relative error", "max relative error"]
    rows = [[f"{c['lambda']:g}", c["parameter"], c["verdict"], c["entries"]] for c in checks]
    for row, c in zip(rows, checks, strict=True):
        row += [f"{c[name]:.1e}" for name in ("mean_relative_error", "max_relative_error")]
    report.table(header, rows, "Analytic and numerical gradient of the cost")


def _curves(sections: RunSections, results: list[Result], shown: dict[str, Outcome]) -> None:
    """Add the numbers after the last epoch, and the curves of each setting."""
    report, seeds = sections.report, len(results[0].runs)
    columns = "The gap is the validation loss − the training loss; the penalty is the cost − the loss."
    report.heading("After the last epoch").paragraph(f"Table {report.table_number} has loss and accuracy. {columns}")
    losses, accuracies = ("training loss", "validation loss"), ("training accuracy", "validation accuracy")
    header = ["setting", *losses, "gap", "penalty", *accuracies]
    means = f", means over {seeds} seeds" if seeds > 1 else ""
    report.table(header, [_final(r) for r in results], f"Loss and accuracy after the last epoch{means}")
    report.heading("The four settings").paragraph("Settings with the same η have the same axes of loss and accuracy.")
    for name, o in shown.items():
        report.heading(name, level=3)
        same = [other.history for other in shown.values() if other.setting.eta == o.setting.eta]
        sections.curves(name, o.history, f"The test accuracy is {percent(o.test_accuracy)}.", same)


def _final(r: Result) -> list[str]:
    last = {name: float(np.mean([o.history[name][-1] for o in r.runs])) for name in r.runs[0].history.columns}
    numbers = [last["loss"], last["val_loss"], last["val_loss"] - last["loss"], last["cost"] - last["loss"]]
    shares = [percent(last[name]) for name in ("accuracy", "val_accuracy")]
    return [r.setting.title, *(f"{number:.3f}" for number in numbers), *shares]


def _templates(report: Report, job: Job, shown: dict[str, Outcome]) -> None:
    names, rows = job.test.class_names, []
    for title, o in shown.items():
        if o.weights is None:
            return
        pictures = as_bytes(template_images(o.weights))
        rows.append((title, [(p, f"{name}, {title}", name) for p, name in zip(pictures, names, strict=True)]))
    report.heading("What the classifiers look for").paragraph(
        f"Each column of W belongs to one class. Figure {report.figure_number} shows it as an image: this is what the "
        "class responds to. Each image has its own colour scale."
    )
    # Markdown has no rows of pictures: there they are one.
    matrix = np.concatenate([np.concatenate([p for p, _, _ in row], axis=1) for _, row in rows])
    content = make_picture(matrix.repeat(2, axis=0).repeat(2, axis=1), "", "").content
    fallback = write_whole(job.out / "charts" / "templates.png", content)
    report.pictures(rows, "Weight templates: a row for each setting, a column for each class", fallback)


def _best(sections: RunSections, job: Job, name: str, best: Outcome) -> None:
    """Add which classes and which images the chosen setting gets wrong."""
    if best.probabilities is None:
        return
    report, names, figure = sections.report, job.test.class_names, sections.report.figure_number
    report.heading("What the chosen setting gets wrong").paragraph(
        f"{best.setting.title} has the highest validation accuracy; we did not use the test images for this choice. "
        f"Figure {figure} shows which of them it confuses, Figure {figure + 1} its surest mistakes."
    )
    sections.classes(job.test.y, best.probabilities.argmax(axis=1), names, name)
    sections.mistakes(job.test.x, job.test.y, best.probabilities, names, name)


def _repeat(report: Report, job: Job, outcomes: list[Outcome]) -> None:
    version, table = job.environment.get("minidl", ""), report.table_number
    report.heading("How to repeat it").paragraph(
        f"This command of minidl {version} repeats the experiment; the four settings are built in. With the same "
        f"machine type, versions and number of threads (Table {table}) you get the same numbers; elsewhere they differ "
        f"a little, and with η = 0.1 by some percentage points. Table {table + 1} lists the result files."
    )
    report.code(job.command).settings(job.environment, "Versions and machine")
    files = {"results.json": "all settings, numbers and digests", "results.csv": "the results of each run"}
    files |= {o.history_file: f"{o.setting.title}, seed {o.seed}: every epoch" for o in outcomes}
    report.table(["file", "content"], [[Link(name, name), what] for name, what in files.items()], "Result files")


def print_accuracies(job: Job, outcomes: list[Outcome]) -> None:
    """Print the table of test accuracies."""
    print(f"{'lambda':>8}{'eta':>8}{'test accuracy':>18}{'published':>12}")
    for r in results_of(outcomes, len(job.test)):
        ours = percent(r.accuracy, r.spread if len(r.runs) > 1 else None)
        published = percent(r.setting.published) if job.is_cifar10 else "-"
        print(f"{r.setting.lam:>8g}{r.setting.eta:>8g}{ours:>18}{published:>12}")
