"""What may be the cause of a wrong gradient: a factor, a transpose, a missing mean, rows or signs that it concerns."""

from collections.abc import Iterator

import numpy as np

from minidl._core.types import Array
from minidl.gradcheck.measured import Compared
from minidl.gradcheck.report import Finding, Verdict

# Wrong entries that get a finding each.
_SHOWN = 4


def diagnose(name: str, gradient: Array, entries: Compared) -> Iterator[Finding]:
    """Yield a finding for each of the worst entries, the first with a guess at the cause.

    Parameters
    ----------
    name : str
        The tensor's.
    gradient : array
        What was checked.
    entries : Compared
    """
    excess = np.abs(entries.analytic - entries.numeric) / np.maximum(1e-300, entries.bar + entries.rounding)
    order = np.argsort(-np.where(entries.wrong, excess, -1.0), kind="stable")
    worst = order[entries.wrong[order]]
    cause = f" ({guess})" if (guess := _cause(gradient, entries)) else ""
    for i in worst[:_SHOWN]:
        slope = f"the slope is {entries.numeric[i]:.10g} ± {entries.bar[i]:.1g}"
        if entries.kinked[i]:
            slope = f"at this kink the slopes are {entries.low[i]:.6g} and {entries.high[i]:.6g}"
        yield entries.finding(name, i, f"the gradient is {entries.analytic[i]:.10g}, {slope}{cause}")
        cause = ""
    if len(worst) > _SHOWN:
        yield Finding(Verdict.FAIL_VALUE, f"{len(worst)} of the {len(order)} entries examined are wrong", name)


def _cause(gradient: Array, entries: Compared) -> str:
    """Return the first explanation that fits every wrong entry, or "" if none does."""
    wrong = entries.wrong
    a, n, bar = entries.analytic, entries.numeric, entries.bar
    tensor = entries.lines[0].array
    at = np.array([line.entry for line in entries.lines]).reshape(len(wrong), tensor.ndim)
    axes = [axis for axis in range(tensor.ndim) if tensor.shape[axis] > 1]
    clear = np.abs(n) > 100 * bar + 1e-9 * np.abs(n).max()
    if clear.any() and wrong[clear].all() and not wrong[~clear].any():
        ratio = a[clear] / n[clear]
        if np.ptp(ratio) <= 1e-6 * abs(ratio[0]) + (200 * bar[clear] / np.abs(n[clear])).max():
            return _factor(float(np.median(ratio)))
    # With larger bars anything would fit.
    sharp = 10 * bar.max() < 0.1 * np.abs(a - n).max()
    if len(wrong) == tensor.size and sharp:
        numeric = n.reshape(tensor.shape)
        near = 1e-3 * np.abs(a - n).max() + 10 * bar.max()
        if tensor.ndim == 2 and tensor.shape == tensor.shape[::-1] and np.allclose(gradient, numeric.T, 0, near):
            return "it is the transpose of the right one"
        difference = gradient - numeric
        for axis in axes:
            if np.allclose(gradient, np.flip(numeric, axis), 0, near):
                return f"it is reversed along axis {axis}"
            if np.allclose(difference, difference.mean(axis, keepdims=True), 0, near):
                return f"it is off by the same amount all along axis {axis}: is a mean or sum over it missing?"
    if wrong.sum() == 1 and len(wrong) > 2:
        return "no other entry examined is wrong"
    if not wrong.all():
        point = tensor[tuple(at.T)]
        for condition, words in [(point < 0, "negative"), (point > 0, "positive"), (point == 0, "zero")]:
            if condition.any() and (wrong == condition).all():
                return f"it is wrong exactly where x is {words}"
        for axis in axes:
            rows = np.unique(at[wrong, axis])
            if len(rows) == 1:
                which = {0: "first", tensor.shape[axis] - 1: "last"}.get(int(rows[0]), f"number {rows[0]}")
                return f"only the {which} of axis {axis} is wrong"
    return ""


def _factor(ratio: float) -> str:
    if abs(ratio) < 1e-9:
        return "it is zero: is a term, or the whole gradient, missing?"
    if abs(ratio + 1) < 1e-6:
        return "the sign is wrong"
    share = round(1 / abs(ratio))
    if share > 1 and abs(abs(ratio * share) - 1) < 1e-6:
        sign = "-" if ratio < 0 else ""
        return f"all of it by the factor {sign}1/{share}: is a mean taken where a sum is meant?"
    if abs(ratio - 1) < 1e-3:
        return f"all of it by the factor 1 {'+' if ratio > 1 else '-'} {abs(ratio - 1):.2g}"
    if abs(ratio - round(ratio)) < 1e-6 * abs(ratio):
        more = ": added twice?" if round(ratio) == 2 else ": is a mean missing?" if ratio > 2 else ""
        return f"all of it by the factor {round(ratio)}{more}"
    return f"all of it by the factor {ratio:.9g}"
