"""Ensemble: several classifiers that predict together."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl._core.attributes import Declared
from minidl._core.checks import as_array, check_type
from minidl._core.errors import InputError, ShapeError
from minidl._core.reprs import counted
from minidl._core.types import Array
from minidl.data.dataset import Dataset, check_dataset
from minidl.nn.batches import map_outputs
from minidl.nn.losses import Loss
from minidl.nn.metrics import accuracy
from minidl.nn.model import Model


class Ensemble(Declared):
    """Classifiers of the same classes; the prediction is their mean probability or their majority vote.

    Parameters
    ----------
    models : sequence of Model
        At least one trained model, each with outputs (n, classes) and a loss that predicts one class per row. Build a
        binary classifier with two outputs and `SoftmaxCrossEntropy`.
    vote : {"mean", "majority"}
        "mean" averages the probabilities, so every loss must define them (those of `SigmoidCrossEntropy` do not sum to
        1, and neither does their mean); "majority" counts one vote per model. The lower class wins a tie.

    Raises
    ------
    InputError
        From the constructor, if an argument is not as above; later, if the models do not predict one class per row, or
        (as `ShapeError`) their numbers of classes differ.

    References
    ----------
    Dietterich, "Ensemble methods in machine learning", MCS 2000.
    """

    def __init__(self, models: Sequence[Model], vote: str = "mean") -> None:
        check_type("Ensemble", "models", models, Sequence)
        for i, model in enumerate(models):
            check_type("Ensemble", f"models[{i}]", model, Model)
            if vote == "mean" and type(model.loss).probabilities is Loss.probabilities:
                raise InputError(f"models[{i}]: its loss {model.loss!r} has no probabilities; pass vote='majority'")
        if not models or vote not in ("mean", "majority"):
            raise InputError(f"Ensemble: expected models, vote 'mean' or 'majority', got {len(models)} and {vote!r}")
        # A shallow copy of a model has the same network; a network built from the same layers has the same parameters.
        if len({frozenset(map(id, m.parameters.values())) or id(m.network) for m in models}) < len(models):
            hint = "take snapshots with copy.deepcopy(model)"
            raise InputError(f"Ensemble: expected different models, got the same model or network twice; {hint}")
        self.models = list(models)
        self.vote = vote

    def predict_proba(self, x: Any, batch_size: int | None = None) -> Array:
        """Return the mean of the models' probabilities, or with "majority" the share of votes, shape (n, classes).

        See `Model.predict` for `batch_size`.
        """
        votes = [self._vote(i, x, batch_size) for i in range(len(self.models))]
        shapes = [vote.shape for vote in votes]
        if len(set(shapes)) > 1:
            got = ", ".join(map(str, shapes))
            raise ShapeError(f"Ensemble: expected models with the same classes, got outputs of shapes {got}")
        return np.mean(votes, axis=0)

    def predict(self, x: Any, batch_size: int | None = None) -> Array:
        """Return the class of each row of `x`, shape (n,)."""
        return self.predict_proba(x, batch_size).argmax(axis=1)

    def evaluate(self, dataset: Dataset, batch_size: int | None = None) -> dict[str, float]:
        """Return the accuracy over the whole dataset."""
        check_dataset("Ensemble.evaluate", dataset)
        return {"accuracy": accuracy(self.predict(dataset.x, batch_size), dataset.y)}

    def _vote(self, i: int, x: Any, batch_size: int | None) -> Array:
        """Return the probabilities, or the vote, of model i for each row, shape (n, classes)."""
        model = self.models[i]
        outputs = model.finite_outputs(x, batch_size)
        labels = as_array("predictions", map_outputs(model.loss.predict, outputs))
        wide = outputs.ndim == 2 and outputs.shape[1] > 1
        if not wide or labels.shape != outputs.shape[:1] or labels.dtype.kind not in "iu":
            wanted = "one class per row, from outputs (n, classes >= 2)"
            got = f"{labels.dtype} {labels.shape} from outputs {outputs.shape} and {model.loss!r}"
            raise InputError(f"models[{i}]: expected predictions of {wanted}, got {got}")
        if self.vote == "majority":
            return np.eye(outputs.shape[1])[labels]
        return map_outputs(model.loss.probabilities, outputs)

    def __repr__(self) -> str:
        return f"Ensemble({counted(len(self.models), 'model')}, vote={self.vote!r})"
