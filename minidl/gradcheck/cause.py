"""Guess the cause of a wrong gradient: a factor, a transpose, a missing mean, certain rows or signs."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations
from math import prod

import numpy as np

from minidl._core.types import Array
from minidl.gradcheck.measured import Compared, measure, project
from minidl.gradcheck.report import Finding, Verdict
from minidl.gradcheck.subjects import Subject

# The number of wrong entries that each get a finding.
_MAX_FINDINGS = 4


def diagnose(subject: Subject, name: str, gradient: Array, entries: Compared) -> Iterator[Finding]:
    """Yield a finding for each of the worst entries; the first one has a guess at the cause.

    The check moves parameters before it compares. If the gradient is also wrong at the caller's values, the findings
    show the numbers for these.

    Parameters
    ----------
    subject : Subject
    name : str
        Name of the tensor.
    gradient : array
        The gradient that was checked.
    entries : Compared
    """
    excess = np.abs(entries.analytic - entries.numeric) / np.maximum(1e-300, entries.bar + entries.rounding)
    order = np.argsort(-np.where(entries.wrong, excess, -1.0), kind="stable")
    worst = order[entries.wrong[order]]
    shown, ratio, where = entries.at(worst[:_MAX_FINDINGS]), _ratio(entries), ""
    if subject.given:
        moved = subject.place(subject.given)
        claimed = project(subject.gradients()[name], shown.lines)
        given = measure(subject, shown.lines, claimed, shown.rounding, 1e-10 * np.abs(claimed).max())
        subject.place(moved)
        if given.wrong.any():
            shown, ratio = given.at(given.wrong), ratio and _ratio(given)
        else:
            where = "correct for these parameters, but wrong after they are changed by 1/64: "
            where += "does backward ignore a parameter, or use an old copy?"
    cause = " ".join(filter(None, (where, _cause(subject, gradient, entries, ratio))))
    for i, bar in enumerate(shown.bar):
        slope = f"expected {shown.numeric[i]:.10g} ± {bar:.1g}"
        if shown.kinked[i]:
            slope = f"expected {shown.low[i]:.6g} to {shown.high[i]:.6g}, the slopes of both sides of this kink"
        cause = f" ({cause})" if cause else ""
        yield shown.finding(name, i, f"the gradient is {shown.analytic[i]:.10g}, {slope}{cause}")
        cause = ""
    if len(worst) > _MAX_FINDINGS:
        yield Finding(Verdict.FAIL_VALUE, f"{len(worst)} of the {len(order)} entries examined are wrong", name)


def _ratio(c: Compared) -> float | None:
    """Return the common factor of all wrong entries, None if there is none."""
    # A kink has two slopes, and so no factor.
    clear = (np.abs(c.numeric) > 100 * c.bar + 1e-9 * np.abs(c.numeric).max()) & ~c.kinked
    if not clear.any() or (c.wrong != clear).any():
        return None
    ratio = c.analytic[clear] / c.numeric[clear]
    slack = 1e-6 * abs(ratio[0]) + (200 * c.bar[clear] / np.abs(c.numeric[clear])).max()
    return float(np.median(ratio)) if np.ptp(ratio) <= slack else None


def _cause(subject: Subject, gradient: Array, entries: Compared, ratio: float | None) -> str:
    """Return the first explanation that fits every wrong entry, "" if none does."""
    wrong = entries.wrong
    a, n, bar = entries.analytic, entries.numeric, entries.bar
    tensor = entries.lines[0].array
    at = np.array([line.entry for line in entries.lines]).reshape(len(wrong), tensor.ndim)
    axes = [axis for axis in range(tensor.ndim) if tensor.shape[axis] > 1]
    if not entries.significant.any():
        return "forward is constant here; if it rounds and this gradient is intended, see surrogate-gradients.md"
    if ratio is not None:
        return _factor(ratio, subject)
    # With larger bars, every pattern would fit.
    sharp = 10 * bar.max() < 0.1 * np.abs(a - n).max()
    if len(wrong) == tensor.size and sharp:
        numeric = n.reshape(tensor.shape)
        near = 1e-3 * np.abs(a - n).max() + 10 * bar.max()
        if tensor.ndim == 2 and tensor.shape == tensor.shape[::-1] and np.allclose(gradient, numeric.T, 0, near):
            return "it is the transpose of the right gradient"
        difference = gradient - numeric
        for axis in axes:
            if np.allclose(gradient, np.flip(numeric, axis), 0, near):
                return f"it is reversed along axis {axis}"
            if np.allclose(difference, difference.mean(axis, keepdims=True), 0, near):
                centered = min(np.abs(g.mean(axis)).max() for g in (gradient, numeric)) < near
                also = ": is a mean over this axis missing or doubled?" if centered else ""
                return f"it is off by the same amount everywhere along axis {axis}{also}"
    if wrong.sum() == 1 and len(wrong) > 2:
        return "no other entry examined is wrong"
    if not wrong.all():
        point = tensor[tuple(at.T)]
        for condition, sign in [(point < 0, "negative"), (point > 0, "positive"), (point == 0, "zero")]:
            if condition.any() and (wrong == condition).all():
                return f"it is wrong exactly where x is {sign}"
        for axis in axes:
            rows = np.unique(at[wrong, axis])
            if len(rows) == 1:
                ends = {0: "the first index", tensor.shape[axis] - 1: "the last index"}
                return f"only {ends.get(int(rows[0]), f'index {rows[0]}')} of axis {axis} is wrong"
    return ""


def _factor(ratio: float, subject: Subject) -> str:
    size = abs(ratio)
    if size < 1e-9:
        return "it is zero: is a term or the whole gradient missing?"
    near = Fraction(size).limit_denominator(1000)
    number = str(near) if abs(near - size) < 1e-8 * size and near.numerator <= 1000 else f"{size:.9g}"
    if abs(size - 1) < 1e-3:
        number = f"1 {'+' if size > 1 else '-'} {abs(size - 1):.2g}"
    if ratio < 0:
        also = f", and there is a factor {number}; if this is intended, see surrogate-gradients.md"
        return "the sign is wrong" + (also if abs(size - 1) > 1e-6 else "")
    guesses = [(2.0, "is there an extra factor 2, or is the whole gradient counted twice")]
    guesses += [(0.5, "is a factor 2 of a square missing")]
    arrays = [array for array in (*vars(subject).values(), *subject.tensors.values()) if isinstance(array, np.ndarray)]
    for n in {prod(axes) for a in arrays for r in range(a.ndim) for axes in combinations(a.shape, r + 1)} - {0, 1}:
        guesses += [(float(n), "is a mean missing"), (1 / n, "is a mean used instead of a sum")]
        guesses += [((1 - 1 / n) ** p, "is n used for n - 1, or n - 1 for n") for p in (1, -1, 0.5, -0.5) if n > 2]
    causes = dict.fromkeys(cause for value, cause in guesses if abs(size - value) < 1e-6 * min(value, abs(value - 1)))
    return f"every entry is off by the factor {number}" + (f": {', or '.join(causes)}?" if causes else "")
