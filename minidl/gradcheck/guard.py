"""Calls into the code under test: what goes wrong there becomes a finding, in a sentence."""

import warnings
from collections.abc import Callable
from typing import NoReturn, TypeVar

import numpy as np

from minidl.gradcheck.report import Finding, Verdict

T = TypeVar("T")


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


def collect(*probes: Callable[[], None]) -> list[Finding]:
    """Run every probe, and return the finding of each that ends with one."""
    found: list[Finding] = []
    # What is not finite is looked for in the results; an overflow on the way to a right one is no fault.
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for probe in probes:
            try:
                probe()
            except Broken as broken:
                if broken.finding not in found:  # what several probes start with
                    found.append(broken.finding)
    return found


def attempt(what: str, call: Callable[[], T], let_through: tuple[type[Exception], ...] = ()) -> T:
    """Return what `call` returns; an exception that is not to be let through ends the probe in its own words."""
    try:
        return call()
    except Exception as error:
        if isinstance(error, (Broken, *let_through)):
            raise
        fail(f"{what} raised {words_of(error)}")


def words_of(error: Exception) -> str:
    """Return the kind of an error and the beginning of what it says."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words:.120}" if words else type(error).__name__
