"""The job: data, gradient check, training, report; everything is written into one folder, report.html first of all."""

import argparse
from datetime import date as calendar
from pathlib import Path
from time import perf_counter
from typing import Any

import minidl as dl
from minidl._core.bars import coloured, say
from minidl._core.types import Array
from minidl._storage.files import make_folder
from minidl.lab_report.document import print_accuracies, write_report
from minidl.lab_report.options import command
from minidl.lab_report.results import describe_data, write_results
from minidl.lab_report.runs import BATCH_SIZE, CHECKED_IMAGES, SETTINGS, GradientCheck, Job, Outcome, Setting


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Do it all, as `options` say, and return what results.json holds."""
    make_folder(options.out)
    say("Reading the images: about 2 seconds")
    train, validation, test = parts = load_data(options)
    cifar10 = test.name == "CIFAR-10"
    data = describe_data(train, validation, test)
    job = Job(options, command(options, cifar10), str(calendar.today()), data, test)
    sizes = ", ".join(
        f"{len(part):,} {name}" for name, part in zip(("training", "validation", "test"), parts, strict=True)
    )
    print(f"Data: {train.name} ({train.source}); {sizes}")

    # Per-pixel mean and standard deviation of the training images alone. Scaling the bytes to [0, 1] would cancel.
    scale = dl.Standardizer().fit(train.x)
    checks = check_gradients(scale(train.x[:CHECKED_IMAGES]), train.y[:CHECKED_IMAGES], options)
    train, validation, test = (data.map(scale) for data in (train, validation, test))

    seeds = range(options.seed, options.seed + options.seeds)
    outcomes: list[Outcome] = []
    try:
        for setting in SETTINGS:
            outcomes += [fit(setting, seed, (train, validation, test), options) for seed in seeds]
    except KeyboardInterrupt:
        say("Interrupted: what was finished before is in the --out folder.", verbose=1)
        raise
    finally:
        # Also after Ctrl-C: the settings that are done are not lost, nor those of an earlier run before there are.
        if outcomes:
            write_results(job, checks, outcomes)
    say("Writing the report: about 2 seconds")
    reports = write_report(job, checks, outcomes)
    # Once more, now with the digests of the report.
    results = write_results(job, checks, outcomes, reports)
    print_accuracies(job, outcomes)
    print(f"Report: {job.out / 'report.html'}")
    return results


def load_data(options: argparse.Namespace) -> tuple[dl.Dataset, dl.Dataset, dl.Dataset]:
    """Return training, validation and test images: uint8 (n, 3072)."""
    n = 2000 if options.quick else 10_000
    wanted = options.dataset == "cifar10" or options.data_dir is not None
    if wanted or (options.dataset == "auto" and not options.quick):
        try:
            train, validation, test = dl.datasets.load_cifar10_course_split(options.data_dir)
            return train[:n], validation[:n], test[:n]
        except dl.DownloadError as error:
            if options.dataset == "cifar10":
                raise
            say(f"{error}\nCIFAR-10 is unavailable; using synthetic images.", verbose=1)
    train, validation, test = (dl.datasets.synthetic_images(n, rng=part) for part in (1, 2, 3))
    return train, validation, test


def check_gradients(x: Array, y: Array, options: argparse.Namespace) -> list[GradientCheck]:
    """Compare every entry of the gradient with its numerical derivative, with and without penalty."""
    x = x[:, : 300 if options.quick else None]
    checks = []
    for lam in (0.0, 0.1):
        layer = dl.Dense(x.shape[1], 10, weight_init=dl.Normal(0.01), rng=options.seed)
        model = dl.Model(layer, dl.SoftmaxCrossEntropy(), dl.L2(lam) if lam else None)
        entries = sum(parameter.value.size for parameter in model.parameters.values())
        say(f"Checking {entries:,} gradients, λ = {lam:g}: {'about 10' if entries > 10_000 else 'a few'} seconds")
        report = dl.check_model(model, x, y, seed=options.seed, every_entry=True)
        found = [GradientCheck(lam, name, report, x.shape) for name in report.tensors]
        print(*(coloured(f"Gradient check: {check}") for check in found), sep="\n")
        report.assert_ok()
        checks += found
    return checks


def fit(
    setting: Setting, seed: int, data: tuple[dl.Dataset, dl.Dataset, dl.Dataset], options: argparse.Namespace
) -> Outcome:
    """Train one setting from one seed; the first seed's figures are drawn."""
    train, validation, test = data
    start = perf_counter()
    network = dl.Sequential(dl.Dense(train.x.shape[1], 10, weight_init=dl.Normal(0.01), rng=seed))
    model = dl.Model(network, dl.SoftmaxCrossEntropy(), dl.L2(setting.lam) if setting.lam else None)
    title = f"{train.name}: {setting.title}"
    pictures = (dl.LearningCurves, dl.WeightTemplates)
    figures = [draw(options.out, prefix=f"{setting.name}-", title=title) for draw in pictures]
    callbacks = [dl.ProgressBar(), *(figures if seed == options.seed else [])]
    say(f"Training: {title}, seed {seed}")
    trainer = dl.Trainer(model, dl.SGD(setting.eta), callbacks, rng=seed)
    try:
        history = trainer.fit(train, validation, epochs=options.epochs, batch_size=BATCH_SIZE)
    finally:
        # Also after Ctrl-C.
        history_file = f"history-{setting.name}{f'-seed-{seed}' if options.seeds > 1 else ''}.csv"
        if len(trainer.history):
            trainer.history.to_csv(Path(options.out) / history_file)
    drawn = {name: paths for callback in figures for name, paths in callback.paths.items()}
    seconds = perf_counter() - start
    accuracy = model.evaluate(test)["accuracy"]
    probabilities = model.predict_proba(test.x) if seed == options.seed else None
    return Outcome(setting, seed, history, accuracy, seconds, drawn, history_file, model, probabilities)
