"""The job: data, gradient check, training, report; everything is written into one folder, report.html first of all."""

import argparse
from datetime import date as calendar
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import minidl as dl
from minidl._core.bars import coloured, say
from minidl._core.environment import environment
from minidl._storage.files import make_folder
from minidl.lab_report.document import print_accuracies, write_report
from minidl.lab_report.options import command
from minidl.lab_report.results import describe_data, write_results
from minidl.lab_report.runs import (
    BATCH_SIZE,
    CHECKED_IMAGES,
    SETTINGS,
    GradientCheck,
    Job,
    Outcome,
    Setting,
    history_file,
)

# Training, validation and test.
Data = tuple[dl.Dataset, dl.Dataset, dl.Dataset]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Do it all, as `options` say, and return what results.json holds."""
    make_folder(options.out)
    say("Reading the images: about 2 seconds")
    data = load_data(options)
    described, test = describe_data(*data), data[2]
    again = command(options, test.name == "CIFAR-10")
    job = Job(options, again, str(calendar.today()), environment(), described, test)
    sizes = ", ".join(f"{described[f'{part}_images']:,} {part}" for part in ("training", "validation", "test"))
    print(f"Data: {test.name} ({test.source}); {sizes}")

    scaled = standardize(data)
    checks = check_gradients(scaled[0], options)
    seeds = range(options.seed, options.seed + options.seeds)
    outcomes: list[Outcome] = []
    try:
        for setting in SETTINGS:
            outcomes += [fit(setting, seed, scaled, options) for seed in seeds]
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


def load_data(options: argparse.Namespace) -> Data:
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


def standardize(data: Data) -> Data:
    """Scale each pixel by its mean and standard deviation over the training images alone."""
    # The bytes need no scaling to [0, 1]: it would cancel.
    scale = dl.Standardizer().fit(data[0].x)
    train, validation, test = (part.map(scale) for part in data)
    return train, validation, test


def check_gradients(train: dl.Dataset, options: argparse.Namespace) -> list[GradientCheck]:
    """Compare every entry of the gradient with its numerical derivative, with and without penalty."""
    x, y = train.x[:CHECKED_IMAGES, : 300 if options.quick else None], train.y[:CHECKED_IMAGES]
    checks: list[GradientCheck] = []
    for lam in (0.0, 0.1):
        layer = dl.Dense(x.shape[1], 10, weight_init=dl.Normal(0.01), rng=options.seed)
        model = dl.Model(layer, dl.SoftmaxCrossEntropy(), dl.L2(lam) if lam else None)
        entries = sum(parameter.value.size for parameter in model.parameters.values())
        say(f"Checking {entries:,} gradients, λ = {lam:g}: {'about 10' if entries > 10_000 else 'a few'} seconds")
        report = dl.check_model(model, x, y, seed=options.seed, every_entry=True)
        for name, measured in report.tensors.items():
            checks.append({"lambda": lam, "parameter": name, **measured, "verdict": report.verdict.name})
            errors = f"error {measured['mean_relative_error']:.1e}, max {measured['max_relative_error']:.1e}"
            sizes = f"λ = {lam:g}, {measured['entries']:,} of {name}"
            print(coloured(f"Gradient check: {report.verdict.name}, {sizes}: {errors}"))
        report.assert_ok()
    return checks


def fit(setting: Setting, seed: int, data: Data, options: argparse.Namespace) -> Outcome:
    """Train one setting from one seed; the first seed's figures are drawn."""
    train, validation, test = data
    start = perf_counter()
    network = dl.Sequential(dl.Dense(train.x.shape[1], 10, weight_init=dl.Normal(0.01), rng=seed))
    model = dl.Model(network, dl.SoftmaxCrossEntropy(), dl.L2(setting.lam) if setting.lam else None)
    title = f"{train.name}: {setting.title}"
    pictures = (dl.LearningCurves, dl.WeightTemplates) if seed == options.seed else ()
    figures = [draw(options.out, prefix=f"{setting.name}-", title=title) for draw in pictures]
    say(f"Training: {title}, seed {seed}")
    trainer = dl.Trainer(model, dl.SGD(setting.eta), [dl.ProgressBar(), *figures], rng=seed)
    file = history_file(setting, seed, options)
    try:
        history = trainer.fit(train, validation, epochs=options.epochs, batch_size=BATCH_SIZE)
    finally:
        # Also after Ctrl-C.
        if len(trainer.history):
            trainer.history.to_csv(Path(options.out) / file)
    drawn = {name: png.name for callback in figures for name, (png, _) in callback.paths.items()}
    seconds, accuracy = perf_counter() - start, model.evaluate(test)["accuracy"]
    weights = model.parameters["0.weight"].value
    norm = float(np.linalg.norm(weights.astype(np.float64)))
    probabilities = model.predict_proba(test.x) if seed == options.seed else None
    return Outcome(setting, seed, history, file, accuracy, norm, seconds, drawn, weights, probabilities)
