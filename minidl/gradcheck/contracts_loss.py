"""Contract probes of losses and regularizers; see `minidl.gradcheck.contracts`."""

from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from minidl._core.checks import as_array
from minidl._core.errors import InputError, MinidlError
from minidl._core.types import Array
from minidl.gradcheck.contracts_common import (
    check_array,
    check_close,
    check_float,
    check_refused,
    check_same,
    check_unchanged,
    largest,
    layouts,
    take_rows,
)
from minidl.gradcheck.guard import attempt, collect, fail
from minidl.gradcheck.report import Finding
from minidl.nn.losses import Loss
from minidl.nn.regularizers import Regularizer


def purity_of_loss(loss: Loss, outputs: Array, targets: Any) -> list[Finding]:
    """Return the first rule that `loss` breaks in plain use: empty, or one finding."""
    return collect(lambda: _LossProbes(loss, outputs, targets).purity())


def behaviour_of_loss(loss: Loss, outputs: Array, targets: Any) -> list[Finding]:
    """Return what `loss` breaks in uses out of the ordinary."""
    subject = _LossProbes(loss, outputs, targets)
    return collect(
        subject.consumes,
        subject.last_forward_counts,
        subject.predictions_between,
        subject.memory_layouts,
        subject.other_order,  # before batches of other sizes, which may renew what is wrongly kept
        subject.empty_batch,
        subject.mean_of_parts,
    )


def purity_of_regularizer(regularizer: Regularizer, w: Array) -> list[Finding]:
    """Return the first rule that `regularizer` breaks in plain use: empty, or one finding."""

    def probe() -> None:
        given = w.copy()
        penalty, again = (check_float("penalty", attempt("penalty", lambda: regularizer.penalty(given))) for _ in "ab")
        check_unchanged("penalty", "w", given, w)
        check_same("penalty", "the penalty", np.array(penalty), np.array(again))
        if penalty < 0:
            fail(f"penalty must be at least 0 and is {penalty:.12g}")
        first, second = (attempt("gradient", lambda: regularizer.gradient(given)) for _ in "ab")
        check_unchanged("gradient", "w", given, w)
        for gradient in (first, second):
            check_array("gradient", "the gradient", gradient, w.shape, w.dtype)
        check_same("gradient", "the gradient", first, second)
        if np.shares_memory(first, given) or np.shares_memory(first, second):
            fail("gradient must return a new array, and returned w or memory that it returned before")

    return collect(probe)


def behaviour_of_regularizer(regularizer: Regularizer, w: Array) -> list[Finding]:
    """Return what `regularizer` breaks in uses out of the ordinary."""

    def memory_layouts() -> None:
        penalty, gradient = regularizer.penalty(w.copy()), regularizer.gradient(w.copy())
        for layout, laid in layouts(w).items():
            when = f"with w {layout}"
            laid_penalty = attempt(f"{when}, penalty", partial(regularizer.penalty, laid))
            check_close(when, "the penalty", np.array(laid_penalty), np.array(penalty), largest(w))
            laid_gradient = attempt(f"{when}, gradient", partial(regularizer.gradient, laid))
            check_close(when, "the gradient", np.asarray(laid_gradient), gradient, largest(w))

    def empty_weight() -> None:
        empty = w[:0]
        try:
            gradient = regularizer.gradient(empty)
        except Exception:  # a mean or a largest of nothing: refused loudly, however it is called
            return
        if np.shape(gradient) != empty.shape:
            fail(f"with an empty w of shape {empty.shape}, the gradient has shape {np.shape(gradient)}")

    return collect(memory_layouts, empty_weight) if w.ndim else []


