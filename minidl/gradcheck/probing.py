"""Helpers for all probes: calls into the code under test, their findings, and the state to restore.

*Purity* probes check what numerical derivatives need: calls agree, change only their own arrays and return finite
arrays. They stop at the first finding. *Behaviour* probes check other uses than one forward and one backward; each
gives at most one finding. Inputs are float64 arrays, and stay unchanged.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import NoReturn, TypeVar

import numpy as np

from minidl._core.types import Array
from minidl.gradcheck.report import Finding, Verdict
from minidl.nn.layers import Layer

T = TypeVar("T")
Errors = tuple[type[Exception], ...]
Arrays = dict[str, Array]
Call = Callable[[], object]
Probes = Iterable[Call]
Calls = Iterator[object]
"""Calls to other code between a forward and a backward; `next` makes the next one."""
ALONE: Calls = iter(())

SHARED = "instances share state, such as a class attribute: with calls to another instance in between"


class Broken(Exception):  # noqa: N818 - reports a broken rule, not an error of a call
    """Ends a probe with its finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


def fail(
    reason: str, tensor: str = "", index: tuple[int, ...] | None = None, verdict: Verdict = Verdict.FAIL_CONTRACT
) -> NoReturn:
    """End the probe with this finding."""
    raise Broken(Finding(verdict, reason, tensor, index))


def collect(probes: Probes) -> list[Finding]:
    """Run every probe, and return their findings."""
    findings: list[Finding] = []
    for probe in probes:
        try:
            probe()
        except Broken as broken:
            # Several probes start with the same call, so the same finding may come again.
            if broken.finding not in findings:
                findings.append(broken.finding)
    return findings


def attempt(label: str, call: Callable[[], T], let_through: Errors = ()) -> T:
    """Return the result of `call`; an exception ends the probe with a finding, unless it is in `let_through`."""
    try:
        return call()
    except Exception as error:
        if isinstance(error, (Broken, *let_through)):
            raise
        fail(f"{label} raised {describe_error(error)}")


def one_call(call: Call) -> Calls:
    """Make one call, between a forward and its backward."""
    yield call()


def one_pass(forward: Call, backward: Call) -> Calls:
    """Call forward, then backward, and ignore their errors; other probes report these."""
    with suppress(Exception):
        yield forward()
        yield backward()


def describe_error(error: Exception) -> str:
    """Return the class of an error and the beginning of its message."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message:.120}" if message else type(error).__name__


class Snapshot:
    """The state of a layer that a check must restore: parameters, buffers, random generators.

    Without `parameters`, only buffers and generators are restored: the state that a forward may change.
    """

    def __init__(self, layer: Layer, *, parameters: bool = True) -> None:
        self.layer = layer
        self.parameters = layer.named_parameters()
        self.buffers = layer.named_buffers()
        attributes = [value for _, part in layer.walk() for value in vars(part).values()]
        self.generators = [value for value in attributes if isinstance(value, np.random.Generator)]
        self.values = {path: parameter.value for path, parameter in self.parameters.items()}
        arrays = self.values | self.buffers if parameters else self.buffers
        self._arrays = {path: (array, array.copy()) for path, array in arrays.items()}
        self.states = [generator.bit_generator.state for generator in self.generators]

    def restore(self) -> None:
        """Restore everything, by copying into the same memory."""
        for array, saved in self._arrays.values():
            array[...] = saved
        for generator, state in zip(self.generators, self.states, strict=True):
            generator.bit_generator.state = state

    def reset(self) -> None:
        """Restore everything, and set all gradients to zero."""
        self.restore()
        for parameter in self.parameters.values():
            parameter.zero_grad()

    def run(self, when: str, x: Array, dy: Array, let_through: Errors = (), others: Calls = ALONE) -> Arrays:
        """Return copies of y, dx and gradients, computed from the saved state, with calls to others in between."""
        self.reset()
        y = attempt(f"{when}, forward", lambda: self.layer.forward(x, train=True), let_through)
        next(others, None)
        dx = attempt(f"{when}, backward", lambda: self.layer.backward(dy), let_through)
        next(others, None)
        # The layer may overwrite these arrays in its next training forward or backward.
        return {name: np.array(value) for name, value in ({"y": y, "dx": dx} | self.gradients()).items()}

    def gradients(self) -> Arrays:
        """Return the gradient arrays, by the names that findings use."""
        return {f"{path}.grad": parameter.grad for path, parameter in self.parameters.items()}

    def unchanged(self) -> list[str]:
        """Return the paths of the arrays that are unchanged to the bit."""
        return [path for path, (array, saved) in self._arrays.items() if array.tobytes() == saved.tobytes()]
