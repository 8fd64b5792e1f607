"""Are the gradients right? Directions through whole tensors first; single entries of small ones, or on an alarm."""

from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from minidl._core.types import Array
from minidl.gradcheck.arrays import first, index_of
from minidl.gradcheck.cause import diagnose
from minidl.gradcheck.disagreement import Kind, gradient_noise, judge, smallness
from minidl.gradcheck.measured import Compared, joined, measure, project
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
        self._kinds: Counter[Kind] = Counter()
        gradients = subject.gradients()
        for name, tensor in subject.tensors.items():
            if tensor.size:
                self._tensor(name, tensor, gradients[name], tensor.size <= few)

    def _tensor(self, name: str, tensor: Array, gradient: Array, exhaustive: bool) -> None:
        if (index := first(~np.isfinite(gradient))) is not None:
            reason = f"the gradient is {gradient[index]}, not finite"
            self.findings.append(Finding(Verdict.FAIL_VALUE, reason, name, index, float(gradient[index])))
            return
        line = Line(tensor, None, step=FIRST_STEP * smallness(tensor))
        along = self._compare(name, [line._replace(direction=d) for d in _directions(tensor, self.rng)], gradient)
        indices: list[tuple[int, ...]] = []
        alarm = int(along.wrong.argmax()) if along.wrong.any() else None
        if exhaustive:
            indices = list(np.ndindex(tensor.shape))
        elif alarm is not None:
            suspects = self._bisect(gradient, along.lines[alarm])
            others = self.rng.choice(tensor.size, min(tensor.size, _EXAMINED), replace=False)
            indices = list(dict.fromkeys([*suspects, *(index_of(i, tensor.shape) for i in others)]))
        single = [line._replace(entry=index) for index in indices]
        entries = self._compare(name, single, gradient) if single else joined([])
        if entries.wrong.any():
            self.findings += diagnose(self.subject, name, gradient, entries)
        elif alarm is not None:
            claim = f"the gradient says {along.analytic[alarm]:.10g}"
            slope = f"the slope is {along.numeric[alarm]:.10g} ± {along.bar[alarm]:.1g}"
            reason = f"along a direction through all entries {claim}, {slope}"
            self.findings.append(along.finding(name, alarm, reason))
        measured = self._measured[name] = joined([along, entries] if exhaustive else [along])
        if exhaustive:
            self._entries[name] = entries
        if measured.seen.any():
            self._resolution = max(self._resolution, self._sharpest(name, measured))

    def _sharpest(self, name: str, measured: Compared) -> float:
        """Return the smallest relative error of a whole tensor's gradient that would have been called wrong.

        The sharpest line decides. It is measured again, as everything that looks wrong is.
        """
        i = np.nanargmin(measured.margin / np.where(measured.seen, np.abs(measured.numeric), np.nan))
        once = measured.at(np.array([i]))
        rounding = np.maximum(once.rounding, self._noise[name] * _sizes(once.lines))
        again = measure(self.subject, _with_other_steps(once.lines), once.analytic, rounding, 0.0)
        margin = max(float((p.margin + np.abs(p.analytic - p.numeric))[0]) for p in (once, again))
        return margin / float(np.abs(once.numeric[0]))

    def _compare(self, name: str, lines: list[Line], gradient: Array) -> Compared:
        """Measure the slopes along `lines`; what is wrong is looked at again before it is believed.

        With other steps, since the noise of an output that is the small rest of large numbers may by luck not show in
        one ladder; down to the smallest, since a kink may hide behind a curvature until then; with the gradient's own
        rounding, which may be large for the same reason; and at the neighbours of the point.
        """
        compared = self._measure_again(*self._claims(lines, gradient))
        if compared.wrong.any():
            compared.rounding[...] = np.maximum(compared.rounding, self._noise[name] * _sizes(compared.lines))
        if compared.wrong.any():
            self._judge(name, compared)
        return compared

    def _claims(self, lines: list[Line], gradient: Array) -> tuple[Array, Array, Array, float]:
        """Return the lines, the slopes along them that `gradient` claims, its rounding, and the bar that is wanted."""
        analytic = project(gradient, lines)
        largest = 1e-12 * float(np.abs(gradient).max())
        rounding = [1e-13 * np.abs(gradient * d).sum() if entry is None else largest for _, entry, d, _ in lines]
        scale = float(np.abs(analytic[np.isfinite(analytic)]).max(initial=0.0))
        wanted = _WANTED * scale / max(1e-300, float(np.abs(self.subject.upstream).sum()))
        return np.fromiter(lines, object), analytic, np.array(rounding), wanted

    def _measure_again(self, lines: Array, analytic: Array, rounding: Array, wanted: float = 0.0) -> Compared:
        """Measure the slopes along `lines`, and those that look wrong twice more."""
        compared = measure(self.subject, lines, analytic, rounding, wanted)
        wrong = np.flatnonzero(compared.wrong)
        for deepest in (wanted, -1.0) if len(wrong) else ():
            again = measure(self.subject, _with_other_steps(lines[wrong]), analytic[wrong], rounding[wrong], deepest)
            right = ~again.wrong & (again.kinked if deepest < 0 else True)
            compared.put(wrong[right], again, right)
        return compared

    def _judge(self, name: str, compared: Compared) -> None:
        """Ask the neighbours of the point about what is wrong at it."""
        wrong = np.flatnonzero(compared.wrong)
        kinds = judge(self.subject, name, compared.at(wrong), self._measure_again, self.rng)
        for i, kind in zip(wrong, kinds, strict=True):
            if kind is Kind.CHOICE:
                compared.low[i] = min(compared.low[i], compared.analytic[i])
                compared.high[i] = max(compared.high[i], compared.analytic[i])
            elif kind is Kind.UNCLEAR:
                compared.bar[i] = np.inf
        self._kinds.update(kinds)

    @cached_property
    def _noise(self) -> dict[str, float]:
        return gradient_noise(self.subject, self.rng)

    def _bisect(self, gradient: Array, alarm: Line) -> list[tuple[int, ...]]:
        """Return entries that make the slope along the line `alarm` differ, found by halving it."""
        tensor = alarm.array
        found: list[tuple[int, ...]] = []
        waiting = [np.arange(tensor.size)]
        signs = (np.sign(alarm.direction) * unit_of(tensor)).reshape(-1)
        while waiting and len(found) < _SUSPECTS:
            entries = waiting.pop()
            if len(entries) == 1:
                found.append(index_of(int(entries[0]), tensor.shape))
                continue
            halves = np.array_split(entries, 2)
            lines = []
            for half in halves:
                mask = np.zeros(tensor.size)
                mask[half] = signs[half] * _unit(len(half))
                lines.append(alarm._replace(direction=mask.reshape(tensor.shape)))
            wrong = measure(self.subject, *self._claims(lines, gradient)).wrong
            waiting += [half for half, differs in zip(halves, wrong, strict=True) if differs]
        return found

    def outcome(self) -> tuple[Verdict, dict[str, Any]]:
        """Return what all comparisons together say, and the report's statistics."""
        measured = joined(self._measured.values())
        # Of single entries, where there are any: along a direction a gradient may cancel to nothing but rounding.
        errors = (joined(self._entries.values()) if self._entries else measured).summary()
        del errors["entries"]
        upstream = float(np.abs(self.subject.upstream).max(initial=0.0))
        undecided = [name for name, part in self._measured.items() if _too_uncertain(part, upstream)]
        unclear = self._kinds[Kind.UNCLEAR]
        notes = self.subject.notes()
        if undecided:
            notes.append(f"the bars are too large to decide about {_names(undecided)}")
        if still := [name for name, part in self._measured.items() if not part.seen.any()]:
            notes.append(f"no slope above its error bar in {_names(still)}: unused, idle here, or too small to see?")
        if self._kinds[Kind.WRONG_HERE]:
            notes.append("right beside this point, where it is not at a kink: a wrong choice at the kink, or at a tie?")
        if unclear:
            beside = f"{unclear} slopes are right beside this point and not at it"
            notes.append(f"{beside}, where several kinks may meet: check at another")
        return self._verdict(measured, bool(undecided or unclear)), errors | {
            "tensors": {name: entries.summary() for name, entries in self._entries.items()},
            "compared": len(measured.numeric),
            "nonzero": int((measured.numeric != 0).sum()),
            "resolution": self._resolution or float("inf"),
            "notes": notes,
        }

    def _verdict(self, measured: Compared, in_doubt: bool) -> Verdict:
        if self.findings:
            return Verdict.FAIL_VALUE
        if not measured.numeric.any() and not measured.analytic.any():
            return Verdict.VACUOUS
        if in_doubt:
            return Verdict.INCONCLUSIVE
        if measured.kinked.any():
            return Verdict.PASS_SUBGRADIENT
        return Verdict.PASS if measured.seen.any() else Verdict.VACUOUS


