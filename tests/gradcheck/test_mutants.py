"""The gradient checker against known bugs: each gets the verdict it deserves, and what is right passes."""

import re
from functools import cache

import pytest
from mutants import TABLE
from planted import LOOKALIKES, MUTANTS

from minidl import Verdict


@cache
def report_of(m):
    return m.check()


def each(mutants):
    return pytest.mark.parametrize("m", mutants, ids=lambda m: m.name)


@each(MUTANTS)
def test_a_bug_is_caught_for_what_it_is(m):
    report = report_of(m)
    assert report.verdict in m.verdicts, str(report)
    assert not report.ok
    assert not report
    if report.verdict is not Verdict.VACUOUS:
        assert report.findings[0].verdict is report.verdict
    if report.verdict is Verdict.FAIL_VALUE:
        assert m.tensor in {finding.tensor for finding in report.findings}
    assert any(re.search(m.says, str(finding)) for finding in report.findings) or not m.says, str(report)


@each(LOOKALIKES)
def test_what_only_looks_like_a_bug_passes(m):
    report = report_of(m)
    assert report.verdict in m.verdicts, str(report)
    assert report.ok
    assert report.findings == [] or report.verdict is Verdict.PASS_SUBGRADIENT


def test_names_are_unique_and_verdicts_fit_the_list():
    names = [m.name for m in MUTANTS + LOOKALIKES]
    assert len(set(names)) == len(names)
    assert all(v.ok for m in LOOKALIKES for v in m.verdicts)


def test_the_kept_table_is_that_of_today():
    rows = [re.split(r" (?<!\\)\| ", line[2:])[:4] for line in TABLE.read_text(encoding="utf-8").splitlines()]
    kept = [(row[0], row[1], row[2].replace("\\|", "|"), row[3]) for row in rows if len(row) == 4 and row[0].isdigit()]
    settled = MUTANTS + LOOKALIKES
    today = [(str(m.number), m.name, m.what, report_of(m).verdict.name) for m in settled]
    assert kept == today, "renew it with: python tests/support/mutants.py"
