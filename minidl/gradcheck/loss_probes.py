"""Contract probes of losses and regularizers; see `minidl.gradcheck.probing`."""

from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from minidl._core.checks import as_array
from minidl._core.errors import InputError, MinidlError
from minidl._core.types import Array
from minidl.gradcheck.probing import (
    Errors,
    attempt,
    check_array,
    check_close,
    check_empty,
    check_float,
    check_refused,
    check_same,
    collect,
    fail,
    largest,
    layouts,
    take_rows,
    watch,
)
from minidl.gradcheck.report import Finding
from minidl.nn.losses import Loss
from minidl.nn.regularizers import Regularizer


def purity_of_loss(loss: Loss, outputs: Array, targets: Any) -> list[Finding]:
    """Return the first rule that `loss` breaks in plain use: empty, or one finding."""
    return collect(_LossProbes(loss, outputs, targets).plain_use)


def behaviour_of_loss(loss: Loss, outputs: Array, targets: Any) -> list[Finding]:
    """Return what `loss` breaks in uses out of the ordinary."""
    subject = _LossProbes(loss, outputs, targets)
    by_rows = (
        # Before batches of other sizes, which may renew what is wrongly kept.
        subject.other_order,
        subject.empty_batch,
        subject.mean_of_parts,
    )
    return collect(
        subject.consumes,
        subject.last_forward_counts,
        subject.predictions_between,
        subject.memory_layouts,
        *(by_rows if subject.has_rows else ()),
    )


def purity_of_regularizer(regularizer: Regularizer, w: Array) -> list[Finding]:
    """Return the first rule that `regularizer` breaks in plain use: empty, or one finding."""

    def plain_use() -> None:
        given = w.copy()
        penalties = watch("penalty", lambda: [regularizer.penalty(given) for _ in range(2)], {"w": given})
        penalty, again = (check_float("penalty", value) for value in penalties)
        check_same("penalty", "the penalty", penalty, again)
        if penalty < 0:
            fail(f"penalty must be at least 0 and is {penalty:.12g}")
        first, second = watch("gradient", lambda: [regularizer.gradient(given) for _ in range(2)], {"w": given})
        for gradient in (first, second):
            check_array("gradient", "the gradient", gradient, w.shape, w.dtype)
        check_same("gradient", "the gradient", first, second)
        if np.shares_memory(first, given) or np.shares_memory(first, second):
            fail("gradient must return a new array, and returned w or memory that it returned before")

    return collect(plain_use)


def behaviour_of_regularizer(regularizer: Regularizer, w: Array) -> list[Finding]:
    """Return what `regularizer` breaks in uses out of the ordinary."""

    def memory_layouts() -> None:
        penalty, gradient = regularizer.penalty(w.copy()), regularizer.gradient(w.copy())
        for layout, laid in layouts(w).items():
            when = f"with w {layout}"
            laid_penalty = attempt(f"{when}, penalty", partial(regularizer.penalty, laid))
            check_close(when, "the penalty", laid_penalty, np.array(penalty), largest(w))
            laid_gradient = attempt(f"{when}, gradient", partial(regularizer.gradient, laid))
            check_close(when, "the gradient", laid_gradient, gradient, largest(w))

    def empty_weight() -> None:
        empty = w[:0]
        check_empty("w", "the gradient has shape", lambda: regularizer.gradient(empty), empty.shape)

    return collect(memory_layouts, empty_weight) if w.ndim else []


def loss_keeps_single_precision(loss: Loss, outputs: Array, targets: Any) -> list[Finding]:
    """Return whether the gradient is float32 where the outputs are."""

    def gradient() -> Array:
        loss.forward(outputs.astype(np.float32), targets)
        return loss.backward()

    return collect(lambda: _check_single(attempt("in float32, forward or backward", gradient)))


def regularizer_keeps_single_precision(regularizer: Regularizer, w: Array) -> list[Finding]:
    """Return whether the gradient is float32 where the weight is."""
    single = w.astype(np.float32)
    return collect(lambda: _check_single(attempt("in float32, gradient", lambda: regularizer.gradient(single))))


def _check_single(gradient: Array) -> None:
    if gradient.dtype != np.float32:
        fail(f"with float32 numbers the gradient is {gradient.dtype}, not float32")


