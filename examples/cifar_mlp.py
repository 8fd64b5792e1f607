"""Train two- and three-layer networks on CIFAR-10 with cyclical learning rates.

First, short runs of a small two-layer network search for lambda on a log scale, coarsely and then finely. Then a wide
three-layer network trains with batch normalization, dropout and mirrored images. This follows assignments 2 and 3 of
DD2424 (KTH). See `python examples/cifar_mlp.py --help` for the options.
"""

import sys
from collections.abc import Sequence
from time import perf_counter

import numpy as np
from cifar_common import Splits, load, options_parser, parse, run

import minidl as dl

BATCH_SIZE = 100


def main(arguments: list[str] | None = None) -> None:
    options = parse(options_parser("cifar_mlp", "Two- and three-layer nets on CIFAR-10."), arguments)
    start = perf_counter()
    splits = load(options)
    scale = dl.Standardizer().fit(splits[0].x)
    train, validation, test = (data.map(scale).map(dl.images_from_rows) for data in splits)

    coarse = search((train, validation, test), np.linspace(-5, -1, 2 if options.quick else 5), options.seed)
    fine = search((train, validation, test), coarse + np.linspace(-0.5, 0.5, 2 if options.quick else 4), options.seed)
    print(f"Best lambda of the two-layer net: {10**fine:.2g}")

    wide = dl.Model(three_layers(options.seed), dl.SoftmaxCrossEntropy(), dl.L2(1e-4))
    print(wide, file=sys.stderr)
    print(wide.summary((32, 32, 3)))
    runs, models = {}, {}
    for name, model, epochs, augment in [
        ("two layers, 50 units", two_layers(10**fine, options.seed), 16, []),
        ("three layers, 512 and 256 units", wide, 24, [dl.Mirror()]),
    ]:
        epochs = 2 if options.quick else epochs
        runs[name] = fit(model, (train, validation, test), epochs, options.seed, augment).history
        models[name] = model
        accuracy = model.evaluate(test)["accuracy"]
        print(f"{name}: test accuracy {100 * accuracy:.2f} % after {perf_counter() - start:.0f} s")
        # The report is written after each network, so Ctrl-C loses nothing.
        settings = {"data": f"{test.name} ({test.source})", "batch size": BATCH_SIZE, "seed": options.seed}
        settings |= {f"model, {name}": model for name, model in models.items()}
        title, pictures = f"Two- and three-layer nets on {test.name}", splits[2].x
        page = dl.report_runs(
            runs, options.out, title=title, settings=settings, models=models, test=test, pictures=pictures
        )
    print(f"Report: {page}")


def two_layers(lam: float, seed: int) -> dl.Model:
    layers = (dl.Flatten(), dl.Dense(3072, 50, weight_init=dl.He(), rng=seed), dl.ReLU(), head(50))
    return dl.Model(dl.Sequential(*layers), dl.SoftmaxCrossEntropy(), dl.L2(lam))


def three_layers(seed: int) -> dl.Sequential:
    """Return dense layers of 512 and 256 units, each with batch normalization, ReLU and dropout."""
    layers: list[dl.Layer] = [dl.Flatten()]
    for i, (features, units) in enumerate([(3072, 512), (512, 256)]):
        dense = dl.Dense(features, units, bias=False, weight_init=dl.He(), rng=seed + i)
        layers += [dense, dl.BatchNorm(units), dl.ReLU(), dl.Dropout(0.3, rng=seed + i)]
    return dl.Sequential(*layers, head(256))


def head(features: int) -> dl.Dense:
    return dl.Dense(features, 10, rng=0)


def fit(model: dl.Model, splits: Splits, epochs: int, seed: int, augment: Sequence[dl.Augmentation]) -> dl.Trainer:
    """Train with a cyclical learning rate; each cycle has 8 epochs and ends at the smallest rate."""
    train, validation, _ = splits
    steps = -(-len(train) // BATCH_SIZE)
    cycle = dl.TriangularCycle(1e-5, 0.1, half_cycle=max(1, steps * min(epochs, 8) // 2))
    trainer = dl.Trainer(model, dl.SGD(cycle), [dl.ProgressBar()], rng=seed)
    trainer.fit(train, validation, epochs=epochs, batch_size=BATCH_SIZE, augment=augment, train_metrics=False)
    return trainer


def search(splits: Splits, exponents: np.ndarray, seed: int) -> float:
    """Return the exponent whose lambda, 10**exponent, has the best validation accuracy after two epochs."""
    found = {}
    for exponent in exponents:
        model = two_layers(10 ** float(exponent), seed)
        fit(model, splits, 2, seed, [])
        found[float(exponent)] = model.evaluate(splits[1])["accuracy"]
        print(f"  lambda {10**exponent:.2g}: validation accuracy {100 * found[float(exponent)]:.2f} %", file=sys.stderr)
    return max(found, key=lambda exponent: found[exponent])


if __name__ == "__main__":
    run(main)
