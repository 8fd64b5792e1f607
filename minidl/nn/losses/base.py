"""Loss: what every loss is, and what all classifiers' losses share."""

from abc import ABC, abstractmethod
from typing import Any

from minidl._core.checks import as_array, as_labels
from minidl._core.errors import InputError, ShapeError
from minidl._core.reprs import constructor_call
from minidl._core.types import Array
from minidl.nn.losses.common import check_logits
from minidl.nn.memory import ForwardMemory
from minidl.nn.metrics import accuracy


class Loss(ForwardMemory, ABC):
    """The data term of the cost: the mean over the batch of each row's loss."""

    @abstractmethod
    def forward(self, outputs: Array, targets: Any) -> float:
        """Return the batch mean of the loss, and `keep` what `backward` needs."""

    @abstractmethod
    def backward(self) -> Array:
        """Return the gradient of the last `forward` with respect to its outputs, of their shape and dtype."""

    def check_targets(self, targets: Any, output_shape: tuple[int, ...]) -> Array:
        """Return `targets` as an array, or refuse them if they cannot go with outputs of `output_shape`.

        The trainer asks this of whole sets before the first step; any targets will do unless overridden.
        """
        return as_array("targets", targets)

    def predict(self, outputs: Array) -> Array:
        """Return what the outputs predict: the outputs themselves, unless a loss means something else by them."""
        return outputs

    def probabilities(self, outputs: Array) -> Array:
        """Return the probabilities that the outputs stand for."""
        raise InputError(f"{self!r}: its outputs stand for no probabilities")

    def metrics(self, outputs: Array, targets: Any) -> dict[str, float]:
        """Return further means over the rows, by name, for the history; none unless overridden."""
        return {}

    def __repr__(self) -> str:
        return constructor_call(self)


class ClassLoss(Loss):
    """A loss of scores, shape (n, classes), whose targets are integer class labels, shape (n,)."""

    def check_targets(self, targets: Any, output_shape: tuple[int, ...]) -> Array:
        """Return `targets` as an array of labels, one a row, each the number of an output."""
        if len(output_shape) != 2:
            raise ShapeError(f"{self!r}: expected outputs of shape (n, classes), got {output_shape}")
        return as_labels(self, "targets", targets, *output_shape)

    def predict(self, outputs: Array) -> Array:
        """Return the class of the largest output of each row, shape (n,); the first of equal ones."""
        check_logits(outputs)  # refuses what is no batch of scores
        labels: Array = outputs.argmax(axis=1)
        return labels

    def metrics(self, outputs: Array, targets: Any) -> dict[str, float]:
        """Return the accuracy."""
        return {"accuracy": accuracy(self.predict(outputs), targets)}
