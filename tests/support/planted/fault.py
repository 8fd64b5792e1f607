"""What a planted fault is, and how a class is declared as one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from minidl import Verdict, gradcheck

PASS, PASS_SUBGRADIENT = Verdict.PASS, Verdict.PASS_SUBGRADIENT
FAIL_VALUE, FAIL_CONTRACT = Verdict.FAIL_VALUE, Verdict.FAIL_CONTRACT
NONDETERMINISTIC, STATE_CHANGED, VACUOUS = Verdict.NONDETERMINISTIC, Verdict.STATE_CHANGED, Verdict.VACUOUS


@dataclass(frozen=True)
class Fault:
    """A subject for one of the `check_...` functions, with the verdicts that it may get.

    `number` is the one in the list of classic backward bugs, `kind` the check ("layer" for `check_layer`, ...), `make`
    returns the subject and the other arguments of that check, `tensor` is what a FAIL_VALUE must name, and `says` a
    pattern for one of the findings. With a verdict that is ok, it only looks like a fault.
    """

    number: int
    name: str
    what: str
    kind: str
    make: Callable[[], tuple[Any, ...]]
    verdicts: tuple[Verdict, ...] = (FAIL_VALUE,)
    tensor: str = ""
    says: str = ""

    def check(self):
        """Return the checker's report."""
        return getattr(gradcheck, f"check_{self.kind}")(*self.make())


FAULTS: list[Fault] = []


def plant(number, name, what, kind, make, *verdicts, tensor="", says=""):
    """Add a fault to the list; without a verdict it must get FAIL_VALUE."""
    FAULTS.append(Fault(number, name, what, kind, make, verdicts or (FAIL_VALUE,), tensor, says))


@dataclass(frozen=True)
class After:
    """An override that goes through the right method: ``edit(self, result, *arguments)`` is what it returns."""

    edit: Callable[..., Any]

    def of(self, right):
        def method(subject, *arguments, **options):
            result = right(subject, *arguments, **options)
            return self.edit(subject, result, *arguments, *options.values())

        return method


def on_kept(formula):
    """Return a backward: `formula` of dy, which a loss does not get, and of what forward kept."""
    return lambda subject, *dy: formula(*dy, *subject.kept())


@dataclass(frozen=True)
class Family:
    """Faults that are checked alike: ``arguments(cls, **options)`` are those of the check.

    Called with a number and a text, it is a decorator of a faulty class; `row` makes the class, of a right one and the
    methods that are overridden, by functions or by `After`.
    """

    kind: str
    arguments: Callable[..., tuple[Any, ...]]
    tensor: str = "x"

    def __call__(self, number, what, *verdicts, tensor=None, says="", **options):
        def add(cls):
            make = partial(self.arguments, cls, **options)
            named = self.tensor if tensor is None else tensor
            plant(number, cls.__name__, what, self.kind, make, *verdicts, tensor=named, says=says)
            return cls

        return add

    def row(self, number, name, what, right, overridden, *verdicts, **options):
        parts = {m: part.of(getattr(right, m)) if isinstance(part, After) else part for m, part in overridden.items()}
        self(number, what, *verdicts, **options)(type(name, (right,), parts))
