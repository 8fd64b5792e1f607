"""Improve the one-layer classifier of the lab report on CIFAR-10, step by step; each step is one row of a table.

The steps: all five batches instead of one, mirrored images, a decaying learning rate, a grid search, K sigmoid losses
instead of the softmax, and an ensemble. See `python examples/cifar_softmax_bonus.py --help` for the options.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from cifar_common import Splits, load, options_parser, parse, run

import minidl as dl
from minidl.plotting import plot_true_class_probability, save_figure

BATCH_SIZE = 100
GRID = {"lam": (0.0003, 0.001, 0.003), "eta": (0.003, 0.01, 0.03)}
SIGMOID_GRID = {
    "lam": (0.0001, 0.0003),
    "eta": (0.03, 0.1),
}  # its gradient is a tenth as large, because it is a mean over K losses


@dataclass(frozen=True)
class Recipe:
    """Settings of one row of the table; the defaults are the best setting of the report."""

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
    mirrored = replace(all_images, name="+ mirrored images", mirror=True)
    decayed = replace(mirrored, name="+ step decay", lam=0.003, eta=0.01, decay=0.1)
    recipes = [start, all_images, mirrored, decayed]
    models: dict[str, dl.Model | dl.Ensemble] = {}
    runs: dict[str, dl.History] = {}
    for recipe in recipes:
        models[recipe.name], runs[recipe.name] = fit_and_show(recipe, splits)
    softmax = replace(search(decayed, GRID, splits, options), name="+ grid search")
    sigmoid = replace(decayed, loss=dl.SigmoidCrossEntropy)
    sigmoid = replace(search(sigmoid, SIGMOID_GRID, splits, options), name="sigmoid losses instead")
    members, figures = [], []
    for recipe in (softmax, sigmoid):
        model, runs[recipe.name] = fit_and_show(recipe, splits)
        models[recipe.name] = model
        figures.append(draw(model, recipe, splits, options))
        members += [model, *(fit(replace(recipe, seed=recipe.seed + i), splits)[0] for i in range(1, 3))]
    for vote in ("mean", "majority"):
        name = f"ensemble of six, {vote}"
        models[name] = dl.Ensemble(members, vote=vote)
        show(name, models[name], splits)
    settings = {"data": f"{splits[2].name} ({splits[2].source})", "batch size": BATCH_SIZE, "seed": options.seed}
    settings |= {r.name: f"λ = {r.lam:g}, η = {r.eta:g}, {r.epochs} epochs" for r in [*recipes, softmax, sigmoid]}
    page = dl.report_runs(
        runs,
        options.out,
        title=f"One layer on {splits[2].name}, improved",
        text=[
            "Runs with a + add one change to the run before. The last run uses sigmoid losses; its λ and η come from a "
            "grid search of its own. The ensembles combine three seeds of the last two runs."
        ],
        settings=settings,
        models=models,
        test=splits[2],
        figures=figures,
    )
    print(f"Report: {page}")


def prepare(splits: Splits) -> Splits:
    """Standardize with the mean and deviation of the training images, and turn rows into images."""
    scale = dl.Standardizer().fit(splits[0].x)
    train, validation, test = (data.map(scale).map(dl.images_from_rows) for data in splits)
    return train, validation, test


def fit(recipe: Recipe, splits: Splits) -> tuple[dl.Model, dl.History]:
    """Train by `recipe`."""
    train, validation, _ = splits
    train = train[: recipe.images]
    steps = recipe.epochs * -(-len(train) // BATCH_SIZE)
    layer = dl.Dense(3072, 10, weight_init=dl.Normal(0.01), rng=recipe.seed)
    model = dl.Model(dl.Sequential(dl.Flatten(), layer), recipe.loss(), dl.L2(recipe.lam))
    optimizer = dl.SGD(dl.StepDecay(recipe.eta, recipe.decay, every=max(1, steps // 3)))
    trainer = dl.Trainer(model, optimizer, [dl.ProgressBar()], rng=recipe.seed)
    augment = [dl.Mirror()] if recipe.mirror else []
    history = trainer.fit(
        train, validation, epochs=recipe.epochs, batch_size=BATCH_SIZE, augment=augment, train_metrics=False
    )
    return model, history


def fit_and_show(recipe: Recipe, splits: Splits) -> tuple[dl.Model, dl.History]:
    model, history = fit(recipe, splits)
    show(f"{recipe.name} (λ = {recipe.lam:g}, η = {recipe.eta:g})", model, splits)
    return model, history


def show(name: str, model: dl.Model | dl.Ensemble, splits: Splits) -> None:
    validation, test = (model.evaluate(data)["accuracy"] for data in splits[1:])
    print(f"{name}: validation {100 * validation:.2f} %, test {100 * test:.2f} %")


def search(
    recipe: Recipe, grid: Mapping[str, tuple[float, ...]], splits: Splits, options: argparse.Namespace
) -> Recipe:
    """Return `recipe` with the best values of the grid on the validation set, after a third of the epochs."""
    short = replace(recipe, epochs=max(1, recipe.epochs // 3))
    best, accuracy = recipe, -1.0
    for lam, eta in product(*(values[: 1 if options.quick else None] for values in grid.values())):
        model, _ = fit(replace(short, lam=lam, eta=eta), splits)
        found = model.evaluate(splits[1])["accuracy"]
        print(f"  lambda {lam:g}, eta {eta:g}: validation accuracy {100 * found:.2f} %", file=sys.stderr)
        if found > accuracy:
            best, accuracy = replace(recipe, lam=lam, eta=eta), found
    return best


def draw(model: dl.Model, recipe: Recipe, splits: Splits, options: argparse.Namespace) -> tuple[Path, str, str]:
    """Plot histograms of the probability of the true class, for right and for wrong test predictions."""
    test, name = splits[2], recipe.loss.__name__
    figure = plot_true_class_probability(model.predict_proba(test.x), test.y, title=f"{test.name}: {name}")
    path, _ = save_figure(figure, options.out / f"true-class-{name}")
    return path, f"Histograms of the probability of the true class, {name}", f"Probability of the true class, {name}"


if __name__ == "__main__":
    run(main)