class _LossProbes:
    def __init__(self, loss: Loss, outputs: Array, targets: Any) -> None:
        self.loss = loss
        self.outputs = outputs
        self.targets = targets
        # A loss may take targets that are no array; they are not taken apart then.
        with suppress(InputError):
            self.targets = as_array("targets", targets)
        self.has_rows = isinstance(self.targets, np.ndarray) and np.shape(self.targets)[:1] == outputs.shape[:1]

    def run(self, outputs: Array, targets: Any, when: str = "", let_through: Errors = ()) -> tuple[Array, Array]:
        """Return the loss as an array, and a copy of its gradient."""
        value = attempt(f"{when}forward", lambda: self.loss.forward(outputs, targets), let_through)
        gradient = attempt(f"{when}backward", lambda: np.array(self.loss.backward()))
        return check_float(f"{when}forward", value), gradient

    def plain(self) -> tuple[Array, Array]:
        return self.run(self.outputs.copy(), self.targets)

    def plain_use(self) -> None:
        given, targets = self.outputs.copy(), self.targets
        watched = {"outputs": given}
        if isinstance(targets, np.ndarray):
            watched["targets"] = targets = targets.copy()
        results = []
        for _ in range(2):
            # A MinidlError is the loss's own word about outputs and targets, and so for the caller.
            value = watch("forward", lambda: self.loss.forward(given, targets), watched, let_through=(MinidlError,))
            number = check_float("forward", value)
            gradient = watch("backward", self.loss.backward, watched)
            check_array("backward", "d outputs", gradient, given.shape, given.dtype)
            for name, array in watched.items():
                if np.shares_memory(gradient, array):
                    fail(f"backward returned a view of {name}, which are the caller's; return a new array", name)
            results.append((number, gradient.copy()))
        check_same("forward", "the loss", results[0][0], results[1][0])
        check_same("backward", "d outputs", results[0][1], results[1][1])

    def consumes(self) -> None:
        self.plain()
        check_refused("a second backward after one forward", self.loss.backward)

    def compare(self, when: str, got: tuple[Array, Array], want: tuple[Array, Array]) -> None:
        scale = largest(self.outputs, *want)
        check_close(when, "the loss", got[0], want[0], scale)
        check_close(when, "d outputs", got[1], want[1], scale / len(self.outputs))

    def last_forward_counts(self) -> None:
        want = self.plain()
        attempt("forward", lambda: self.loss.forward(np.flip(self.outputs).copy(), self.targets))
        self.compare("after two forwards, of which the second counts", self.plain(), want)

    def predictions_between(self) -> None:
        want = self.plain()
        given = self.outputs.copy()

        def predict() -> None:
            attempt("predict", lambda: self.loss.predict(given))
            attempt("metrics", lambda: self.loss.metrics(given, self.targets))
            # Not every loss has probabilities.
            with suppress(MinidlError):
                attempt("probabilities", lambda: self.loss.probabilities(given), (MinidlError,))

        attempt("forward", lambda: self.loss.forward(given, self.targets))
        watch("predict, metrics or probabilities", predict, {"outputs": given})
        gradient = attempt("with predictions between, backward", self.loss.backward)
        self.compare("with predictions between forward and backward", (want[0], gradient), want)

    def memory_layouts(self) -> None:
        want = self.plain()
        for layout, laid in layouts(self.outputs).items():
            when = f"with outputs {layout}"
            self.compare(when, self.run(laid, self.targets, f"{when}, "), want)

    def other_order(self) -> None:
        loss, gradient = self.plain()
        when = "with the rows in reverse order"
        got = self.run(self.outputs[::-1].copy(), self.targets[::-1].copy(), f"{when}, ")
        self.compare(when, got, (loss, gradient[::-1]))

    def empty_batch(self) -> None:
        empty = self.outputs[:0]

        def gradient() -> Array:
            self.loss.forward(empty, self.targets[:0])
            return self.loss.backward()

        check_empty("batch", "backward returned shape", gradient, empty.shape)

    def mean_of_parts(self) -> None:
        """The loss is a mean over rows, so parts weigh as many rows as they have."""
        rows = max(2, len(self.outputs))
        z, t = take_rows(self.outputs, rows), take_rows(self.targets, rows)
        parts = (slice(None), slice(1), slice(1, None))
        try:
            whole, head, tail = (self.run(z[p], t[p], "with part of a batch, ", (MinidlError,)) for p in parts)
        except MinidlError:
            return
        of_head, of_tail = 1 / rows, 1 - 1 / rows
        gradient = np.concatenate([of_head * head[1], of_tail * tail[1]])
        self.compare("against the mean of its rows", whole, (of_head * head[0] + of_tail * tail[0], gradient))
