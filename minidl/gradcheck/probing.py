"""What all probes share: calls into the code under test, their findings, the state that is put back.

*Purity* is what numerical derivatives rest on: calls agree, change nothing that is not theirs, return finite arrays.
It ends at the first finding. *Behaviour* is how a subject answers other uses than one forward and one backward: each
probe gives at most one finding. What is handed in is a float64 array, and left as it was found.
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
"""Calls of something else, each made by `next`."""
ALONE: Calls = iter(())

SHARED = "state is shared by instances, as in a class attribute: with another instance called in turn"


class Broken(Exception):  # noqa: N818 - a rule is broken, no call went wrong
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
    """Run every probe, and return the finding of each that ends with one."""
    found: list[Finding] = []
    for probe in probes:
        try:
            probe()
        except Broken as broken:
            # Several probes start with the same call.
            if broken.finding not in found:
                found.append(broken.finding)
    return found


def attempt(label: str, call: Callable[[], T], let_through: Errors = ()) -> T:
    """Return what `call` returns; an exception that is not to be let through ends the probe in its own words."""
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
    """Call one and then the other; how a copy takes its batch is for other probes."""
    with suppress(Exception):
        yield forward()
        yield backward()


def describe_error(error: Exception) -> str:
    """Return the kind of an error and the beginning of what it says."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words:.120}" if words else type(error).__name__


class Snapshot:
    """The state of a layer that a check must put back: parameters, buffers, random generators.

    Without `parameters`, only buffers and generators are put back: what a forward may change.
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
        """Put everything back, by copying into the same memory."""
        for array, saved in self._arrays.values():
            array[...] = saved
        for generator, state in zip(self.generators, self.states, strict=True):
            generator.bit_generator.state = state

    def reset(self) -> None:
        """Put everything back, and start with gradients of zero."""
        self.restore()
        for parameter in self.parameters.values():
            parameter.zero_grad()

    def run(self, when: str, x: Array, dy: Array, let_through: Errors = (), others: Calls = ALONE) -> Arrays:
        """Return copies of y, dx and gradients, from the state as it was found; the others take turns with it."""
        self.reset()
        y = attempt(f"{when}, forward", lambda: self.layer.forward(x, train=True), let_through)
        next(others, None)
        dx = attempt(f"{when}, backward", lambda: self.layer.backward(dy), let_through)
        next(others, None)
        # They are valid until the layer's next training forward and its next backward.
        return {name: np.array(value) for name, value in ({"y": y, "dx": dx} | self.gradients()).items()}

    def gradients(self) -> Arrays:
        """Return the arrays that gradients are added to, by the names that findings give them."""
        return {f"{path}.grad": parameter.grad for path, parameter in self.parameters.items()}

    def unchanged(self) -> list[str]:
        """Return the paths of what still has the bits that it had."""
        return [path for path, (array, saved) in self._arrays.items() if array.tobytes() == saved.tobytes()]
