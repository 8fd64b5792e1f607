"""Compare gradients with slopes: along directions first, then at single entries of small or suspect tensors."""

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

# A tensor that needs at most this many lines is checked entry by entry.
MAX_ENTRIES = 256
# Relative to the largest slope: a line whose bar is below this needs no further steps.
_WANTED_BAR = 1e-9
# Relative to the largest entry of a tensor: an error of this size in one entry must be detected.
_RESOLUTION = 1e-3
# Relative to the upstream gradient: if all slopes are within their bars, these must be below this.
_ZERO_SLOPE = 1e-8
# The number of wrong entries that bisection searches for.
_MAX_SUSPECTS = 3
# The number of other entries that are measured for the diagnosis, or because they may be at a kink.
_MAX_EXAMINED = 64
# Factors of the steps for repeated measurements of the lines that decide.
_STEP_FACTORS = (0.75, 0.6)
# Distances of the nearby points where tensors are compared that are too uncertain at the point itself.
_NEARBY_DISTANCES = (2.0**-10, 2.0**-10, 2.0**-7, 2.0**-7)


class Comparison:
    """A comparison of the gradients of a subject with numerical derivatives.

    Attributes
    ----------
    findings : list of Finding
        Wrong entries, with a guess at the cause.
    unreached : list of str
        The tensors that were not compared before the deadline.
    """

    def __init__(self, subject: Subject, rng: np.random.Generator, limit: float) -> None:
        self.subject = subject
        self.rng = rng
        self.limit = limit
        self.findings: list[Finding] = []
        # By tensor: everything that was compared, and the single entries if all of them were compared.
        self._measured: dict[str, Compared] = {}
        self._entries: dict[str, Compared] = {}
        # By tensor: the smallest error of an entry, relative to the largest, that would be detected.
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
            reason = f"expected a finite gradient, got {gradient[index]}"
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
        """Add a finding for each wrong gradient."""
        if entries.wrong.any():
            self.findings += diagnose(self.subject, name, gradient, entries)
        elif along.wrong.any():
            alarm = int(along.wrong.argmax())
            claim = f"the gradient gives {along.analytic[alarm]:.10g}"
            slope = f"expected {along.numeric[alarm]:.10g} ± {along.bar[alarm]:.1g}"
            reason = f"along a direction through all entries, {claim}, {slope}"
            self.findings.append(along.finding(name, alarm, reason))

    def _check_nearby(self) -> None:
        """Compare tensors at or near a kink again at a nearby point, where the kink hides nothing."""
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
                # This point is outside the domain of the function.
                continue
            if self.findings:
                self._notes.append("these numbers belong to a nearby point, where no kink hides them")
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
        """Return the smallest error of one entry, relative to the largest, that would be detected.

        The direction with the smallest bar detects it; if all entries were measured, so does each entry, even that with
        the largest bar. The line that decides is measured again, like everything that looks wrong. If the gradient is
        zero within its bars, return 0 if these are small.
        """
        every = joined([along] if entries is None else [along, entries])
        if not every.significant.any():
            flat = every.bar.max() <= _ZERO_SLOPE * self._upstream and not every.kinked.any()
            return 0.0 if flat else np.inf
        largest = float(max(np.abs(gradient).max(), 0.0 if entries is None else np.abs(entries.numeric).max()))
        # Both must be detected: an error in one entry, and a common factor in all of them.
        least = np.minimum(_least_moves(along.lines) * largest, np.abs(along.numeric))
        with np.errstate(divide="ignore"):
            hidden = np.where(along.kinked, np.inf, along.hidden) / least
        reached = np.inf
        for i in np.argsort(hidden):
            reached = min(reached, self._confirm_detectable(name, along, int(i), float(hidden[i])))
            if reached <= _RESOLUTION:
                break
        if entries is not None and not entries.at_clear_kink.all():
            # Between one-sided slopes that clearly differ, the size of their bars matters little. Skip these entries.
            hidden = np.where(entries.at_clear_kink, 0.0, entries.hidden) / largest
            i = int(hidden.argmax())
            if hidden[i] < reached:
                reached = min(reached, self._confirm_detectable(name, entries, i, float(hidden[i])))
        return reached

    def _confirm_detectable(self, name: str, compared: Compared, i: int, hidden: float) -> float:
        """Return the largest error along line `i` that any of three measurements could hide."""
        if not 0 < hidden <= _RESOLUTION:
            return hidden
        once = compared.at(np.array([i]))
        # Measuring both at once saves most of the work.
        twice = once.at(np.zeros(len(_STEP_FACTORS), int))
        lines = np.concatenate([_with_steps(once.lines, share) for share in _STEP_FACTORS])
        rounding = np.maximum(twice.rounding, self._noise[name] * _sizes(lines))
        wanted = self._wanted(compared.lines, compared.analytic)
        again = measure(self.subject, lines, twice.analytic, rounding, wanted)
        return hidden * max(1.0, float((again.hidden / once.hidden[0]).max()))

    def _suspects(self, name: str, gradient: Array, along: Compared) -> Compared:
        """Compare the entries that make the first wrong line wrong, and some others."""
        line = along.lines[int(along.wrong.argmax())]
        tensor = line.array
        others = self.rng.choice(tensor.size, min(tensor.size, _MAX_EXAMINED), replace=False)
        indices = [*self._bisect(gradient, line), *(index_of(i, tensor.shape) for i in others)]
        return self._compare_entries(name, gradient, line, list(dict.fromkeys(indices)))

    def _compare_entries(self, name: str, gradient: Array, line: Line, indices: list[tuple[int, ...]]) -> Compared:
        lines = [line._replace(entry=index, direction=1.0) for index in indices]
        return self._compare(name, lines, gradient) if lines else joined([])

    def _compare(self, name: str, lines: list[Line], gradient: Array) -> Compared:
        """Compare the slopes along `lines` with those that follow from `gradient`."""
        return self._remeasured(name, measure(self.subject, *self._claims(lines, gradient)))

    def _remeasured(self, name: str, compared: Compared) -> Compared:
        """Return `compared` after a second look at everything that looks wrong.

        - With other steps: after cancellation, the noise of an output may by chance not show in one series of steps.
        - With the smallest steps: a curvature may hide a kink from larger ones.
        - With the rounding of the gradient itself, which is large after cancellation.
        - At nearby points.
        """
        self._remeasure(compared, self._wanted(compared.lines, compared.analytic))
        if compared.wrong.any():
            compared.rounding[...] = np.maximum(compared.rounding, self._noise[name] * _sizes(compared.lines))
        if compared.wrong.any():
            self._judge(name, compared)
        return compared

    def _claims(self, lines: list[Line], gradient: Array) -> tuple[Array, Array, Array, float]:
        """Return the lines, the slopes that follow from `gradient`, its rounding, and a sufficient error bar."""
        analytic = project(gradient, lines)
        largest = 1e-12 * float(np.abs(gradient).max())
        rounding = [1e-13 * np.abs(gradient * d).sum() if entry is None else largest for _, entry, d, _ in lines]
        every = np.fromiter(lines, object)
        return every, analytic, np.array(rounding), self._wanted(every, analytic)

    def _wanted(self, lines: Array, analytic: Array) -> float:
        """Return the error bar that is small enough for these slopes."""
        scale = float(np.abs(analytic[np.isfinite(analytic)]).max(initial=0.0))
        # If the slopes cancel and only rounding is left, treat them like slopes of zero.
        wanted = _WANTED_BAR * scale if scale > 1e-13 * self._upstream else _ZERO_SLOPE / 10 * self._upstream
        if len(lines) and lines[0].entry is None:
            # Along a direction through many entries, an error in one entry is a small part of the slope.
            wanted *= min(1.0, 100 / np.sqrt(lines[0].array.size))
        return wanted

    def _measure_twice(self, lines: Array, analytic: Array, rounding: Array) -> Compared:
        """Measure the slopes along `lines`; measure those that look wrong again."""
        compared = measure(self.subject, lines, analytic, rounding, 0.0)
        self._remeasure(compared, 0.0)
        return compared

    def _remeasure(self, compared: Compared, wanted: float) -> None:
        """Measure slopes that look wrong up to three more times, and keep a measurement that looks right.

        If some of a batch are wrong each time, all later ones count as wrong too.
        """
        every = np.flatnonzero(compared.wrong)
        for batch in np.array_split(every, -(-len(every) // _MAX_EXAMINED)) if len(every) else ():
            wrong = batch
            for share, deepest in (*((share, wanted) for share in _STEP_FACTORS), (_STEP_FACTORS[0], -1.0)):
                once = compared.at(wrong)
                again = measure(self.subject, _with_steps(once.lines, share), once.analytic, once.rounding, deepest)
                right = ~again.wrong & (again.kinked if deepest < 0 else True)
                compared.replace_slopes(wrong[right], again, right)
                wrong = wrong[~right]
                if not len(wrong):
                    break
            else:
                return

    def _judge(self, name: str, compared: Compared) -> None:
        """Use nearby points to decide about gradients that are wrong at the point."""
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
        """Return entries that make the slope along the line `alarm` wrong, found by bisection."""
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
        """Return the verdict of all comparisons, and the statistics of the report."""
        measured = joined(self._measured.values())
        # Prefer single entries: along a direction, a gradient may cancel, and only rounding is left.
        entries = joined(self._entries.values())
        errors = (measured if entries.kinked.all() else entries).summary()
        del errors["entries"]
        undecided = [] if self.findings else self._undecided()
        unclear = self._kinds[Kind.UNCLEAR]
        notes = self.subject.notes() + self._notes
        if undecided:
            notes.append(f"the error bars are too large to decide about {_listed(undecided)}")
        significant = [name for name, part in self._measured.items() if part.significant.any()]
        if flat := [name for name in self._measured if name not in significant]:
            notes.append(f"no slope exceeds its error bar in {_listed(flat)}: unused, inactive or too small?")
        if self._kinds[Kind.WRONG_HERE]:
            notes.append("the gradient is right at nearby points: is the choice at the kink or tie wrong?")
        if unclear:
            notes.append("several kinks may meet at this point: check another point")
        if self._nearby:
            notes.append(f"at or near a kink, so also compared at a nearby point: {_listed(self._nearby)}")
        if self.unreached:
            sizes = {name: tensor.size for name, tensor in self.subject.tensors.items()}
            advice = f"increase max_seconds, or make {max(sizes, key=lambda name: sizes[name])} smaller"
            notes.append(f"there was no time left to check {_listed(self.unreached)}: {advice}")
        in_doubt = bool(undecided or unclear)
        return self._verdict(measured, in_doubt), errors | {
            "tensors": {name: entries.summary() for name, entries in self._entries.items()},
            "compared": len(measured.numeric),
            "nonzero": int((measured.numeric != 0).sum()),
            "resolution": max((self._resolution[name] for name in significant), default=np.inf),
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
    """Yield random directions, uneven so that no two entries cancel, and one that moves all entries equally."""
    sizes = unit_of(tensor) * _unit(tensor.size)
    for _ in range(count):
        yield rng.integers(32, 64, tensor.shape) / 64 * rng.choice([-1.0, 1.0], tensor.shape) * sizes
    # It keeps ties.
    yield sizes


def _tied_entries(tensor: Array, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Return some indices of entries that are zero or equal to others: these may be at a kink or tied."""
    _, inverse, counts = np.unique(tensor, return_inverse=True, return_counts=True)
    alike = np.flatnonzero((counts[inverse.reshape(-1)] > 1) | (tensor.reshape(-1) == 0))
    some = rng.choice(alike, min(len(alike), _MAX_EXAMINED), replace=False)
    return [index_of(int(i), tensor.shape) for i in some]


def _least_moves(lines: Array) -> Array:
    """Return the smallest move of an entry along each line, in units of that entry."""
    return np.array([float((np.abs(line.direction) / unit_of(line.array)).min()) for line in lines])


def _unit(count: int) -> float:
    """Return a power of two near 1 / sqrt(count): a direction must move the outputs only a little."""
    return float(2.0 ** -np.round(np.log2(max(1, count)) / 2))


def _sizes(lines: Array) -> Array:
    return np.array([float(np.abs(line.direction).sum()) for line in lines])


def _with_steps(lines: Array, share: float) -> Array:
    return np.fromiter((line._replace(step=share * line.step) for line in lines), object)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
