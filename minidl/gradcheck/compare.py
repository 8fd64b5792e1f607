"""Are the gradients right? Directions through whole tensors first; single entries of small ones, or on an alarm."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from minidl._core.types import Array
from minidl.gradcheck.arrays import first, index_of
from minidl.gradcheck.disagreement import Kind, diagnose, gradient_noise, judge, smallness
from minidl.gradcheck.measured import Compared, measure, project
from minidl.gradcheck.report import Finding, Verdict
from minidl.gradcheck.slopes import FIRST_STEP, Line, unit_of
from minidl.gradcheck.subjects import Subject

# Entries of a tensor that is checked entry by entry unless the caller says otherwise.
FEW = 256
# Of the largest slope: lines whose bars are below it take no further steps.
_WANTED = 1e-10
# Of the largest slope: a bar above it decides nothing.
_UNCERTAIN = 1e-4
# Entries that bisection looks for.
_SUSPECTS = 3
# Entries around them that are measured for the diagnosis.
_EXAMINED = 64


class Comparison:
    """The gradients of a subject against numerical derivatives.

    Attributes
    ----------
    findings : list of Finding
        Wrong entries, with a guess at the cause.
    """

    def __init__(self, subject: Subject, rng: np.random.Generator, few: float) -> None:
        self.subject = subject
        self.rng = rng
        self.findings: list[Finding] = []
        # By tensor: all that was compared; and of it single entries, where all were.
        self._measured: dict[str, Compared] = {}
        self._entries: dict[str, Compared] = {}
        self._resolution = 0.0
        self._still: list[str] = []
        self._undecided: list[str] = []
        self._unclear = self._only_here = 0
        gradients = subject.gradients()
        for name, tensor in subject.tensors.items():
            if tensor.size:
                self._tensor(name, tensor, gradients[name], tensor.size <= few)

    def _tensor(self, name: str, tensor: Array, gradient: Array, exhaustive: bool) -> None:
        finite = np.isfinite(gradient)
        if not finite.all():
            index = first(~finite)
            reason = f"the gradient is {gradient[index]}, not finite"
            self.findings.append(Finding(Verdict.FAIL_VALUE, reason, name, index, float(gradient[index])))
            return
        directions: list[Line] = [(tensor, None, direction) for direction in _directions(tensor, self.rng)]
        along = self._compare(name, directions, gradient)
        indices: list[tuple[int, ...]] = []
        if exhaustive:
            indices = list(np.ndindex(tensor.shape))
        elif along.wrong.any():
            suspects = self._bisect(tensor, gradient, directions[int(along.wrong.argmax())])
            others = self.rng.choice(tensor.size, min(tensor.size, _EXAMINED), replace=False)
            indices = list(dict.fromkeys([*suspects, *(index_of(i, tensor.shape) for i in others)]))
        single: list[Line] = [(tensor, index, 1.0) for index in indices]
        entries = self._compare(name, single, gradient) if single else Compared.joined([])
        if entries.wrong.any():
            self.findings += diagnose(name, tensor, gradient, indices, entries)
        elif along.wrong.any():
            self.findings.append(_direction_finding(name, along, int(along.wrong.argmax())))
        measured = self._measured[name] = Compared.joined([along, entries] if exhaustive else [along])
        if exhaustive:
            self._entries[name] = entries
        if _too_uncertain(measured, float(np.abs(self.subject.upstream).max(initial=0.0))):
            self._undecided.append(name)
        if measured.seen.any():
            sharpest = self._sharpest(name, [*directions, *single], measured)
            self._resolution = max(self._resolution, sharpest)
        else:
            self._still.append(name)

    def _sharpest(self, name: str, lines: list[Line], measured: Compared) -> float:
        """Return the smallest relative error of a whole tensor's gradient that would have been called wrong.

        The sharpest line decides. It is measured again, as everything that looks wrong is.
        """
        i = int(np.nanargmin(measured.margin / np.where(measured.seen, np.abs(measured.numeric), np.nan)))
        noise = self._noise[name] * _sizes(lines[i : i + 1])
        once = measured.at(np.array([i]))
        step = 0.75 * FIRST_STEP * smallness(lines[i][0])
        again = measure(self.subject, [lines[i]], once.analytic, np.maximum(once.rounding, noise), step, 0.0)
        margin = max(float((p.margin + np.abs(p.analytic - p.numeric))[0]) for p in (once, again))
        return margin / float(np.abs(once.numeric[0]))

    def _compare(self, name: str, lines: list[Line], gradient: Array, *, believe: bool = False) -> Compared:
        """Measure the slopes along `lines`; what is wrong is looked at again before it is believed.

        With other steps, since the noise of an output that is the small rest of large numbers may by luck not show in
        one ladder; down to the smallest, since a kink may hide behind a curvature until then; with the gradient's own
        rounding, which may be large for the same reason; and at the neighbours of the point.
        """
        analytic = project(gradient, lines)
        largest = 1e-12 * float(np.abs(gradient).max())
        rounding = np.array([1e-13 * np.abs(gradient * d).sum() if i is None else largest for _, i, d in lines])
        scale = float(np.abs(analytic[np.isfinite(analytic)]).max(initial=0.0))
        wanted = _WANTED * scale / max(1e-300, float(np.abs(self.subject.upstream).sum()))
        first_step = FIRST_STEP * smallness(lines[0][0])
        if believe:
            return measure(self.subject, lines, analytic, rounding, first_step, wanted)
        compared = self._measure_again(lines, analytic, rounding, first_step, wanted)
        if compared.wrong.any():
            compared.rounding = np.maximum(rounding, self._noise[name] * _sizes(lines))
        if compared.wrong.any():
            self._judge(name, lines, compared, first_step)
        return compared

    def _measure_again(
        self, lines: list[Line], analytic: Array, rounding: Array, first_step: float, wanted: float
    ) -> Compared:
        """Measure the slopes along `lines`, and those that look wrong twice more."""
        compared = measure(self.subject, lines, analytic, rounding, first_step, wanted)
        wrong = np.flatnonzero(compared.wrong)
        some = [lines[i] for i in wrong]
        for deepest in (wanted, -1.0) if some else ():
            again = measure(self.subject, some, analytic[wrong], rounding[wrong], 0.75 * first_step, deepest)
            right = ~again.wrong & (again.kinked if deepest < 0 else True)
            compared.put(wrong[right], again, right)
        return compared

    def _judge(self, name: str, lines: list[Line], compared: Compared, first_step: float) -> None:
        """Ask the neighbours of the point about what is wrong at it."""
        wrong = np.flatnonzero(compared.wrong)

        def at_present(lines: list[Line], analytic: Array, rounding: Array) -> Compared:
            return self._measure_again(lines, analytic, rounding, first_step, 0.0)

        kinds = judge(self.subject, name, [lines[i] for i in wrong], compared.at(wrong), at_present, self.rng)
        for i, kind in zip(wrong, kinds, strict=True):
            if kind is Kind.CHOICE:
                compared.low[i] = min(compared.low[i], compared.analytic[i])
                compared.high[i] = max(compared.high[i], compared.analytic[i])
            elif kind is Kind.UNCLEAR:
                compared.bar[i] = np.inf
        self._unclear += kinds.count(Kind.UNCLEAR)
        self._only_here += kinds.count(Kind.WRONG_HERE)

    @cached_property
    def _noise(self) -> dict[str, float]:
        return gradient_noise(self.subject, self.rng)

    def _bisect(self, tensor: Array, gradient: Array, alarm: Line) -> list[tuple[int, ...]]:
        """Return entries that make the slope along the line `alarm` differ, found by halving it."""
        found: list[tuple[int, ...]] = []
        waiting = [np.arange(tensor.size)]
        signs = (np.sign(alarm[2]) * unit_of(tensor)).reshape(-1)
        while waiting and len(found) < _SUSPECTS:
            entries = waiting.pop()
            if len(entries) == 1:
                found.append(index_of(int(entries[0]), tensor.shape))
                continue
            halves = np.array_split(entries, 2)
            lines: list[Line] = []
            for half in halves:
                mask = np.zeros(tensor.size)
                mask[half] = signs[half] * _unit(len(half))
                lines.append((tensor, None, mask.reshape(tensor.shape)))
            wrong = self._compare("", lines, gradient, believe=True).wrong
            waiting += [half for half, differs in zip(halves, wrong, strict=True) if differs]
        return found

    def outcome(self) -> tuple[Verdict, dict[str, Any]]:
        """Return what all comparisons together say, and the report's statistics."""
        measured = Compared.joined(self._measured.values())
        # Of single entries, where there are any: along a direction a gradient may cancel to nothing but rounding.
        errors = (Compared.joined(self._entries.values()) if self._entries else measured).summary()
        return self._verdict(measured), {
            "tensors": {name: entries.summary() for name, entries in self._entries.items()},
            "compared": len(measured.numeric),
            "nonzero": int((measured.numeric != 0).sum()),
            "max_relative_error": errors["max_relative_error"],
            "mean_relative_error": errors["mean_relative_error"],
            "resolution": self._resolution or float("inf"),
            "notes": self._notes(),
        }

    def _verdict(self, measured: Compared) -> Verdict:
        if self.findings:
            return Verdict.FAIL_VALUE
        if not measured.numeric.any() and not measured.analytic.any():
            return Verdict.VACUOUS
        if self._undecided or self._unclear:
            return Verdict.INCONCLUSIVE
        if measured.kinked.any():
            return Verdict.PASS_SUBGRADIENT
        return Verdict.PASS if measured.seen.any() else Verdict.VACUOUS

    def _notes(self) -> list[str]:
        """Return what a reader should know, whatever the verdict."""
        notes = self.subject.notes()
        if self._undecided:
            notes.append(f"the bars are too large to decide about {_names(self._undecided)}")
        if self._still:
            unseen = f"no slope above its error bar in {_names(self._still)}"
            notes.append(f"{unseen}: unused, idle here, or too small to see?")
        if self._only_here:
            notes.append("right beside this point, where it is not at a kink: a wrong choice at the kink, or at a tie?")
        if self._unclear:
            beside = f"{self._unclear} slopes are right beside this point and not at it"
            notes.append(f"{beside}, where several kinks may meet: check at another")
        return notes


