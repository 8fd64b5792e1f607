"""Check the rules of a contract one by one: each is a separate pytest test, or a row of a table."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from unittest import SkipTest

from minidl._core.attributes import is_function
from minidl._core.errors import GradientCheckError, InputError
from minidl._core.tables import text_table
from minidl.testing.contract import Contract, ContractError


def parametrize_checks(subjects: Iterable[Any], expected_failures: Mapping[str, str] | None = None) -> Any:
    """Decorate a pytest test that takes a `check` and calls it: it becomes one test per rule of each contract.

    Parameters
    ----------
    subjects : iterable of callable or tuple
        The arguments of each ``check_..._contract``: `make` alone, or a tuple ``(make, *arguments)``. The type that
        `make` returns determines the contract.
    expected_failures : dict of str to str, optional
        For a rule, or a test as ``"Class-rule"``, the reason why it is broken. Such a test is marked
        ``xfail(strict=True)``: it fails as soon as the rule holds.

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

    expected, tests = expected_failures or {}, []
    for contract in map(_contract_of, subjects):
        for rule in contract._rules():
            name = f"{contract._name}-{rule}"
            reason = expected.get(name, expected.get(rule))
            marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
            tests.append(pytest.param(partial(contract._check_rule, rule), id=name, marks=marks))
    return pytest.mark.parametrize("check", tests)


class ContractReport(list[tuple[str, str, str]]):
    """A list of tuples (rule, status, reason); the status is "passed", "failed", "warned" or "skipped"."""

    def __repr__(self) -> str:
        rows = [(rule, status, " ".join(reason.split())[:150]) for rule, status, reason in self]
        return text_table(("rule", "status", "reason"), rows)


def contract_report(make: Callable[[], Any], *arguments: Any) -> ContractReport:
    """Check each rule of a contract and return a table of the results; a broken rule raises nothing.

    Parameters
    ----------
    make, *arguments
        The arguments of the ``check_..._contract`` for the type that `make` returns.

    Examples
    --------
    >>> from minidl import SGD, ConstantRate
    >>> contract_report(lambda: ConstantRate(0.1))
    rule                               status  reason
    rates_are_finite_and_not_negative  passed
    same_step_same_rate                passed
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
        report.append((rule, status, reason))
    return report


def _contract_of(subject: Any) -> Contract:
    make, *arguments = subject if isinstance(subject, tuple) else (subject,)
    made = make() if is_function(make) else make
    for contract in Contract.__subclasses__():
        if isinstance(made, contract._kind):
            return contract(make, *arguments)
    kinds = ", ".join(contract._kind.__name__ for contract in Contract.__subclasses__())
    raise InputError(f"make: expected its result to be one of {kinds}, got {made!r:.80}")
