"""The rules of a contract one by one: each as a pytest test of its own, or as a row of a table."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple
from unittest import SkipTest

from minidl._core.errors import GradientCheckError, InputError
from minidl._core.spelling import check_known
from minidl._core.tables import text_table
from minidl.testing.contract import Contract, ContractError


def parametrize_checks(subjects: Iterable[Any], expected_failures: Mapping[str, str] | None = None) -> Any:
    """Decorate a pytest test that takes a `check` and calls it: one test for each rule of each contract.

    Parameters
    ----------
    subjects : iterable of callable or tuple
        Each is what its ``check_..._contract`` takes: `make` alone, or a tuple ``(make, *arguments)``. What `make`
        returns says which contract it is.
    expected_failures : dict of str to str, optional
        For a rule, or a test as ``"Class-rule"``, the reason why it is broken. Such a test is marked
        ``xfail(strict=True)``: it fails as soon as the rule is kept.

    Raises
    ------
    InputError
        If an argument is not as above.

    Examples
    --------
    >>> from minidl import SGD, Dense
    >>> @parametrize_checks([(lambda: Dense(3, 2, rng=0), 3), lambda: SGD(0.1)])
    ... def test_contract(check):
    ...     check()
    """
    import pytest

    contracts, expected = [_contract_of(subject) for subject in subjects], expected_failures or {}
    cases = [(contract, rule, f"{contract._name}-{rule}") for contract in contracts for rule in contract._rules()]
    for name in expected:
        check_known("expected_failures", "rule", name, dict.fromkeys(part for case in cases for part in case[1:]))
    tests = []
    for contract, rule, name in cases:
        reason = expected.get(name, expected.get(rule))
        marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
        tests.append(pytest.param(partial(contract._check_rule, rule), id=name, marks=marks))
    return pytest.mark.parametrize("check", tests)


class RuleResult(NamedTuple):
    """What came of a rule; `status` is "passed", "failed", "warned" or "skipped"."""

    rule: str
    status: str
    reason: str


class ContractReport(list[RuleResult]):
    """A `RuleResult` for each rule of a contract, in order; printed, it is a table."""

    def __repr__(self) -> str:
        return text_table(RuleResult._fields, [(*row[:2], " ".join(row.reason.split())[:150]) for row in self])


def contract_report(make: Callable[[], Any], *arguments: Any) -> ContractReport:
    """Check each rule of a contract and return what came of it; a broken rule raises nothing.

    Parameters
    ----------
    make, *arguments
        What the ``check_..._contract`` of the kind that `make` returns takes.

    Examples
    --------
    >>> from minidl import SGD, ConstantRate
    >>> contract_report(lambda: ConstantRate(0.1))
    rule                                   status  reason
    rates_are_finite_numbers_from_zero_up  passed
    same_step_same_rate                    passed
    """
    contract, report = _contract_of((make, *arguments)), ContractReport()
    for rule in contract._rules():
        status, reason = "passed", ""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                contract._check_rule(rule)
            except SkipTest as skipped:
                status, reason = "skipped", str(skipped)
            except (ContractError, GradientCheckError) as error:
                status, reason = "failed", str(error).partition(f"{rule!r}:")[2].strip()
        if caught and status == "passed":
            status, reason = "warned", str(caught[0].message)
        report.append(RuleResult(rule, status, reason))
    return report


def _contract_of(subject: Any) -> Contract:
    make, *arguments = subject if isinstance(subject, tuple) else (subject,)
    if not callable(make):
        raise InputError(f"checks: expected a function that returns a new object, got {make!r:.80}; write a lambda")
    kinds = {cls._kind: cls for cls in Contract.__subclasses__()}
    made = make()
    cls = next((cls for kind, cls in kinds.items() if isinstance(made, kind)), None)
    names = ", ".join(kind.__name__ for kind in kinds)
    if cls is None:
        raise InputError(f"checks: expected make to return one of {names}, got {made!r:.80}")
    try:
        return cls(make, *arguments)
    except TypeError as error:
        raise InputError(f"checks: a {cls._kind.__name__} takes what its check takes: {error}") from None
