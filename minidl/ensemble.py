"""Ensemble: several classifiers that decide together."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl.checks import check_type
from minidl.data import Dataset
from minidl.errors import InputError
from minidl.metrics import accuracy
from minidl.model import Model
from minidl.types import Array


class Ensemble:
    """Classifiers of the same classes, whose mean probability, or majority, is the prediction.

    Parameters
    ----------
    models : sequence of Model
        At least one; trained, each with a loss that has probabilities.
    vote : {"mean", "majority"}
        "mean" averages the probabilities; "majority" counts one vote a model (the lower class wins a tie).

    References
    ----------
    Dietterich, "Ensemble methods in machine learning", MCS 2000.
    """

    def __init__(self, models: Sequence[Model], vote: str = "mean") -> None:
        check_type("Ensemble", "models", models, Sequence)
        for i, model in enumerate(models):
            check_type("Ensemble", f"models[{i}]", model, Model)
        if not models or vote not in ("mean", "majority"):
            raise InputError(
                f"Ensemble: expected at least one model, and vote 'mean' or 'majority', got {len(models)} and {vote!r}"
            )
        self.models = list(models)
        self.vote = vote

    def predict_proba(self, x: Any) -> Array:
        """Return the mean of the models' probabilities, or with "majority" the share of votes, shape (n, classes)."""
        probabilities = np.array([model.predict_proba(x) for model in self.models])
        if self.vote == "majority":
            probabilities = np.eye(probabilities.shape[2])[probabilities.argmax(axis=2)]
        mean: Array = probabilities.mean(axis=0)
        return mean

    def predict(self, x: Any) -> Array:
        """Return the class of each row of `x`, shape (n,)."""
        classes: Array = self.predict_proba(x).argmax(axis=1)
        return classes

    def evaluate(self, dataset: Dataset, batch_size: int = 1000) -> dict[str, float]:
        """Return the accuracy over the whole dataset."""
        predicted = [self.predict(x) for x, _ in dataset.batches(batch_size)]
        return {"accuracy": accuracy(np.concatenate(predicted), dataset.y)}

    def __repr__(self) -> str:
        return f"Ensemble({self.models!r:.120}, vote={self.vote!r})"
