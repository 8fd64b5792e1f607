"""Model: the cost to minimise, and its exact gradient."""

import copy
import warnings
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from minidl._core.attributes import Uncallable
from minidl._core.checks import (
    as_array,
    as_count,
    as_dtype,
    as_float_dtype,
    check_finite,
    check_holds,
    check_returned,
    check_type,
    returned_float,
)
from minidl._core.errors import CheckpointError, InputError, NonFiniteError, ShapeError
from minidl._core.tables import escape
from minidl._core.types import Array, PathLike
from minidl._storage.tensors import read_tensors, write_tensors
from minidl.data.dataset import Dataset, check_dataset
from minidl.nn.arithmetic import quietly
from minidl.nn.batches import map_outputs, rows_at_a_time
from minidl.nn.blueprint import BLUEPRINT, blueprint, differences
from minidl.nn.ends import limited_outputs
from minidl.nn.layers import Layer
from minidl.nn.losses import Loss
from minidl.nn.losses.base import pairs_message
from minidl.nn.parameter import ByPath, Parameter
from minidl.nn.registration import check_registered
from minidl.nn.regularizers import Regularizer
from minidl.nn.summary import Summary, layers_as_html, parameter_count, summarize, takes


class Model(Uncallable):
    """A network, a loss and a regularizer: the cost ``J = mean loss over the batch + penalty``.

    The penalty is the sum of the regularizer over the penalized parameters. ``loss`` always means the data term alone,
    and ``cost`` the loss plus the penalty.

    Parameters
    ----------
    network : Layer
        Maps a batch to the outputs that the loss expects.
    loss : Loss
    regularizer : Regularizer or None

    Attributes
    ----------
    parameters : dict of str to Parameter
        By path, such as ``"0.weight"``.
    regularizer : Regularizer or None
        Can be replaced. To change the network, the loss or the dtype, create a new Model.
    dtype : dtype
        Of the first parameter; inputs of other dtypes are converted to it.

    Warns
    -----
    UserWarning
        If the loss expects logits, and the last layer (`Softmax`, `Sigmoid`, `ReLU`, ...) limits the outputs.

    Raises
    ------
    InputError
        If an argument has the wrong type, the network uses one layer twice, or a layer has a parameter or a layer as an
        attribute that is not registered, so it would not be trained.
    """

    dtype: np.dtype[Any]
    _replaceable = ("regularizer",)
    _written = "model.predict(x), or model.forward(x) for the outputs"
    _past: Any = None
    """Training history of the model, see `minidl.training.past`."""

    def __init__(self, network: Layer, loss: Loss, regularizer: Regularizer | None = None) -> None:
        hint = "the order is Model(network, loss)" if isinstance(network, Loss) else "for example Sequential(layer)"
        check_type("Model", "network", network, Layer, hint)
        check_type("Model", "loss", loss, Loss, "for example SoftmaxCrossEntropy()")
        _check_regularizer(regularizer)
        paths: dict[int, str] = {}
        for path, layer in network.walk():
            # A layer that is used twice could keep only one of its two inputs for backward.
            if id(layer) in paths:
                raise InputError(f"Model: {layer!r} is used at {paths[id(layer)]} and {path[:-1]!r}; create two layers")
            paths[id(layer)] = repr(path[:-1])
        check_registered(network, loss, regularizer)
        if limits := limited_outputs(network, loss):
            warnings.warn(f"Model: {limits}", stacklevel=3)
        self._network = network
        self.loss = loss
        self.regularizer = regularizer
        self._parameters = network.named_parameters()
        self.dtype = next((p.value.dtype for p in self.parameters.values()), np.dtype(np.float32))

    @property
    def network(self) -> Layer:
        """The network; to use another one, create a new Model."""
        return self._network

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The parameters of the network by path; their values change in place, as in ``p.value[...] = array``."""
        return ByPath(self._parameters)

    def check_parameters(self) -> None:
        """Raise an error if the network has parameters that training would not change.

        The trainer calls it before the first step: a forward may have created parameters, or attributes have changed.
        """
        _check_regularizer(self.regularizer)
        check_registered(self.network, self.loss, self.regularizer)
        now = self.network.named_parameters()
        for path in now | self._parameters:
            if now.get(path) is not self._parameters.get(path):
                hint = "register it in a constructor, before the Model is created"
                raise InputError(f"Model: parameter {path!r} is newer than the Model, so it is not trained; {hint}")

    @quietly
    def forward(self, x: Any, train: bool = False) -> Array:
        """Return the outputs for the batch `x`."""
        return self._forward(x, train)

    def _forward(self, x: Any, train: bool) -> Array:
        """Compute `forward` for callers that already silence warnings."""
        x = as_array("x", x)
        if x.dtype != self.dtype:
            x = as_dtype("x", x, self.dtype)
        return check_returned("forward", self._network.forward(x, train), of=self._network)

    def finite_outputs(self, x: Any, batch_size: int | None = None) -> Array:
        """Return the outputs for all rows of `x`; raise an error for NaN or infinity in x or the outputs.

        See `predict` for `batch_size`.
        """
        x = as_array("x", x)
        check_finite("x", x)
        check_holds("x", x, self.dtype)
        try:
            outputs = self._outputs(x, batch_size)
        except ShapeError as error:
            if not takes(self.network, x.shape):
                raise
            raise ShapeError(f"{error}; x looks like one row: keep the batch axis, as in x[:1]") from error
        check_finite("outputs", outputs)
        return outputs

    @quietly
    def predict(self, x: Any, batch_size: int | None = None) -> Array:
        """Return the prediction for each row of `x`: for a classifier its class, shape (n,).

        Parameters
        ----------
        x : array_like, shape (n, ...)
            Finite numbers. Without rows, the result has no rows.
        batch_size : int, optional
            Rows at a time, which limits the memory; as in a matrix product, it changes only the rounding. None is 2500
            flat rows, or 250 if a layer receives or returns images; fewer if the output of a layer is very large.
        """
        return map_outputs(self.loss.predict, self.finite_outputs(x, batch_size))

    @quietly
    def predict_proba(self, x: Any, batch_size: int | None = None) -> Array:
        """Return the probability of each class for each row of `x`, shape (n, classes); see `predict`."""
        return map_outputs(self.loss.probabilities, self.finite_outputs(x, batch_size))

    @quietly
    def penalty(self) -> float:
        """Return the regularizer's sum over the penalized parameters, 0 without one."""
        return self._penalty()

    def _penalty(self) -> float:
        penalty = 0.0
        if self.regularizer is not None:
            for parameter in self._parameters.values():
                if parameter.penalized:
                    value = self.regularizer.penalty(parameter.value)
                    penalty += value if type(value) is float else returned_float("penalty", value, of=self.regularizer)
        return penalty

    @quietly
    def compute_loss(self, x: Any, y: Any) -> float:
        """Return the mean loss of the batch."""
        return self._loss(x, self.forward(x), y)

    @quietly
    def compute_cost(self, x: Any, y: Any) -> float:
        """Return the mean loss of the batch plus the penalty."""
        return self.compute_loss(x, y) + self.penalty()

    @quietly
    def compute_gradients(self, x: Any, y: Any) -> tuple[float, float]:
        """Set every parameter's ``grad`` to the exact gradient of the cost, and return (cost, loss)."""
        for parameter in self._parameters.values():
            parameter.zero_grad()
        outputs = self._forward(x, train=True)
        loss = self._loss(x, outputs, y)
        try:
            d_outputs = check_returned("backward", self.loss.backward(), outputs.shape, of=self.loss)
        except ShapeError as error:
            if np.shape(y) != outputs.shape and (message := pairs_message(np.shape(y), outputs.shape)):
                raise ShapeError(f"{error}; {message}") from None
            raise
        self._network.backward_parameters(d_outputs)
        if self.regularizer is not None:
            for parameter in self._parameters.values():
                if parameter.penalized:
                    gradient = self.regularizer.gradient(parameter.value)
                    shape = parameter.value.shape
                    parameter.add_grad(check_returned("gradient", gradient, shape, of=self.regularizer))
        return loss + self._penalty(), loss

    @quietly
    def evaluate(self, dataset: Dataset, batch_size: int | None = None) -> dict[str, float]:
        """Return cost, loss and the loss's metrics (accuracy) over the whole dataset.

        Parameters
        ----------
        dataset : Dataset
            At least one row.
        batch_size : int, optional
            Rows at a time, which limits the memory; means are weighted by the rows, so it changes only the rounding.
            None is as in `predict`.
        """
        check_dataset("Model.evaluate", dataset)
        sums: dict[str, float] = {}
        row = 0
        for x, y in dataset.batches(self._batch_size(dataset.x, batch_size)):
            outputs = self.forward(as_dtype("x", x, self.dtype, row))
            row += len(x)
            means = {"loss": self._loss(x, outputs, y), **self.loss.metrics(outputs, y)}
            for name, mean in means.items():
                sums[name] = sums.get(name, 0.0) + mean * len(x)
        means = {name: total / len(dataset) for name, total in sums.items()}
        return {"cost": means["loss"] + self.penalty(), **means}

    def astype(self, dtype: DTypeLike) -> Self:
        """Return a deep copy that computes in `dtype`."""
        twin = copy.deepcopy(self, self.network.cast_memo(dtype))
        vars(twin)["dtype"] = as_float_dtype(dtype)
        return twin

    def summary(self, input_shape: int | tuple[int, ...] | None = None) -> Summary:
        """Return a table of the layers, for rows of x of `input_shape`, without running data. Print it.

        Parameters
        ----------
        input_shape : tuple of int, int, or None
            Of one row, without the batch axis; an int for flat rows. Optional if the first layer is a `Dense`, which
            has a fixed number of features.
        """
        return summarize(self.network, input_shape)

    def weights(self) -> dict[str, Array]:
        """Return copies of all parameter values and buffers by path; `set_weights` restores them.

        The copies are read-only, because changing them would not change the model.
        """
        copies = {path: array.copy() for path, array in self._arrays().items()}
        for array in copies.values():
            array.flags.writeable = False
        return ByPath(copies)

    def set_weights(self, weights: Mapping[str, Array]) -> None:
        """Set all parameters and buffers to these arrays; if one does not fit, nothing changes.

        Training can continue from them with any optimizer, without a warning.

        Raises
        ------
        CheckpointError
            If names or shapes differ from the model's, or a dtype is wider.
        """
        check_type("Model.set_weights", "weights", weights, Mapping, "pass a dict such as model.weights()")
        new = {name: as_array(f"set_weights: {name}", array) for name, array in weights.items()}
        self.check_weights(new, "set_weights")
        for name, array in self._arrays().items():
            array[...] = new[name]
        for parameter in self._parameters.values():
            parameter._past = None

    def save_weights(self, path: PathLike) -> None:
        """Write all parameters and buffers to one safetensors file, completely or not at all.

        The file also describes each layer as text, so that `load_weights` recognises another network.
        """
        write_tensors(path, self._arrays(), {BLUEPRINT: blueprint(self.network)})

    def load_weights(self, path: PathLike) -> None:
        """Set all parameters and buffers from a file or checkpoint; if one does not fit, nothing changes.

        Warns
        -----
        UserWarning
            If `save_weights` wrote the file for another network with the same shapes: its ReLU may be a Sigmoid here.

        Raises
        ------
        CheckpointError
            If the file is missing or damaged, or its names or shapes differ from the model's, or a dtype is wider.
        """
        tensors, texts = read_tensors(path, require_digest=False)
        # Names that begin with @ are other state of a checkpoint.
        weights = {name: array for name, array in tensors.items() if not name.startswith("@")}
        self.check_weights(weights, path)
        if BLUEPRINT in texts and (changes := differences(texts[BLUEPRINT], self.network)):
            more = f"; and {len(changes) - 3} more" if len(changes) > 3 else ""
            warnings.warn(
                f"{path}: these weights belong to another network of the same shapes: {'; '.join(changes[:3])}{more}. "
                "Build the network as in the file. If the change is intended, call save_weights again",
                stacklevel=2,
            )
        self.set_weights(weights)

    def check_weights(self, weights: Mapping[str, Array], source: PathLike) -> None:
        """Raise an error that names `source` if names, shapes or dtypes of `weights` do not fit this model."""
        arrays = self._arrays()
        faults = [f"missing {name!r}" for name in arrays if name not in weights]
        faults += [f"unexpected {name!r}" for name in weights if name not in arrays]
        both = [(name, weights[name], array) for name, array in arrays.items() if name in weights]
        shapes_fit = not faults and all(new.shape == own.shape for _, new, own in both)
        faults += [
            f"{name!r}: expected {own.shape} {own.dtype}, got {new.shape} {new.dtype}"
            for name, new, own in both
            if new.shape != own.shape or not np.can_cast(new.dtype, own.dtype)
        ]
        if faults:
            hint = ". Call model.astype(numpy.float64)" if shapes_fit else ". Load the file that belongs to this model"
            raise CheckpointError(f"{source}: not the weights of {self!r:.80}: {'; '.join(faults[:8])}{hint}")

    def _arrays(self) -> dict[str, Array]:
        """Return all parameter values and buffers by path."""
        return {path: p.value for path, p in self._parameters.items()} | self.network.named_buffers()

    def _outputs(self, x: Array, batch_size: int | None) -> Array:
        """Return the outputs for all rows of `x`, a batch at a time."""
        size = self._batch_size(x, batch_size)
        row = x.shape[1:]
        # Pass an x of the wrong shape whole, so that the error names its shape.
        misfit = not takes(self.network, row) and (not row or takes(self.network, x.shape))
        if misfit or len(x) <= size:
            return self.forward(x)
        first = self.forward(x[:size])
        # Copy into one array: an output may be a view of a much larger array, which a list would keep in memory.
        outputs = np.empty((len(x), *first.shape[1:]), first.dtype)
        for start in range(0, len(x), size):
            part = outputs[start : start + size]
            y = first if start == 0 else self.forward(as_dtype("x", x[start : start + size], self.dtype, start))
            part[...] = check_returned("forward", y, part.shape, of=self.network)
        return outputs

    def _batch_size(self, x: Array, given: int | None) -> int:
        """Return how many rows of `x` go through the network at a time."""
        return rows_at_a_time(self.network, x.shape) if given is None else as_count("batch_size", given)

    def _loss(self, x: Any, outputs: Array, y: Any) -> float:
        try:
            loss = self.loss.forward(outputs, y)
            return loss if type(loss) is float else returned_float("forward", loss, of=self.loss)
        except NonFiniteError:
            # If x is the cause, the error must name x.
            check_finite("x", as_array("x", x))
            raise

    def __repr__(self) -> str:
        regularizer = f", {self.regularizer!r}" if self.regularizer else ""
        return f"Model({self.network!r}, {self.loss!r}{regularizer})"

    def _repr_html_(self) -> str:
        sizes = [(p.value.size, p.trainable) for p in self.parameters.values()]
        count = parameter_count(sum(size for size, _ in sizes), sum(size for size, trainable in sizes if trainable))
        regularizer = f", regularizer {self.regularizer!r}" if self.regularizer else ""
        text = f"{count}, loss {self.loss!r}{regularizer}; call summary(input_shape) for the shapes"
        return f"{layers_as_html(self.network)}\n<p>{escape(text)}</p>"


def _check_regularizer(regularizer: Any) -> None:
    if regularizer is not None:
        check_type("Model", "regularizer", regularizer, Regularizer, "for example L2(0.1)")