def _directions(tensor: Array, rng: np.random.Generator) -> Iterator[Array]:
    """Yield three random directions of signs, and one that moves all entries alike (which breaks ties evenly)."""
    sizes = unit_of(tensor) * _unit(tensor.size)
    for _ in range(3):
        yield rng.choice([-1.0, 1.0], tensor.shape) * sizes
    yield sizes


def _unit(count: int) -> float:
    """Return a power of two near 1 / sqrt(count), so that a direction through many entries moves the outputs little."""
    return float(2.0 ** -np.round(np.log2(max(1, count)) / 2))


def _sizes(lines: Array) -> Array:
    return np.array([float(np.abs(line.direction).sum()) for line in lines])


def _with_other_steps(lines: Array) -> Array:
    return np.fromiter((line._replace(step=0.75 * line.step) for line in lines), object)


def _names(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _too_uncertain(measured: Compared, upstream: float) -> bool:
    """Return whether more than 5 % of what was compared in one tensor has too large a bar to decide anything."""
    sizes = np.maximum(np.abs(measured.analytic), np.abs(measured.numeric))
    # Where a whole gradient is zero within its bars, these are to be small as such.
    least = 1e-8 * upstream if (sizes <= measured.bar).all() else 0.0
    enough = max(_UNCERTAIN * sizes.max(initial=0.0), least)
    return bool(((measured.bar > enough) & ~measured.settled).mean() > 0.05)
