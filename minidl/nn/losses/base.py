"""Loss: the base class of all losses, and of losses with numbers as targets."""

import copy
import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from minidl._core.checks import as_array, check_finite
from minidl._core.errors import InputError, ShapeError
from minidl._core.reprs import constructor_call
from minidl._core.types import Array
from minidl.nn.parameter import ForwardMemory


class Loss(ForwardMemory, ABC):
    """The data term of the cost: the mean over the batch of each row's loss.

    A loss that compares rows of a batch with each other is not such a mean; set its ``batch_independent = False``. Its
    value depends on which rows share a batch. `Model.evaluate` and the history then contain the mean of the batch
    losses, weighted by their rows, which changes with the batch size.
    """

    _written = "loss.forward(outputs, targets)"
    _overridable = ("check_targets", "predict", "probabilities", "metrics")

    takes_logits = False
    """Whether outputs are logits or scores. These may be any numbers, so the last layer must not limit them."""
    batch_independent = True
    """Whether the loss is the mean of the losses of single rows. Set it to False if rows affect each other."""

    @abstractmethod
    def forward(self, outputs: Array, targets: Any) -> float:
        """Return the batch mean of the loss, and `keep` what `backward` needs."""

    @abstractmethod
    def backward(self) -> Array:
        """Return the gradient of the last `forward` with respect to its outputs.

        It has the shape and dtype of the outputs.
        """

    def check_targets(self, targets: Any, output_shape: tuple[int, ...]) -> Array:
        """Return `targets` as an array, or raise an error if they do not fit outputs of `output_shape`.

        The trainer calls it for whole datasets before the first step. By default, all targets are accepted.
        """
        return as_array("targets", targets)

    def predict(self, outputs: Array) -> Array:
        """Return the predictions for these outputs: by default, the outputs themselves."""
        return outputs

    def probabilities(self, outputs: Array) -> Array:
        """Return the probabilities for these outputs."""
        raise InputError(f"{self!r}: this loss has no probabilities; call predict")

    def metrics(self, outputs: Array, targets: Any) -> dict[str, float]:
        """Return more means over the rows, by name, for the history; by default none."""
        return {}

    __repr__ = constructor_call


def broadcast_by(loss: Loss, targets: Array, output_shape: tuple[int, ...]) -> str:
    """Return a message if `loss` compares each output with every target, as NumPy does with shapes (n, 1) and (n,).

    Only a test shows this. A copy of the loss gets a few rows: each row alone, and all of them with targets of both
    shapes.
    """
    message = pairs_message(targets.shape, output_shape)
    if not message:
        return ""
    # Rows with equal targets would hide the fault.
    rows = np.unique(targets, return_index=True)[1][:4]
    z, flat = np.linspace(0.1, 0.9, len(rows)).reshape(len(rows), *output_shape[1:]), targets[rows].reshape(-1)
    given, other = (flat, flat[:, None]) if targets.ndim == 1 else (flat[:, None], flat)
    twin = copy.deepcopy(loss)
    try:
        alone = [float(twin.forward(z[i : i + 1], given[i : i + 1])) for i in range(len(rows))]
        together, as_other = float(twin.forward(z, given)), float(twin.forward(z, other))
    except Exception:
        # The loss itself raises this error for targets that it does not accept.
        return ""
    totals = [total for total in (sum(alone), sum(alone) / len(alone)) if math.isclose(total, as_other, rel_tol=1e-6)]
    return message if totals and not any(math.isclose(total, together, rel_tol=1e-6) for total in totals) else ""


def pairs_message(targets: tuple[int, ...], outputs: tuple[int, ...]) -> str:
    """Return a message if arrays of these shapes, one number per row, would be broadcast to pairs; else ""."""
    n = outputs[0]
    if not {targets, outputs} <= {(n,), (n, 1)}:
        return ""
    way = "targets[:, None]" if len(targets) == 1 else "targets[:, 0]"
    pairs = f"the loss compares each output (shape {outputs}) with every target (shape {targets})"
    return f"{pairs}, because NumPy broadcasts these shapes. Pass {way}, or make both shapes equal in the loss"


class NumberLoss(Loss):
    """A loss of numbers, shape (n, ...), with numbers of the same shape as targets."""

    def check_targets(self, targets: Any, output_shape: tuple[int, ...]) -> Array:
        """Return `targets` as an array of finite numbers, one for each output."""
        array = as_array("targets", targets)
        # Broadcasting (n,) against (n, 1) would compare every pair.
        if array.shape != output_shape:
            hint = ""
            if output_shape == (*array.shape, 1):
                hint = f"; add a last axis: {'targets[:, None]' if array.ndim == 1 else 'targets[..., None]'}"
            elif array.ndim == 1 and len(output_shape) == 2 and len(array) == output_shape[0]:
                hint = "; for one target per row, end the network with Dense(..., 1), and pass targets[:, None]"
            elif array.shape == (*output_shape, 1):
                hint = "; drop the last axis: targets[..., 0]"
            raise ShapeError(f"{self!r}: expected targets of shape {output_shape}, got {array.shape}{hint}")
        check_finite("targets", array)
        return array
