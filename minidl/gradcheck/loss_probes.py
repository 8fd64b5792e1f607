"""Contract probes of losses and regularizers; see `minidl.gradcheck.probing`."""

import copy
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from minidl._core.checks import as_array
from minidl._core.errors import InputError, MinidlError
from minidl._core.types import Array
from minidl.gradcheck import expect
from minidl.gradcheck.arrays import PARTS, largest, layouts, take_rows
from minidl.gradcheck.precision import Cast, agreement_in_float32, exactness
from minidl.gradcheck.probing import ALONE, SHARED, Arrays, Errors, Probes, Turns, attempt, fail, turns_of
from minidl.nn.losses import Loss
from minidl.nn.losses.base import broadcast_by
from minidl.nn.regularizers import Regularizer

_NO_MEAN = "if the loss is no mean over its rows, set batch_independent = False"


def purity_of_loss(loss: Loss, outputs: Array, targets: Any) -> None:
    """In plain use calls agree, change nothing of the caller's, and return new and finite numbers."""
    subject = _LossProbes(loss, outputs, targets)
    subject.plain_use()
    exactness(subject.results)


def behaviour_of_loss(loss: Loss, outputs: Array, targets: Any) -> Probes:
    """Return what `loss` is put to out of the ordinary."""
    subject = _LossProbes(loss, outputs, targets)
    # Before batches of other sizes, which may renew what is wrongly kept.
    by_rows = [subject.empty_batch]
    if loss.batch_independent:
        by_rows = [subject.other_order, subject.empty_batch, subject.mean_of_parts]
    return [
        subject.consumes,
        subject.last_forward_counts,
        subject.predictions_between,
        subject.memory_layouts,
        *(by_rows if subject.has_rows else ()),
        subject.in_float32,
    ]


def purity_of_regularizer(regularizer: Regularizer, w: Array) -> None:
    """In plain use calls agree, leave w alone, and return a penalty of at least 0 and a new gradient."""
    given = {"w": w.copy()}
    penalties = expect.untouched("penalty", lambda: [regularizer.penalty(given["w"]) for _ in range(2)], given)
    penalty, again = (_float("penalty", value) for value in penalties)
    expect.same("penalty", "the penalty", penalty, again)
    if penalty < 0:
        fail(f"penalty must be at least 0 and is {penalty:.12g}")
    calls: list[Callable[[], Any]] = [partial(regularizer.gradient, given["w"]), partial(regularizer.penalty, 0.75 * w)]
    first, _, second, _ = expect.untouched("gradient", lambda: [call() for call in 2 * calls], given)
    for gradient in (first, second):
        expect.array("gradient", "the gradient", gradient, w.shape, w.dtype)
    expect.same("gradient", "the gradient", first, second, "; between them was the penalty of another w")
    if np.shares_memory(first, given["w"]) or np.shares_memory(first, second):
        fail("gradient must return a new array, and returned w or memory that it returned before")
    exactness(partial(_results_of_regularizer, regularizer, w))


def behaviour_of_regularizer(regularizer: Regularizer, w: Array) -> Probes:
    """Return what `regularizer` is put to out of the ordinary."""

    def memory_layouts() -> None:
        for name, call in (("penalty", regularizer.penalty), ("gradient", regularizer.gradient)):
            plain = np.asarray(call(w.copy()))
            for layout, laid in layouts(w).items():
                got = attempt(f"with w {layout}, {name}", partial(call, laid))
                expect.close(f"with w {layout}", f"the {name}", got, plain, largest(w))

    empty_weight = partial(_check_empty, "w", "the gradient has shape", regularizer.gradient, w)
    # A penalty or gradient may be of any size.
    results, size = partial(_results_of_regularizer, regularizer, w), 0.0
    in_float32 = partial(agreement_in_float32, results, np.random.default_rng(0), size)
    return [memory_layouts, empty_weight, in_float32] if w.ndim else [in_float32]


def _results_of_regularizer(regularizer: Regularizer, w: Array, cast: Cast) -> Arrays:
    w = cast(w)
    # A penalty is a float of Python, whatever w is.
    penalty = np.array(regularizer.penalty(w), w.dtype)
    return {"the penalty": penalty, "the gradient": np.asarray(regularizer.gradient(w))}


def _check_empty(what: str, returned: str, gradient_of: Callable[[Array], Any], given: Array) -> None:
    """End the probe if the gradient of nothing is not of the shape of nothing."""
    empty = given[:0]
    try:
        shape = np.shape(gradient_of(empty))
    except Exception:
        # There is no mean or largest of nothing: it is refused loudly, however that is called.
        return
    if shape != empty.shape:
        fail(f"with an empty {what} of shape {empty.shape}, {returned} {shape}")


def _float(what: str, value: Any) -> Array:
    """Return `value` as an array without axes, or end the probe unless it is a finite float."""
    if not isinstance(value, float):
        fail(f"{what} must return a float and returned {type(value).__name__}")
    if not np.isfinite(value):
        fail(f"{what} returned {value} for finite numbers")
    return np.array(float(value))


