"""Train a small convolutional network on CIFAR-10.

It has three stages of 3x3 convolutions with batch normalization; each stage halves the image size. Training uses
mirrored and shifted images, and one cycle of the learning rate. See `python examples/cifar_convnet.py --help` for the
options.
"""

from time import perf_counter

import numpy as np
from cifar_common import load, options_parser, parse, run

import minidl as dl
from minidl.lab_report.options import count

BATCH_SIZE = 100


def main(arguments: list[str] | None = None) -> None:
    parser = options_parser("cifar_convnet", "A conv net on CIFAR-10.")
    parser.add_argument("--epochs", type=count(1), help="default: 8, with --quick 1")
    options = parse(parser, arguments)
    epochs = options.epochs or (1 if options.quick else 8)
    start = perf_counter()
    # One mean and standard deviation per colour, as usual for images that are shifted.
    images = [data.map(dl.images_from_rows) for data in load(options)]
    mean, std = (f(images[0].x, axis=(0, 1, 2), dtype=np.float64).astype(np.float32) for f in (np.mean, np.std))
    train, validation, test = (data.map(lambda x: (x.astype(np.float32) - mean) / std) for data in images)

    model = dl.Model(network(options.seed), dl.SoftmaxCrossEntropy(), dl.L2(2e-4))
    print(model.summary((32, 32, 3)))
    steps = epochs * -(-len(train) // BATCH_SIZE)
    optimizer = dl.SGD(dl.OneCycle(0.1, steps), momentum=0.9, nesterov=True)
    trainer = dl.Trainer(model, optimizer, [dl.ProgressBar()], rng=options.seed)
    augment = [dl.Mirror(), dl.Shift(4)]
    try:
        trainer.fit(train, validation, epochs=epochs, batch_size=BATCH_SIZE, augment=augment, train_metrics=False)
    finally:  # also after Ctrl-C
        trainer.history.to_csv(options.out / "history.csv")
        model.save_weights(options.out / "weights.safetensors")
    print(f"test accuracy {100 * model.evaluate(test)['accuracy']:.2f} % after {perf_counter() - start:.0f} s")
    settings = {"data": f"{test.name} ({test.source})", "model": model, "optimizer": optimizer, "augmentation": augment}
    settings |= {"epochs": epochs, "batch size": BATCH_SIZE, "seed": options.seed}
    page = dl.report_runs(
        {"conv net": trainer.history},
        options.out,
        title=f"A conv net on {test.name}",
        settings=settings,
        models={"conv net": model},
        test=test,
        pictures=images[2].x,
    )
    print(f"Report, history and weights: {page}")


def network(seed: int) -> dl.Sequential:
    layers: list[dl.Layer] = []
    channels = 3
    for i, more in enumerate([32, 64, 128]):
        layers += [convolution(channels, more, seed + i), dl.MaxPool2D(2)]
        channels = more
    return dl.Sequential(*layers, dl.GlobalAvgPool2D(), dl.Dense(channels, 10, rng=seed))


def convolution(channels: int, more: int, seed: int) -> dl.Sequential:
    """Return a 3x3 convolution, a batch normalization and a ReLU."""
    layer = dl.Conv2D(channels, more, 3, padding=1, bias=False, rng=seed)
    return dl.Sequential(layer, dl.BatchNorm(more), dl.ReLU())


if __name__ == "__main__":
    run(main)
