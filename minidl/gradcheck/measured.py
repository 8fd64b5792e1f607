"""A gradient and the slopes that were measured: which agree, which are wrong, which are at a kink."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from minidl._core.types import Array
from minidl.gradcheck.arrays import largest
from minidl.gradcheck.grid import Grid
from minidl.gradcheck.numerical import relative_error
from minidl.gradcheck.report import Finding, Verdict
from minidl.gradcheck.slopes import Line, Lines, Slopes, slopes_by_chunks, unit_of
from minidl.gradcheck.subjects import Part, Subject


class Compared(NamedTuple):
    """Gradients and measured slopes along lines: flat arrays of the same length.

    Attributes
    ----------
    lines : array of Line
        The lines.
    analytic, rounding : array
        The gradient that is checked, and its rounding error.
    numeric, bar : array
        The measured slope, and its error bar.
    low, high : array
        The smaller and the larger one-sided slope if they differ, else both `numeric`.
    """

    lines: Array
    analytic: Array
    rounding: Array
    numeric: Array
    bar: Array
    low: Array
    high: Array

    @property
    def margin(self) -> Array:
        """The difference that is allowed between gradient and slope."""
        return 4 * self.bar + self.rounding

    @property
    def wrong(self) -> Array:
        """Where the gradient is outside four bars around the slope, or around the one-sided slopes at a kink."""
        # "Not inside" instead of "outside", so that NaN counts as wrong.
        return ~((self.analytic >= self.low - self.margin) & (self.analytic <= self.high + self.margin))

    @property
    def hidden(self) -> Array:
        """The largest further error that could stay undetected, with a factor 6 for noise."""
        apart = np.where(self.kinked, self.high - self.low, np.abs(self.analytic - self.numeric))
        return np.asarray(self.rounding + 6 * (4 * self.bar + apart))

    @property
    def kinked(self) -> Array:
        """Where the one-sided slopes differ."""
        return self.low < self.high

    @property
    def at_clear_kink(self) -> Array:
        """Where the gradient is between one-sided slopes that clearly differ, so that the bars matter little."""
        clear = self.kinked & (self.high - self.low > 4 * self.bar)
        return clear & ~self.wrong & np.isfinite(self.bar)

    @property
    def significant(self) -> Array:
        """Where the slope exceeds its error bar."""
        return np.abs(self.numeric) > self.margin

    def at(self, places: Array) -> "Compared":
        """Return the part at these indices, as copies."""
        return Compared(*(part[places] for part in self))

    def replace_slopes(self, places: Array, other: "Compared", chosen: Array) -> None:
        """Replace the slopes and bars at these indices by the chosen ones of `other`."""
        for own, others in zip(self[3:], other[3:], strict=True):
            own[places] = others[chosen]

    def finding(self, name: str, i: int, reason: str) -> Finding:
        """Return the finding for line `i`, which belongs to the tensor of this name."""
        numbers = (float(part[i]) for part in (self.analytic, self.numeric, self.bar))
        return Finding(Verdict.FAIL_VALUE, reason, name, self.lines[i].entry, *numbers)

    def summary(self) -> dict[str, float]:
        """Return the number of entries with a unique and accurate slope, and the relative errors there."""
        smooth = ~self.kinked & (self.bar <= 1e-3 * np.abs(self.analytic).max(initial=0.0))
        errors = relative_error(self.analytic[smooth], self.numeric[smooth])
        mean, worst = (errors.mean(), errors.max()) if len(errors) else (np.nan, np.nan)
        return {"entries": len(errors), "mean_relative_error": float(mean), "max_relative_error": float(worst)}


def joined(parts: Iterable[Compared]) -> Compared:
    """Return all parts joined, in their order."""
    return Compared(*map(np.concatenate, zip([np.zeros(0)] * len(Compared._fields), *parts, strict=True)))


def project(gradient: Array, lines: Lines) -> Array:
    """Return the slope along each line that follows from `gradient`."""
    return np.array([(gradient * d).sum() if entry is None else gradient[entry] * d for _, entry, d, _ in lines])


def measure(subject: Subject, lines: Array, analytic: Array, rounding: Array, wanted: float) -> Compared:
    """Return the slopes of the weighted outputs along `lines`, together with `analytic`.

    Lines whose bars are at most `wanted` need no further steps.
    """
    found = np.sum([_measured(part, lines, Grid(), wanted, subject) for part in subject.parts()], axis=0)
    subject.tick(len(lines))
    return Compared(lines, analytic, rounding, *found[..., 0])


def measure_entries(
    subject: Subject, line: Line, analytic: Array, rounding: Array, wanted: float, grids: Iterable[Grid]
) -> Compared:
    """Return the slopes along all entries of the array of `line`, in their order; see `measure`, and `find_grid`."""
    tensor, found = line.array, np.zeros((4, line.array.size))
    for part, grid in zip(subject.parts(), grids, strict=True):
        # Entries that move together share a step, so their units are in the direction.
        places = list(grid.places(tensor.shape))
        directions = [unit_of(tensor[place]) if grid.axes else 1.0 for place in places]
        lines = [line._replace(entry=p, direction=d) for p, d in zip(places, directions, strict=True)]
        sums = _measured(part, np.fromiter(lines, object), grid, wanted, subject)
        found += (grid.in_place(sums, tensor.shape) / (unit_of(tensor) if grid.axes else 1.0)).reshape(4, -1)
    subject.tick(tensor.size)
    lines = [line._replace(entry=index) for index in np.ndindex(tensor.shape)]
    return Compared(np.fromiter(lines, object), analytic, rounding, *found)


def _measured(part: Part, lines: Array, grid: Grid, wanted: float, subject: Subject) -> Array:
    """Return the slope of the weighted outputs, its bar and the one-sided slopes: shape (4, lines, cells of `grid`)."""
    weights = np.abs(part.weights)

    def bars(found: Slopes) -> Array:
        # Ignore an output of weight 0: 0 times an infinite bar is NaN.
        bar = np.where(weights != 0, found.bar, 0.0) * weights
        return grid.summed(
            bar + (np.abs(found.value) + found.bar) * part.weights_bar if np.any(part.weights_bar) else bar
        )

    def is_sufficient(found: Slopes) -> Array:
        return np.asarray((bars(found) <= wanted).all(axis=1))

    measured = []
    # The numbers behind the outputs may be larger than the outputs.
    for found in slopes_by_chunks(part.outputs, lines, is_sufficient, largest(*subject.tensors.values()), part.ladder):
        # At a kink each output may take any slope between its one-sided ones, whatever the others take.
        ends = found.low * part.weights, found.high * part.weights
        ranges = found.value * part.weights, np.minimum(*ends), np.maximum(*ends)
        value, low, high = map(grid.summed, ranges)
        measured.append([value, bars(found), low, high])
    return np.concatenate(measured, axis=1)