class _LossProbes:
    def __init__(self, loss: Loss, outputs: Array, targets: Any) -> None:
        self.loss = loss
        self.outputs = outputs
        self.targets = targets
        # A loss may take targets that are no array; they are not taken apart then.
        with suppress(InputError):
            self.targets = as_array("targets", targets)
        self.has_rows = isinstance(self.targets, np.ndarray) and np.shape(self.targets)[:1] == outputs.shape[:1]

    def run(
        self, outputs: Array, targets: Any, when: str = "", let_through: Errors = (), others: Turns = ALONE
    ) -> tuple[Array, Array]:
        """Return the loss as an array, and a copy of its gradient; the others take turns with it."""
        value = attempt(f"{when}forward", lambda: self.loss.forward(outputs, targets), let_through)
        next(others, None)
        gradient = attempt(f"{when}backward", self.loss.backward)
        next(others, None)
        return _float(f"{when}forward", value), np.array(gradient)

    def plain(self) -> tuple[Array, Array]:
        return self.run(self.outputs.copy(), self.targets)

    def plain_use(self) -> None:
        given, targets = self.outputs.copy(), self.targets
        if isinstance(targets, np.ndarray) and (said := broadcast_by(self.loss, targets, given.shape)):
            fail(said, "targets")
        watched = {"outputs": given}
        if isinstance(targets, np.ndarray):
            watched["targets"] = targets = targets.copy()
        results, forward = [], partial(self.loss.forward, given, targets)
        for _ in range(2):
            # A MinidlError is the loss's own word about outputs and targets, and so for the caller.
            number = _float("forward", expect.untouched("forward", forward, watched, let_through=(MinidlError,)))
            gradient = expect.untouched("backward", self.loss.backward, watched)
            expect.array("backward", "d outputs", gradient, given.shape, given.dtype)
            for name, array in watched.items():
                if np.shares_memory(gradient, array):
                    fail(f"backward returned a view of {name}, which are the caller's; return a new array", name)
            results.append((number, gradient.copy()))
        for call, name, *numbers in zip(("forward", "backward"), ("the loss", "d outputs"), *results, strict=True):
            expect.same(call, name, *numbers)
        self.beside_another(-0.75 * given[::-1], targets)
        if self.has_rows:
            self.beside_another(*(take_rows(a, len(given) + 1) for a in (given, targets)))

    def beside_another(self, outputs: Array, targets: Any) -> None:
        """Compare with plain use while a copy of the loss takes other outputs."""
        other = copy.deepcopy(self.loss)
        turns = turns_of(partial(other.forward, outputs, targets), other.backward)
        self.compare(SHARED, self.run(self.outputs.copy(), self.targets, f"{SHARED}, ", others=turns), self.plain())

    def consumes(self) -> None:
        self.plain()
        expect.refused("a second backward after one forward", self.loss.backward)

    def compare(self, when: str, got: tuple[Array, Array], want: tuple[Array, Array], hint: str = "") -> None:
        scale = largest(self.outputs, *want)
        expect.close(when, "the loss", got[0], want[0], scale, hint)
        expect.close(when, "d outputs", got[1], want[1], scale / len(self.outputs), hint)

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

        calls = (expect.untouched("predict, metrics or probabilities", predict, {"outputs": given}) for _ in "1")
        when = "with predictions between forward and backward"
        self.compare(when, self.run(given, self.targets, f"{when}, ", others=calls), want)

    def memory_layouts(self) -> None:
        want, given = self.plain(), {"outputs": self.outputs, "targets": self.targets}
        for name in ("outputs", "targets")[: 1 + self.has_rows]:
            for layout, laid in layouts(given[name]).items():
                when = f"with {name} {layout}"
                self.compare(when, self.run(**given | {name: laid}, when=f"{when}, "), want)

    def other_order(self) -> None:
        loss, gradient = self.plain()
        when = "with the rows in reverse order"
        got = self.run(self.outputs[::-1].copy(), self.targets[::-1].copy(), f"{when}, ")
        self.compare(when, got, (loss, gradient[::-1]), f"; {_NO_MEAN}")

    def empty_batch(self) -> None:
        _check_empty("batch", "backward returned shape", lambda z: self.run(z, self.targets[:0])[1], self.outputs)

    def results(self, cast: Cast) -> Arrays:
        z = cast(self.outputs)
        # A loss is a float of Python, whatever the outputs are.
        value = np.array(self.loss.forward(z, self.targets), z.dtype)
        return {"the loss": value, "d outputs": np.asarray(self.loss.backward())}

    def in_float32(self) -> None:
        # A probability near 1 is rounded as 1 is.
        agreement_in_float32(self.results, np.random.default_rng(0), 1.0)

    def mean_of_parts(self) -> None:
        """The loss is a mean over rows, so parts weigh as many rows as they have."""
        rows = max(2, len(self.outputs))
        z, t = take_rows(self.outputs, rows), take_rows(self.targets, rows)
        of_head, of_tail = 1 / rows, 1 - 1 / rows
        with suppress(MinidlError):
            when = f"with part of a batch ({_NO_MEAN}), "
            whole, head, tail = (self.run(z[part], t[part], when, (MinidlError,)) for part in PARTS)
            gradient = np.concatenate([of_head * head[1], of_tail * tail[1]])
            want = of_head * head[0] + of_tail * tail[0], gradient
            self.compare("against the mean of its rows", whole, want, f"; {_NO_MEAN}")