def _directions(tensor: Array, rng: np.random.Generator) -> Iterator[Array]:
    """Yield three random directions of signs, and one that moves all entries alike (which breaks ties evenly)."""
    sizes = unit_of(tensor) * _unit(tensor.size)
    for _ in range(3):
        yield rng.choice([-1.0, 1.0], tensor.shape) * sizes
    yield sizes


def _unit(count: int) -> float:
    """Return a power of two near 1 / sqrt(count), so that a direction through many entries moves the outputs little."""
    return float(2.0 ** -np.round(np.log2(max(1, count)) / 2))


def _sizes(lines: list[Line]) -> Array:
    return np.array([float(np.abs(direction).sum()) for _, _, direction in lines])


def _names(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _too_uncertain(measured: Compared, upstream: float) -> bool:
    """Return whether more than 5 % of what was compared in one tensor has too large a bar to decide anything."""
    sizes = np.maximum(np.abs(measured.analytic), np.abs(measured.numeric))
    # Where a whole gradient is zero within its bars, these are to be small as such.
    least = 1e-8 * upstream if (sizes <= measured.bar).all() else 0.0
    enough = max(_UNCERTAIN * sizes.max(initial=0.0), least)
    return bool(((measured.bar > enough) & ~measured.settled).mean() > 0.05)


def _direction_finding(name: str, along: Compared, i: int) -> Finding:
    a, n, bar = float(along.analytic[i]), float(along.numeric[i]), float(along.bar[i])
    reason = f"along a direction through all entries the gradient says {a:.10g}, the slope is {n:.10g} ± {bar:.1g}"
    return Finding(Verdict.FAIL_VALUE, reason, name, None, a, n, bar)
