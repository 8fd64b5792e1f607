"""What one layer can still learn on CIFAR-10: the lab report's improvements, each as one row of a table.

All five batches instead of one, mirrored pictures, a decaying learning rate, a grid search, K sigmoid losses in place
of the softmax, an ensemble. Run `python examples/cifar_softmax_bonus.py --help` for the options.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from time import perf_counter

from cifar_common import Splits, load, options_parser, parse, run

import minidl as dl
from minidl.plotting import plot_true_class_probability, save_figure

BATCH_SIZE = 100
GRID = {"lam": (0.0003, 0.001, 0.003), "eta": (0.003, 0.01, 0.03)}
SIGMOID_GRID = {"lam": (0.0001, 0.0003), "eta": (0.03, 0.1)}  # its gradient is a tenth: the mean over K losses


@dataclass(frozen=True)
class Recipe:
    """How one row of the table is trained; the defaults are the best setting of the report."""

    name: str
    lam: float = 0.1
    eta: float = 0.001
    images: int | None = None
    mirror: bool = False
    decay: float = 1.0
    loss: type[dl.Loss] = dl.SoftmaxCrossEntropy
    epochs: int = 30
    seed: int = 42


def main(arguments: list[str] | None = None) -> None:
    options = parse(options_parser("cifar_softmax_bonus", "One-layer classifiers on CIFAR-10, improved."), arguments)
    splits = prepare(load(options))
    few = len(splits[0]) // 5
    start = Recipe(f"the report's best, {few:,} images", images=few, seed=options.seed)
    start = replace(start, epochs=2 if options.quick else 30)
    all_images = replace(start, name=f"+ all {len(splits[0]):,} images", images=None)
    mirrored = replace(all_images, name="+ mirrored pictures", mirror=True)
    decayed = replace(mirrored, name="+ step decay", lam=0.003, eta=0.01, decay=0.1)
    rows: list[list[str]] = []
    models: dict[str, dl.Model] = {}
    for recipe in (start, all_images, mirrored, decayed):
        models[recipe.name] = fit_and_report(recipe, splits, rows)
    softmax = replace(search(decayed, GRID, splits, options), name="+ grid search")
    sigmoid = replace(decayed, loss=dl.SigmoidCrossEntropy)
    sigmoid = replace(search(sigmoid, SIGMOID_GRID, splits, options), name="sigmoid losses instead")
    for recipe in (softmax, sigmoid):
        models[recipe.name] = fit_and_report(recipe, splits, rows)
        draw(models[recipe.name], recipe, splits, options)
    members = [models[sigmoid.name], models[softmax.name]]
    for recipe, i in product((softmax, sigmoid), range(1, 3)):
        members.append(fit(replace(recipe, seed=recipe.seed + i), splits)[0])
    for vote in ("mean", "majority"):
        row = {"validation": 0.0, "test": 0.0, "seconds": 0.0}
        for name, data in [("validation", splits[1]), ("test", splits[2])]:
            row[name] = dl.Ensemble(members, vote=vote).evaluate(data)["accuracy"]
        show([f"ensemble of six, {vote}", "", ""], row, rows)
    write(splits[0], rows, options)


def prepare(splits: Splits) -> Splits:
    """Standardize by the training images, and make pictures of the rows."""
    scale = dl.Standardizer().fit(splits[0].x)
    train, validation, test = (data.map(scale).map(dl.images_from_rows) for data in splits)
    return train, validation, test


def fit(recipe: Recipe, splits: Splits) -> tuple[dl.Model, float]:
    """Train by `recipe`; return the model and the seconds that it took."""
    train, validation, _ = splits
    train = train[: recipe.images]
    steps = recipe.epochs * -(-len(train) // BATCH_SIZE)
    layer = dl.Dense(3072, 10, weight_init=dl.Normal(0.01), rng=recipe.seed)
    model = dl.Model(dl.Sequential(dl.Flatten(), layer), recipe.loss(), dl.L2(recipe.lam))
    optimizer = dl.SGD(dl.StepDecay(recipe.eta, recipe.decay, every=max(1, steps // 3)))
    trainer = dl.Trainer(model, optimizer, [dl.ProgressBar()], rng=recipe.seed)
    start = perf_counter()
    augment = [dl.Mirror()] if recipe.mirror else []
    trainer.fit(train, validation, epochs=recipe.epochs, batch_size=BATCH_SIZE, augment=augment, train_metrics=False)
    return model, perf_counter() - start


def fit_and_report(recipe: Recipe, splits: Splits, rows: list[list[str]]) -> dl.Model:
    model, seconds = fit(recipe, splits)
    _, validation, test = splits
    row = {name: model.evaluate(data)["accuracy"] for name, data in [("validation", validation), ("test", test)]}
    show([recipe.name, f"{recipe.lam:g}", f"{recipe.eta:g}"], row | {"seconds": seconds}, rows)
    return model


def search(
    recipe: Recipe, grid: Mapping[str, tuple[float, ...]], splits: Splits, options: argparse.Namespace
) -> Recipe:
    """Return `recipe` with the values of the grid that do best on the validation set, in a third of the epochs."""
    short = replace(recipe, epochs=max(1, recipe.epochs // 3))
    best, accuracy = recipe, -1.0
    for lam, eta in product(*(values[: 1 if options.quick else None] for values in grid.values())):
        model, _ = fit(replace(short, lam=lam, eta=eta), splits)
        found = model.evaluate(splits[1])["accuracy"]
        print(f"  lambda {lam:g}, eta {eta:g}: validation accuracy {found:.2%}", file=sys.stderr)
        if found > accuracy:
            best, accuracy = replace(recipe, lam=lam, eta=eta), found
    return best


def draw(model: dl.Model, recipe: Recipe, splits: Splits, options: argparse.Namespace) -> None:
    """Draw how probable the true class was, for the test images classified rightly and wrongly."""
    test = splits[2]
    title = f"{test.name}: {recipe.loss.__name__}"
    figure = plot_true_class_probability(model.predict_proba(test.x), test.y, title=title)
    save_figure(figure, options.out / f"true-class-{recipe.loss.__name__}")


def show(what: list[str], row: dict[str, float], rows: list[list[str]]) -> None:
    seconds = f"{row['seconds']:.0f}" if row["seconds"] else ""
    rows.append([what[0], f"{row['test']:.2%}", f"{row['validation']:.2%}", *what[1:], seconds])
    setting = f" (λ = {what[1]}, η = {what[2]})" if what[1] else ""
    print(f"{what[0]}{setting}: validation {rows[-1][2]}, test {rows[-1][1]}")


def write(train: dl.Dataset, rows: list[list[str]], options: argparse.Namespace) -> None:
    report = dl.Report(f"One layer on {train.name}, improved")
    report.paragraph(f"Trained on {train.name} ({train.source}), seed {options.seed}.")
    header = ["what", "test", "validation", "λ", "η", "seconds"]
    report.table(header, rows, caption="Share of images classified rightly.")
    names = ["SoftmaxCrossEntropy", "SigmoidCrossEntropy"]
    paths = [options.out / f"true-class-{name}.png" for name in names]
    figures = [(path, f"Histograms, {name}", f"Test images, {name}") for path, name in zip(paths, names, strict=True)]
    report.heading("Probability of the true class").figures(figures)
    print(f"Report: {report.write(options.out)[0]}")


if __name__ == "__main__":
    run(main)
