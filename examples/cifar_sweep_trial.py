"""One trial of cifar_sweep.py, in a separate module that all workers can import."""

from functools import lru_cache
from typing import Any

import minidl as dl


@lru_cache(maxsize=1)
def load(dataset: str, images: int, data_dir: str | None) -> tuple[dl.Dataset, dl.Dataset, dl.Dataset]:
    """Return standardized training, validation and test images; a worker reads them once for all its trials."""
    if dataset == "cifar10":
        splits = dl.datasets.load_cifar10_course_split(data_dir)
    else:
        train, validation, test = (dl.datasets.synthetic_images(images, rng=part) for part in (1, 2, 3))
        splits = train, validation, test
    scale = dl.Standardizer().fit(splits[0].x[:images])
    train, validation, test = (data[:images].map(scale) for data in splits)
    return train, validation, test


def train(config: dict[str, Any], seed: int, data_dir: str | None = None) -> dict[str, float]:
    """Train the report's softmax classifier with the config's lambda and eta.

    As in the report, all settings start with the same weights. So their seed is in the config, and `seed` is not used.
    The folder of the data changes no number, so it is not in the config.
    """
    training, validation, test = load(config["dataset"], config["images"], data_dir)
    network = dl.Sequential(dl.Dense(training.x.shape[1], 10, weight_init=dl.Normal(0.01), rng=config["seed"]))
    regularizer = dl.L2(config["lam"]) if config["lam"] else None
    model = dl.Model(network, dl.SoftmaxCrossEntropy(), regularizer)
    trainer = dl.Trainer(model, dl.SGD(config["eta"]), rng=config["seed"])
    last = trainer.fit(training, validation, epochs=config["epochs"], batch_size=100).rows[-1]
    metrics = {name: last[name] for name in ("cost", "loss", "val_loss", "val_accuracy")}
    return metrics | {"test_accuracy": model.evaluate(test)["accuracy"]}
