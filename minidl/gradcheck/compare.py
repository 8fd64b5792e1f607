"""Are the gradients right? Directions through whole tensors first; single entries of small ones, or on an alarm."""

from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from minidl._core.errors import MinidlError
from minidl._core.types import Array
from minidl.gradcheck.arrays import first, index_of
from minidl.gradcheck.cause import diagnose
from minidl.gradcheck.disagreement import Kind, gradient_noise, judge, moved, unit_of_small
from minidl.gradcheck.grid import Grid, find_grid
from minidl.gradcheck.measured import Compared, joined, measure, measure_entries, project
from minidl.gradcheck.probing import Broken
from minidl.gradcheck.report import Finding, Verdict
from minidl.gradcheck.slopes import FIRST_STEP, Line, unit_of
from minidl.gradcheck.subjects import OutOfTime, Subject

# Lines along which a tensor is checked entry by entry unless the caller says otherwise.
MAX_ENTRIES = 256
# Of the largest slope: lines whose bars are below it take no further steps.
_WANTED_BAR = 1e-9
# Of a tensor's largest entry: an error in one entry that must not go unseen.
_RESOLUTION = 1e-3
# Of the upstream gradient: what a gradient that is zero within its bars must not hide.
_ZERO_SLOPE = 1e-8
# Entries that bisection looks for.
_MAX_SUSPECTS = 3
# Entries around them that are measured for the diagnosis; and of those that may be at a kink.
_MAX_EXAMINED = 64
# Of the steps of the ladder: those with which is measured again what decides.
_STEP_FACTORS = (0.75, 0.6)
# How far away the point beside is, in turn, at which is compared what is too uncertain at the point itself.
_NEARBY_DISTANCES = (2.0**-10, 2.0**-10, 2.0**-7, 2.0**-7)


