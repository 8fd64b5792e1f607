"""A gradient beside the slopes that were measured: what agrees, what is wrong, what is at a kink."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from minidl._core.types import Array
from minidl.gradcheck.slopes import Line, slopes
from minidl.gradcheck.subjects import Subject


@dataclass
class Compared:
    """What was compared with what, flat arrays of one length.

    Attributes
    ----------
    analytic, rounding : array
        The gradient that is checked, and how far rounding may have moved it.
    numeric, bar : array
        The measured slope, and its error bar.
    low, high : array
        The one-sided slopes in order where they differ, else both `numeric`.
    """

    analytic: Array
    numeric: Array
    bar: Array
    low: Array
    high: Array
    rounding: Array

    @property
    def wrong(self) -> Array:
        """Where the gradient is outside four bars around the slope, or around the one-sided slopes at a kink."""
        margin = 4 * self.bar + self.rounding
        outside: Array = ~((self.analytic >= self.low - margin) & (self.analytic <= self.high + margin))
        return outside  # "not inside", so that NaN counts as wrong

    @property
    def kinked(self) -> Array:
        """Where the one-sided slopes differ."""
        kinked: Array = self.low < self.high
        return kinked

    @property
    def settled(self) -> Array:
        """Where the gradient lies between one-sided slopes that differ: then it matters little how sharp they are."""
        inside: Array = self.kinked & (self.analytic >= self.low) & (self.analytic <= self.high)
        return inside & np.isfinite(self.bar)

    @property
    def seen(self) -> Array:
        """Where there is a slope that stands out of its bar."""
        seen: Array = np.abs(self.numeric) > 4 * self.bar + self.rounding
        return seen

    def at(self, places: Array) -> "Compared":
        """Return the part of it at these indices, as copies."""
        return Compared(*(getattr(self, field.name)[places] for field in fields(self)))

    def put(self, places: Array, other: "Compared", chosen: Array) -> None:
        """Take the slopes, and what belongs to them, of the chosen ones of `other` at these indices."""
        for name in ("numeric", "bar", "low", "high"):
            getattr(self, name)[places] = getattr(other, name)[chosen]

    def relative_errors(self) -> Array:
        """Return ``|ga - gn| / max(1e-6, |ga| + |gn|)`` where there is no kink, and so one right number."""
        a, n = self.analytic[~self.kinked], self.numeric[~self.kinked]
        errors: Array = np.abs(a - n) / np.maximum(1e-6, np.abs(a) + np.abs(n))
        return errors


def project(gradient: Array, lines: Sequence[Line]) -> Array:
    """Return the slope along each line that `gradient` claims."""
    return np.array(
        [
            (gradient * direction).sum() if index is None else gradient[index] * direction
            for _, index, direction in lines
        ]
    )


def measure(
    subject: Subject, lines: Sequence[Line], analytic: Array, rounding: Array, first_step: float, wanted: float
) -> Compared:
    """Return the slopes of the weighted outputs along `lines` beside `analytic`; see `slopes` for the steps."""
    weights = subject.upstream
    found = slopes(subject.outputs, lines, wanted=wanted, first_step=first_step, least=subject.largest())
    bar = np.where(weights != 0, found.bar, 0.0) @ np.abs(weights)  # 0 * infinity is no number
    if np.any(subject.upstream_bar):
        bar = bar + (np.abs(found.value) + found.bar) @ subject.upstream_bar
    # At a kink each output may take any slope between its one-sided ones, whatever the others take.
    ends = found.low * weights, found.high * weights
    return Compared(
        analytic=analytic,
        numeric=found.value @ weights,
        bar=bar,
        low=np.minimum(*ends).sum(axis=1),
        high=np.maximum(*ends).sum(axis=1),
        rounding=rounding,
    )
