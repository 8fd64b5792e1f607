"""Model: what is minimised, and its exact gradient."""

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
from minidl.nn.batches import of_outputs, rows_at_a_time
from minidl.nn.blueprint import BLUEPRINT, blueprint, differences
from minidl.nn.ends import limited_outputs
from minidl.nn.layers import Layer
from minidl.nn.losses import Loss
from minidl.nn.losses.base import said_of_pairs
from minidl.nn.parameter import ByPath, Parameter
from minidl.nn.registration import check_registered
from minidl.nn.regularizers import Regularizer
from minidl.nn.summary import Summary, layers_as_html, parameter_count, summarize, takes


class Model(Uncallable):
    """A network, a loss and a regularizer: the cost ``J = mean loss over the batch + penalty``.

    The penalty is the sum of the regularizer over the penalized parameters. ``loss`` always means the data term alone,
    ``cost`` the loss with the penalty.

    Parameters
    ----------
    network : Layer
        Maps a batch to the outputs that the loss takes.
    loss : Loss
    regularizer : Regularizer or None

    Attributes
    ----------
    parameters : dict of str to Parameter
        By path, such as ``"0.weight"``.
    regularizer : Regularizer or None
        May be assigned; another network, loss or dtype needs another Model.
    dtype : dtype
        Of the first parameter; inputs are cast to it (a copy where it differs).

    Warns
    -----
    UserWarning
        If the loss takes logits, and the last layer (`Softmax`, `Sigmoid`, `ReLU`, ...) limits the outputs.

    Raises
    ------
    InputError
        If an argument is not what its name says, a layer has two places in the network, or a layer keeps a parameter or
        a layer as an attribute alone, so that it is never trained.
    """

    dtype: np.dtype[Any]
    _replaceable = ("regularizer",)
    _written = "model.predict(x), or model.forward(x) for the outputs"
    _past: Any = None
    """What training remembers of it, see `minidl.training.past`."""

    def __init__(self, network: Layer, loss: Loss, regularizer: Regularizer | None = None) -> None:
        hint = "the order is Model(network, loss)" if isinstance(network, Loss) else "such as Sequential(layer, layer)"
        check_type("Model", "network", network, Layer, hint)
        check_type("Model", "loss", loss, Loss, "such as SoftmaxCrossEntropy()")
        _check_regularizer(regularizer)
        seen: dict[int, str] = {}
        for path, layer in network.walk():
            # A layer in two places could keep only one of its two inputs for backward.
            if id(layer) in seen:
                raise InputError(f"Model: {layer!r} stands at {seen[id(layer)]} and at {path[:-1]!r}; make two layers")
            seen[id(layer)] = repr(path[:-1])
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
        """The network; another one needs a model of its own."""
        return self._network

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The parameters of the network by path; their values change in place, as in ``p.value[...] = array``."""
        return ByPath(self._parameters)

    def check_parameters(self) -> None:
        """Refuse a network whose parameters are not those that training would change.

        The trainer asks this before the first step: a forward may have made parameters, attributes may have changed.
        """
        _check_regularizer(self.regularizer)
        check_registered(self.network, self.loss, self.regularizer)
        now = self.network.named_parameters()
        for path in now | self._parameters:
            if now.get(path) is not self._parameters.get(path):
                hint = "register it in a constructor, and make the Model after that"
                raise InputError(f"Model: parameter {path!r} was made after the Model, so it is untrained; {hint}")

    @quietly
    def forward(self, x: Any, train: bool = False) -> Array:
        """Return the outputs for the batch `x`."""
        return self._forward(x, train)

    def _forward(self, x: Any, train: bool) -> Array:
        """Do what `forward` does, where it is quiet already: in every step."""
        x = as_array("x", x)
        if x.dtype != self.dtype:
            x = as_dtype("x", x, self.dtype)
        return check_returned("forward", self._network.forward(x, train), of=self._network)

    def finite_outputs(self, x: Any, batch_size: int | None = None) -> Array:
        """Return the outputs for all rows of `x`, or refuse NaN and infinity in x or in the outputs.

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
            Finite; without rows the result has none either.
        batch_size : int, optional
            Rows at a time, which bounds the memory; as in a matrix product, it changes only the rounding. None is 2500
            flat rows, or 250 where a layer makes or takes images; fewer where the output of a layer is very large.
        """
        return of_outputs(self.loss.predict, self.finite_outputs(x, batch_size))

    @quietly
    def predict_proba(self, x: Any, batch_size: int | None = None) -> Array:
        """Return the probability of each class for each row of `x`, shape (n, classes); see `predict`."""
        return of_outputs(self.loss.probabilities, self.finite_outputs(x, batch_size))

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
            if np.shape(y) != outputs.shape and (said := said_of_pairs(np.shape(y), outputs.shape)):
                raise ShapeError(f"{error}; {said}") from None
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
            Rows at a time, which bounds the memory; means are weighted by the rows, so it changes only the rounding.
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
        """Return a table of the layers, for rows of x of `input_shape`, without running data; print it.

        Parameters
        ----------
        input_shape : tuple of int, int, or None
            Of one row, without the batch axis; an int is that of flat rows. May be left out where the first layer is a
            `Dense`, which has a fixed number of features.
        """
        return summarize(self.network, input_shape)

    def weights(self) -> dict[str, Array]:
        """Return copies of every parameter's value and every buffer by its path, which `set_weights` puts back.

        They are read-only, as a change of a copy would not reach the model.
        """
        copies = {path: array.copy() for path, array in self._arrays().items()}
        for array in copies.values():
            array.flags.writeable = False
        return ByPath(copies)

    def set_weights(self, weights: Mapping[str, Array]) -> None:
        """Set all parameters and buffers to these arrays; if they do not all fit, nothing changes.

        Whatever they have been trained on, training begins from them without a warning.

        Raises
        ------
        CheckpointError
            If names or shapes are other ones than those of `weights`, or a dtype is wider.
        """
        check_type("Model.set_weights", "weights", weights, Mapping, "such as model.weights() returns")
        new = {name: as_array(f"set_weights: {name}", array) for name, array in weights.items()}
        self.check_weights(new, "set_weights")
        for name, array in self._arrays().items():
            array[...] = new[name]
        for parameter in self._parameters.values():
            parameter._past = None

    def save_weights(self, path: PathLike) -> None:
        """Write all parameters and buffers to one safetensors file, whole or not at all.

        Beside them stands in words how each layer is made, so that `load_weights` can tell another network.
        """
        write_tensors(path, self._arrays(), {BLUEPRINT: blueprint(self.network)})

    def load_weights(self, path: PathLike) -> None:
        """Set all parameters and buffers to those of a file, a checkpoint too; if they do not all fit, nothing changes.

        Warns
        -----
        UserWarning
            If `save_weights` wrote the file for another network, of the same shapes: a ReLU may be a Sigmoid here.

        Raises
        ------
        CheckpointError
            If the file is missing or damaged, or has other names, shapes or a wider dtype than this model.
        """
        tensors, texts = read_tensors(path, require_digest=False)
        # What begins with @ is the state that a checkpoint has besides.
        found = {name: array for name, array in tensors.items() if not name.startswith("@")}
        self.check_weights(found, path)
        if BLUEPRINT in texts and (unlike := differences(texts[BLUEPRINT], self.network)):
            more = f"; and {len(unlike) - 3} more" if len(unlike) > 3 else ""
            warnings.warn(
                f"{path}: these weights are of another network of the same shapes: {'; '.join(unlike[:3])}{more}. "
                "Build the network as in the file; if you mean it, call save_weights again with this one",
                stacklevel=2,
            )
        self.set_weights(found)

    def check_weights(self, found: Mapping[str, Array], source: PathLike) -> None:
        """Refuse arrays that are not those of `weights` in name, shape and dtype; the error blames `source`."""
        weights = self._arrays()
        faults = [f"no {name!r}" for name in weights if name not in found]
        faults += [f"a {name!r} that the model has not" for name in found if name not in weights]
        both = [(name, found[name], array) for name, array in weights.items() if name in found]
        shapes_fit = not faults and all(new.shape == own.shape for _, new, own in both)
        faults += [
            f"{name!r} of {new.shape} {new.dtype} where the model has {own.shape} {own.dtype}"
            for name, new, own in both
            if new.shape != own.shape or not np.can_cast(new.dtype, own.dtype)
        ]
        if faults:
            hint = "; none is rounded: load them into model.astype(numpy.float64)" if shapes_fit else ""
            raise CheckpointError(f"{source}: not the weights of {self!r:.80}: it has {'; '.join(faults[:8])}{hint}")

    def _arrays(self) -> dict[str, Array]:
        """Return every parameter's value and every buffer by its path."""
        return {path: p.value for path, p in self._parameters.items()} | self.network.named_buffers()

    def _outputs(self, x: Array, batch_size: int | None) -> Array:
        """Return the outputs for all rows of `x`, a batch at a time."""
        size = self._batch_size(x, batch_size)
        row = x.shape[1:]
        # Not cut, so that the refusal names the shape that x has.
        refused = not takes(self.network, row) and (not row or takes(self.network, x.shape))
        if refused or len(x) <= size:
            return self.forward(x)
        first = self.forward(x[:size])
        # Written to one array: an output may be a view of much more memory, which a list of them would keep.
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
            # If x is the reason, the error should say so.
            check_finite("x", as_array("x", x))
            raise

    def __repr__(self) -> str:
        regularizer = f", {self.regularizer!r}" if self.regularizer else ""
        return f"Model({self.network!r}, {self.loss!r}{regularizer})"

    def _repr_html_(self) -> str:
        sizes = [(p.value.size, p.trainable) for p in self.parameters.values()]
        count = parameter_count(sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained))
        regularizer = f", regularizer {self.regularizer!r}" if self.regularizer else ""
        text = f"{count}, loss {self.loss!r}{regularizer}; summary(input_shape) tells the shapes"
        return f"{layers_as_html(self.network)}\n<p>{escape(text)}</p>"


def _check_regularizer(regularizer: Any) -> None:
    if regularizer is not None:
        check_type("Model", "regularizer", regularizer, Regularizer, "such as L2(0.1)")