class Comparison:
    """The gradients of a subject against numerical derivatives.

    Attributes
    ----------
    findings : list of Finding
        Wrong entries, with a guess at the cause.
    unreached : list of str
        The tensors for which the time did not suffice.
    """

    def __init__(self, subject: Subject, rng: np.random.Generator, limit: float) -> None:
        self.subject = subject
        self.rng = rng
        self.limit = limit
        self.findings: list[Finding] = []
        # By tensor: all that was compared; and of it single entries, where all were.
        self._measured: dict[str, Compared] = {}
        self._entries: dict[str, Compared] = {}
        # By tensor: the smallest error of an entry, relative to the largest, that would have been refused.
        self._resolution: dict[str, float] = {}
        self._nearby: list[str] = []
        self._notes: list[str] = []
        self._kinds: Counter[Kind] = Counter()
        self.unreached = [name for name, tensor in subject.tensors.items() if tensor.size]
        try:
            gradients = subject.gradients()
            for name in list(self.unreached):
                self._compare_at_point(name, subject.tensors[name], gradients[name])
                self.unreached.remove(name)
            if not self.findings:
                self._check_nearby()
        except OutOfTime:
            self.unreached += [name for name in self._undecided() if name not in self.unreached]

    def _compare_at_point(self, name: str, tensor: Array, gradient: Array) -> None:
        if (index := first(~np.isfinite(gradient))) is not None:
            reason = f"the gradient is {gradient[index]}, not finite"
            self.findings.append(Finding(Verdict.FAIL_VALUE, reason, name, index, float(gradient[index])))
            return
        line = Line(tensor, None, step=FIRST_STEP * unit_of_small(tensor))
        along, entries = self._compare_directions(name, gradient, line), joined([])
        parts = self.subject.parts()
        grids = [find_grid(part.outputs, tensor, line.step, self.limit) if self.limit else Grid() for part in parts]
        exhaustive = tensor.size <= self.limit * int(np.prod(grids[0].sides))
        if exhaustive:
            claims = self._claims([line._replace(entry=index) for index in np.ndindex(tensor.shape)], gradient)
            entries = self._remeasured(name, measure_entries(self.subject, line, *claims[1:], grids))
        elif along.wrong.any():
            entries = self._suspects(name, gradient, along)
        elif along.kinked.any():
            entries = self._compare_entries(name, gradient, line, _tied_entries(tensor, self.rng))
        self._report(name, gradient, along, entries)
        if exhaustive:
            self._entries[name] = entries
        self._measured[name] = joined([along, entries])
        self._resolution[name] = self._detectable(name, gradient, along, entries if exhaustive else None)

    def _compare_directions(self, name: str, gradient: Array, line: Line) -> Compared:
        drawn = _directions(line.array, self.rng, self.subject.directions)
        lines = [line._replace(direction=direction) for direction in drawn]
        return self._compare(name, lines, gradient)

    def _report(self, name: str, gradient: Array, along: Compared, entries: Compared) -> None:
        """Turn what is wrong into findings."""
        if entries.wrong.any():
            self.findings += diagnose(self.subject, name, gradient, entries)
        elif along.wrong.any():
            alarm = int(along.wrong.argmax())
            claim = f"the gradient says {along.analytic[alarm]:.10g}"
            slope = f"the slope is {along.numeric[alarm]:.10g} ± {along.bar[alarm]:.1g}"
            reason = f"along a direction through all entries {claim}, {slope}"
            self.findings.append(along.finding(name, alarm, reason))

    def _check_nearby(self) -> None:
        """Compare what is at a kink, or too near one to be decided, at a point beside: there, a kink hides nothing."""
        for trial, far in enumerate(_NEARBY_DISTANCES):
            waiting = self._undecided()
            if not waiting:
                return
            try:
                with moved(self.subject, self.rng, far, absolute=trial % 2 == 0):
                    gradients = self.subject.gradients()
                    for name in waiting:
                        self._compare_nearby(name, self.subject.tensors[name], gradients[name])
            except (Broken, MinidlError):
                # This point is beyond what the function takes.
                continue
            if self.findings:
                self._notes.append("numbers are those at a point beside, where no kink hides them")
                return

    def _compare_nearby(self, name: str, tensor: Array, gradient: Array) -> None:
        if not np.isfinite(gradient).all():
            return
        line = Line(tensor, None, step=FIRST_STEP * unit_of_small(tensor))
        along = self._compare_directions(name, gradient, line)
        self._report(name, gradient, along, self._suspects(name, gradient, along) if along.wrong.any() else joined([]))
        reached = self._detectable(name, gradient, along, None)
        if reached <= _RESOLUTION:
            self._resolution[name] = reached
            self._measured[name] = joined([self._measured[name], along])
            self._nearby.append(name)

    def _undecided(self) -> list[str]:
        return [name for name, reached in self._resolution.items() if not reached <= _RESOLUTION]

    def _detectable(self, name: str, gradient: Array, along: Compared, entries: Compared | None) -> float:
        """Return the smallest error of one entry, relative to the largest, that would have been refused.

        The sharpest direction sees it, or the least sharp entry, where all were measured. What decides is measured
        again, as everything that looks wrong is. Of a gradient that is zero within its bars, return 0 if these are
        small.
        """
        every = joined([along] if entries is None else [along, entries])
        if not every.significant.any():
            flat = every.bar.max() <= _ZERO_SLOPE * self._upstream and not every.kinked.any()
            return 0.0 if flat else np.inf
        largest = float(max(np.abs(gradient).max(), 0.0 if entries is None else np.abs(entries.numeric).max()))
        # An error in one entry is to be seen, and one in all of them by the same factor.
        least = np.minimum(_least_moves(along.lines) * largest, np.abs(along.numeric))
        with np.errstate(divide="ignore"):
            hidden = np.where(along.kinked, np.inf, along.hidden) / least
        reached = np.inf
        for i in np.argsort(hidden):
            reached = min(reached, self._confirm_detectable(name, along, int(i), float(hidden[i])))
            if reached <= _RESOLUTION:
                break
        if entries is not None and not entries.at_clear_kink.all():
            # Between one-sided slopes that differ, it matters little how sharp they are, if that is not all there is.
            hidden = np.where(entries.at_clear_kink, 0.0, entries.hidden) / largest
            i = int(hidden.argmax())
            if hidden[i] < reached:
                reached = min(reached, self._confirm_detectable(name, entries, i, float(hidden[i])))
        return reached

    def _confirm_detectable(self, name: str, compared: Compared, i: int, hidden: float) -> float:
        """Return what may be hidden along line `i` by the least sharp of three measurements."""
        if not 0 < hidden <= _RESOLUTION:
            return hidden
        once = compared.at(np.array([i]))
        # Both at once, which saves most of the work.
        twice = once.at(np.zeros(len(_STEP_FACTORS), int))
        lines = np.concatenate([_with_steps(once.lines, share) for share in _STEP_FACTORS])
        rounding = np.maximum(twice.rounding, self._noise[name] * _sizes(lines))
        wanted = self._wanted(compared.lines, compared.analytic)
        again = measure(self.subject, lines, twice.analytic, rounding, wanted)
        return hidden * max(1.0, float((again.hidden / once.hidden[0]).max()))

    def _suspects(self, name: str, gradient: Array, along: Compared) -> Compared:
        """Return entries that make the first wrong line wrong, and others around them, compared."""
        line = along.lines[int(along.wrong.argmax())]
        tensor = line.array
        others = self.rng.choice(tensor.size, min(tensor.size, _MAX_EXAMINED), replace=False)
        indices = [*self._bisect(gradient, line), *(index_of(i, tensor.shape) for i in others)]
        return self._compare_entries(name, gradient, line, list(dict.fromkeys(indices)))

    def _compare_entries(self, name: str, gradient: Array, line: Line, indices: list[tuple[int, ...]]) -> Compared:
        lines = [line._replace(entry=index, direction=1.0) for index in indices]
        return self._compare(name, lines, gradient) if lines else joined([])

    def _compare(self, name: str, lines: list[Line], gradient: Array) -> Compared:
        """Return the slopes along `lines` beside those that `gradient` claims."""
        return self._remeasured(name, measure(self.subject, *self._claims(lines, gradient)))

    def _remeasured(self, name: str, compared: Compared) -> Compared:
        """Return `compared`, with what looks wrong looked at again.

        With other steps, since the noise of an output that is the small rest of large numbers may by luck not show in
        one ladder; down to the smallest, since a kink may hide behind a curvature until then; with the gradient's own
        rounding, which may be large for the same reason; and at the neighbours of the point.
        """
        self._remeasure(compared, self._wanted(compared.lines, compared.analytic))
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
        every = np.fromiter(lines, object)
        return every, analytic, np.array(rounding), self._wanted(every, analytic)

    def _wanted(self, lines: Array, analytic: Array) -> float:
        """Return the bar that is small enough for these slopes."""
        scale = float(np.abs(analytic[np.isfinite(analytic)]).max(initial=0.0))
        # What cancels to nothing but rounding needs no sharper bars than nothing does.
        wanted = _WANTED_BAR * scale if scale > 1e-13 * self._upstream else _ZERO_SLOPE / 10 * self._upstream
        if len(lines) and lines[0].entry is None:
            # Along a direction through many entries, an error in one of them is a small part of the slope.
            wanted *= min(1.0, 100 / np.sqrt(lines[0].array.size))
        return wanted

    def _measure_twice(self, lines: Array, analytic: Array, rounding: Array) -> Compared:
        """Measure the slopes along `lines`, and those that look wrong again."""
        compared = measure(self.subject, lines, analytic, rounding, 0.0)
        self._remeasure(compared, 0.0)
        return compared

    def _remeasure(self, compared: Compared, wanted: float) -> None:
        """Measure what looks wrong three times more, and put what is right there in its place.

        Where some of many are wrong each time, the others are taken for wrong too.
        """
        every = np.flatnonzero(compared.wrong)
        for batch in np.array_split(every, -(-len(every) // _MAX_EXAMINED)) if len(every) else ():
            wrong = batch
            for share, deepest in (*((share, wanted) for share in _STEP_FACTORS), (_STEP_FACTORS[0], -1.0)):
                once = compared.at(wrong)
                again = measure(self.subject, _with_steps(once.lines, share), once.analytic, once.rounding, deepest)
                right = ~again.wrong & (again.kinked if deepest < 0 else True)
                compared.put(wrong[right], again, right)
                wrong = wrong[~right]
                if not len(wrong):
                    break
            else:
                return

    def _judge(self, name: str, compared: Compared) -> None:
        """Ask the neighbours of the point about what is wrong at it."""
        wrong = np.flatnonzero(compared.wrong)
        kinds = judge(self.subject, name, compared.at(wrong), self._measure_twice, self.rng)
        for i, kind in zip(wrong, kinds, strict=True):
            if kind is Kind.CHOICE:
                compared.low[i] = min(compared.low[i], compared.analytic[i])
                compared.high[i] = max(compared.high[i], compared.analytic[i])
            elif kind is Kind.UNCLEAR:
                compared.bar[i] = np.inf
        self._kinds.update(kinds)

    @property
    def _upstream(self) -> float:
        return float(np.abs(self.subject.upstream).max(initial=0.0))

    @cached_property
    def _noise(self) -> dict[str, float]:
        return gradient_noise(self.subject, self.rng)

    def _bisect(self, gradient: Array, alarm: Line) -> list[tuple[int, ...]]:
        """Return entries that make the slope along the line `alarm` differ, found by halving it."""
        tensor = alarm.array
        found: list[tuple[int, ...]] = []
        waiting = [np.arange(tensor.size)]
        signs = (np.sign(alarm.direction) * unit_of(tensor)).reshape(-1)
        while waiting and len(found) < _MAX_SUSPECTS:
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
        entries = joined(self._entries.values())
        errors = (measured if entries.kinked.all() else entries).summary()
        del errors["entries"]
        undecided = [] if self.findings else self._undecided()
        unclear = self._kinds[Kind.UNCLEAR]
        notes = self.subject.notes() + self._notes
        if undecided:
            notes.append(f"the bars are too large to decide about {_listed(undecided)}")
        seen = [name for name, part in self._measured.items() if part.significant.any()]
        if still := [name for name in self._measured if name not in seen]:
            notes.append(f"no slope above its error bar in {_listed(still)}: unused, idle here, or too small to see?")
        if self._kinds[Kind.WRONG_HERE]:
            notes.append("the gradient is right beside this point: is the choice at the kink or tie wrong?")
        if unclear:
            notes.append("several kinks may meet here: check another point")
        if self._nearby:
            notes.append(f"at or near a kink, so also compared at a nearby point: {_listed(self._nearby)}")
        if self.unreached:
            sizes = {name: tensor.size for name, tensor in self.subject.tensors.items()}
            advice = f"make {max(sizes, key=lambda name: sizes[name])} smaller, the largest"
            notes.append(f"no time was left for {_listed(self.unreached)}: {advice}")
        in_doubt = bool(undecided or unclear)
        return self._verdict(measured, in_doubt), errors | {
            "tensors": {name: entries.summary() for name, entries in self._entries.items()},
            "compared": len(measured.numeric),
            "nonzero": int((measured.numeric != 0).sum()),
            "resolution": max((self._resolution[name] for name in seen), default=np.inf),
            "notes": notes,
        }

    def _verdict(self, measured: Compared, in_doubt: bool) -> Verdict:
        if self.findings:
            return Verdict.FAIL_VALUE
        if self.unreached:
            return Verdict.INCONCLUSIVE
        if not measured.numeric.any() and not measured.analytic.any():
            return Verdict.VACUOUS
        if in_doubt:
            return Verdict.INCONCLUSIVE
        if measured.kinked.any():
            return Verdict.PASS_SUBGRADIENT
        return Verdict.PASS if measured.significant.any() else Verdict.VACUOUS


def _directions(tensor: Array, rng: np.random.Generator, count: int) -> Iterator[Array]:
    """Yield random directions, uneven so that no two entries cancel, and one that moves all entries alike."""
    sizes = unit_of(tensor) * _unit(tensor.size)
    for _ in range(count):
        yield rng.integers(32, 64, tensor.shape) / 64 * rng.choice([-1.0, 1.0], tensor.shape) * sizes
    # It breaks ties evenly.
    yield sizes


def _tied_entries(tensor: Array, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Return some indices of entries that are zero, or equal to others: these may be at a kink, or tied."""
    _, inverse, counts = np.unique(tensor, return_inverse=True, return_counts=True)
    alike = np.flatnonzero((counts[inverse.reshape(-1)] > 1) | (tensor.reshape(-1) == 0))
    some = rng.choice(alike, min(len(alike), _MAX_EXAMINED), replace=False)
    return [index_of(int(i), tensor.shape) for i in some]


def _least_moves(lines: Array) -> Array:
    """Return by how many units of its own the entry moves that moves least along each line."""
    return np.array([float((np.abs(line.direction) / unit_of(line.array)).min()) for line in lines])


def _unit(count: int) -> float:
    """Return a power of two near 1 / sqrt(count), so that a direction through many entries moves the outputs little."""
    return float(2.0 ** -np.round(np.log2(max(1, count)) / 2))


def _sizes(lines: Array) -> Array:
    return np.array([float(np.abs(line.direction).sum()) for line in lines])


def _with_steps(lines: Array, share: float) -> Array:
    return np.fromiter((line._replace(step=share * line.step) for line in lines), object)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
