"""A guess at why a gradient is wrong, from the pattern of its errors."""

from collections.abc import Iterator, Sequence

import numpy as np

from minidl._core.types import Array
from minidl.gradcheck.compared import Compared
from minidl.gradcheck.report import Finding, Verdict

_SHOWN = 4


def diagnose(
    name: str, tensor: Array, gradient: Array, indices: Sequence[tuple[int, ...]], entries: Compared
) -> Iterator[Finding]:
    """Yield a finding for each of the worst entries, the first with a guess at the cause.

    Parameters
    ----------
    name : str
        The tensor's.
    tensor, gradient : array
        The point, and the gradient that was checked.
    indices : sequence of tuple
        The entries that were compared, in the order of `entries`.
    entries : Compared
    """
    z = np.abs(entries.analytic - entries.numeric) / np.maximum(1e-300, entries.bar + entries.rounding)
    worst = [int(i) for i in np.argsort(-np.where(entries.wrong, z, -1.0), kind="stable") if entries.wrong[i]]
    guess = guess_cause(tensor, gradient, indices, entries)
    for rank, i in enumerate(worst[:_SHOWN]):
        a, n, bar = float(entries.analytic[i]), float(entries.numeric[i]), float(entries.bar[i])
        slope = f"the slope is {n:.10g} ± {bar:.1g}"
        if entries.low[i] < entries.high[i]:
            slope = f"at this kink the slopes are {entries.low[i]:.6g} and {entries.high[i]:.6g}"
        reason = f"the gradient is {a:.10g}, {slope}"
        if rank == 0 and guess:
            reason += f" ({guess})"
        yield Finding(Verdict.FAIL_VALUE, reason, name, indices[i], a, n, bar)
    if len(worst) > _SHOWN:
        yield Finding(Verdict.FAIL_VALUE, f"{len(worst)} of the {len(indices)} entries examined are wrong", name)


def guess_cause(tensor: Array, gradient: Array, indices: Sequence[tuple[int, ...]], entries: Compared) -> str:
    """Return the first explanation that fits every wrong entry, or "" if none does."""
    wrong = entries.wrong
    a, n, bar = entries.analytic, entries.numeric, entries.bar
    if not np.isfinite(a).all():
        return "it is not finite"
    at = np.array(indices).reshape(len(indices), tensor.ndim)
    complete = len(indices) == tensor.size
    clear = np.abs(n) > 100 * bar + 1e-9 * np.abs(n).max()
    if clear.any() and wrong[clear].all() and not wrong[~clear].any():
        ratio = a[clear] / n[clear]
        if np.ptp(ratio) <= 1e-6 * abs(ratio[0]) + (200 * bar[clear] / np.abs(n[clear])).max():
            return _factor(float(np.median(ratio)))
    sharp = 10 * bar.max() < 0.1 * np.abs(a - n).max()  # else anything would fit
    if complete and sharp:
        numeric = n.reshape(tensor.shape)
        near = 1e-3 * np.abs(a - n).max() + 10 * bar.max()
        if tensor.ndim == 2 and tensor.shape[0] == tensor.shape[1] and np.allclose(gradient, numeric.T, 0, near):
            return "it is the transpose of the right one"
        for axis in range(tensor.ndim):
            if tensor.shape[axis] > 1 and np.allclose(gradient, np.flip(numeric, axis), 0, near):
                return f"it is reversed along axis {axis}"
            difference = gradient - numeric
            if tensor.shape[axis] > 1 and np.allclose(difference, difference.mean(axis, keepdims=True), 0, near):
                return f"it is off by the same amount all along axis {axis}: is a mean or sum over it missing?"
    if wrong.sum() == 1 and len(wrong) > 2:
        return "no other entry examined is wrong"
    if not wrong.all():
        point = tensor[tuple(at.T)] if tensor.ndim else tensor.reshape(1)
        for condition, words in [(point < 0, "negative"), (point > 0, "positive"), (point == 0, "zero")]:
            if condition.any() and (wrong == condition).all():
                return f"it is wrong exactly where {'x' if tensor.ndim else 'it'} is {words}"
        for axis in range(tensor.ndim):
            rows = np.unique(at[wrong, axis])
            if len(rows) == 1 and tensor.shape[axis] > 1:
                which = (
                    "last" if rows[0] == tensor.shape[axis] - 1 else "first" if rows[0] == 0 else f"number {rows[0]}"
                )
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