class _LossProbes:
    def __init__(self, loss: Loss, outputs: Array, targets: Any) -> None:
        self.loss = loss
        self.outputs = outputs
        self.targets = targets
        with suppress(InputError):  # a loss may take targets that are no array; they are not then taken apart
            self.targets = as_array("targets", targets)

    def run(
        self, outputs: Array, targets: Any, when: str = "", let_through: tuple[type[Exception], ...] = ()
    ) -> tuple[Array, Array]:
        """Return the loss as an array, and a copy of its gradient."""
        value = attempt(f"{when}forward", lambda: self.loss.forward(outputs, targets), let_through)
        gradient = attempt(f"{when}backward", lambda: np.array(self.loss.backward()))
        return np.array(check_float(f"{when}forward", value)), gradient

    def plain(self) -> tuple[Array, Array]:
        return self.run(self.outputs.copy(), self.targets)

    def purity(self) -> None:
        given, targets = self.outputs.copy(), self.targets
        watched = [("outputs", given, self.outputs)]
        if isinstance(targets, np.ndarray):
            targets = targets.copy()
            watched.append(("targets", targets, self.targets))
        results = []
        for _ in range(2):
            # These are the loss's own word about outputs and targets, and so for the caller.
            value = attempt("forward", lambda: self.loss.forward(given, targets), (MinidlError,))
            value = check_float("forward", value)
            for name, now, before in watched:
                check_unchanged("forward", name, now, before)
            gradient = attempt("backward", self.loss.backward)
            check_array("backward", "d outputs", gradient, given.shape, given.dtype)
            for name, now, before in watched:
                check_unchanged("backward", name, now, before)
                if np.shares_memory(gradient, now):
                    fail(f"backward returned a view of {name}, which are the caller's; return a new array", name)
            results.append((np.array(value), gradient.copy()))
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
        attempt("forward", lambda: self.loss.forward(given, self.targets))
        attempt("predict", lambda: self.loss.predict(given))
        attempt("metrics", lambda: self.loss.metrics(given, self.targets))
        with suppress(MinidlError):  # not every loss has them
            attempt("probabilities", lambda: self.loss.probabilities(given), (MinidlError,))
        check_unchanged("predict, metrics or probabilities", "outputs", given, self.outputs)
        gradient = attempt("with predictions between, backward", self.loss.backward)
        self.compare("with predictions between forward and backward", (want[0], np.asarray(gradient)), want)

    def memory_layouts(self) -> None:
        want = self.plain()
        for layout, laid in layouts(self.outputs).items():
            when = f"with outputs {layout}"
            self.compare(when, self.run(laid, self.targets, f"{when}, "), want)

    def other_order(self) -> None:
        if self._by_rows():
            loss, gradient = self.plain()
            when = "with the rows in reverse order"
            got = self.run(self.outputs[::-1].copy(), self.targets[::-1].copy(), f"{when}, ")
            self.compare(when, got, (loss, gradient[::-1]))

    def empty_batch(self) -> None:
        if not self._by_rows():
            return
        empty = self.outputs[:0]
        try:
            self.loss.forward(empty, self.targets[:0])
            gradient = self.loss.backward()
        except Exception:  # there is no mean of nothing: refused loudly, however it is called
            return
        if np.shape(gradient) != empty.shape:
            fail(f"with an empty batch of shape {empty.shape}, backward returned shape {np.shape(gradient)}")

    def mean_of_parts(self) -> None:
        """The loss is a mean over rows, so parts weigh as many rows as they have."""
        if not self._by_rows():
            return
        rows = max(2, len(self.outputs))
        z, t = take_rows(self.outputs, rows), take_rows(self.targets, rows)
        parts = (slice(None), slice(1), slice(1, None))
        try:
            whole, head, tail = (self.run(z[p], t[p], "with part of a batch, ", (MinidlError,)) for p in parts)
        except MinidlError:
            return
        of_head, of_tail = 1 / rows, 1 - 1 / rows
        loss = np.array(of_head * head[0] + of_tail * tail[0])
        gradient = np.concatenate([of_head * head[1], of_tail * tail[1]])
        self.compare("against the mean of its rows", whole, (loss, gradient))

    def _by_rows(self) -> bool:
        return isinstance(self.targets, np.ndarray) and np.shape(self.targets)[:1] == self.outputs.shape[:1]
