"""Are the gradients right? Directions through whole tensors first; single entries of small ones, or on an alarm."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from minidl._core.types import Array
from minidl.gradcheck.beside import Kind, gradient_noise, judge, smallness
from minidl.gradcheck.compared import Compared, measure, project
from minidl.gradcheck.diagnosis import diagnose
from minidl.gradcheck.report import Finding, Verdict
from minidl.gradcheck.slopes import FIRST_STEP, Line, unit_of
from minidl.gradcheck.subjects import Subject

_FEW = 256  # entries of a tensor that is checked entry by entry in any case
_WANTED = 1e-10  # of the largest slope: lines whose bars are below it take no further steps
_UNCERTAIN = 1e-4  # of the largest slope: a bar above it decides nothing
_SUSPECTS = 3  # entries that bisection looks for
_EXAMINED = 64  # entries around them that are measured for the diagnosis


class Comparison:
    """The gradients of a subject against numerical derivatives.

    Attributes
    ----------
    findings : list of Finding
        Wrong entries, with a guess at the cause.
    parts : list of Compared
        Everything that was compared.
    """

    def __init__(
        self, subject: Subject, rng: np.random.Generator, *, every_entry: bool = False, few: int = _FEW
    ) -> None:
        self.subject = subject
        self.rng = rng
        self.findings: list[Finding] = []
        self.parts: list[Compared] = []
        self._entries: dict[str, Compared] = {}  # by tensor, those of `parts` that are single entries
        self.resolution = 0.0
        self.still: list[str] = []
        self._undecided: list[str] = []
        self._unclear = self._only_here = 0
        gradients = subject.gradients()
        for name, tensor in subject.tensors.items():
            if tensor.size:
                self._tensor(name, tensor, gradients[name], every_entry or tensor.size <= few)

    def _tensor(self, name: str, tensor: Array, gradient: Array, exhaustive: bool) -> None:
        before = len(self.parts)
        if not np.isfinite(gradient).all():
            first = _index(int(np.isfinite(gradient).argmin()), tensor.shape)
            reason = f"the gradient is {gradient[first]}, not finite"
            self.findings.append(Finding(Verdict.FAIL_VALUE, reason, name, first, float(gradient[first])))
            return
        directions = list(_directions(tensor, self.rng))
        along = self._along(name, tensor, gradient, directions)
        self.parts.append(along)
        if exhaustive:
            indices = list(np.ndindex(tensor.shape))
            entries = self._at(name, tensor, gradient, indices)
            self.parts.append(entries)
            self._entries[name] = entries
        elif along.wrong.any():
            suspects = self._bisect(tensor, gradient, directions[int(along.wrong.argmax())])
            others = self.rng.choice(tensor.size, min(tensor.size, _EXAMINED), replace=False)
            indices = list(dict.fromkeys([*suspects, *(_index(i, tensor.shape) for i in others)]))
            entries = self._at(name, tensor, gradient, indices)
        else:
            indices, entries = [], None
        if entries is not None and entries.wrong.any():
            self.findings += diagnose(name, tensor, gradient, indices, entries)
        elif along.wrong.any():
            i = int(along.wrong.argmax())
            self.findings.append(_direction_finding(name, along, i))
        measured = self.parts[before:]
        if _too_uncertain(measured, float(np.abs(self.subject.upstream).max(initial=0.0))):
            self._undecided.append(name)
        if any(part.seen.any() for part in measured):
            self.resolution = max(self.resolution, self._resolution(name, tensor, gradient, directions, measured))
        else:
            self.still.append(name)

    def _resolution(
        self, name: str, tensor: Array, gradient: Array, directions: list[Array], measured: list[Compared]
    ) -> float:
        """Return the smallest relative error of a whole tensor's gradient that would have been called wrong.

        The sharpest line decides. It is measured again, as everything that looks wrong is.
        """
        relative = [(4 * p.bar + p.rounding) / np.where(p.seen, np.abs(p.numeric), np.nan) for p in measured]
        k = min(range(len(measured)), key=lambda k: np.nanmin(relative[k], initial=np.inf))
        i = int(np.nanargmin(relative[k]))
        line: Line = (tensor, _index(i, tensor.shape), 1.0) if k else (tensor, None, directions[i])
        noise = self._noise[name] * float(np.abs(line[2]).sum())
        first = measured[k].at(np.array([i]))
        step = 0.75 * FIRST_STEP * smallness(tensor)
        again = measure(self.subject, [line], first.analytic, np.maximum(first.rounding, noise), step, 0.0)
        margin = max(float((4 * p.bar + p.rounding + np.abs(p.analytic - p.numeric))[0]) for p in (first, again))
        return margin / float(np.abs(first.numeric[0]))

    def _along(
        self, name: str, tensor: Array, gradient: Array, directions: list[Array], *, believe: bool = False
    ) -> Compared:
        """Compare the slope along each direction with the gradient's projection on it."""
        sizes = np.array([np.abs(gradient * d).sum() for d in directions])
        lines: list[Line] = [(tensor, None, d) for d in directions]
        return self._compare(name, lines, gradient, 1e-13 * sizes, believe=believe)

    def _at(self, name: str, tensor: Array, gradient: Array, indices: list[tuple[int, ...]]) -> Compared:
        """Compare single entries."""
        rounding = np.full(len(indices), 1e-12 * float(np.abs(gradient).max()))
        return self._compare(name, [(tensor, index, 1.0) for index in indices], gradient, rounding)

    def _compare(
        self, name: str, lines: list[Line], gradient: Array, rounding: Array, *, believe: bool = False
    ) -> Compared:
        """Measure the slopes along `lines`; what is wrong is looked at again before it is believed.

        With other steps, since the noise of an output that is the small rest of large numbers may by luck not show in
        one ladder; down to the smallest, since a kink may hide behind a curvature until then; with the gradient's own
        rounding, which may be large for the same reason; and at the neighbours of the point.
        """
        analytic = project(gradient, lines)
        scale = float(np.abs(analytic[np.isfinite(analytic)]).max(initial=0.0))
        wanted = _WANTED * scale / max(1e-300, float(np.abs(self.subject.upstream).sum()))
        first_step = FIRST_STEP * smallness(lines[0][0])
        if believe:
            return measure(self.subject, lines, analytic, rounding, first_step, wanted)
        compared = self._measure_again(lines, analytic, rounding, first_step, wanted)
        if compared.wrong.any():
            noise = self._noise[name] * np.array([float(np.abs(direction).sum()) for _, _, direction in lines])
            compared.rounding = np.maximum(rounding, noise)
        if compared.wrong.any():
            self._judge(name, lines, compared, first_step)
        return compared

    def _measure_again(
        self, lines: list[Line], analytic: Array, rounding: Array, first_step: float, wanted: float
    ) -> Compared:
        """Measure the slopes along `lines`, and those that look wrong twice more."""
        compared = measure(self.subject, lines, analytic, rounding, first_step, wanted)
        wrong = np.flatnonzero(compared.wrong)
        for deepest in (wanted, -1.0) if len(wrong) else ():
            again = measure(
                self.subject, [lines[i] for i in wrong], analytic[wrong], rounding[wrong], 0.75 * first_step, deepest
            )
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
                self._unclear += 1
                compared.bar[i] = np.inf
            self._only_here += kind is Kind.WRONG_HERE

    @cached_property
    def _noise(self) -> dict[str, float]:
        return gradient_noise(self.subject, self.rng)

    def _bisect(self, tensor: Array, gradient: Array, direction: Array) -> list[tuple[int, ...]]:
        """Return entries that make the slope along `direction` differ, found by halving the alarm."""
        found: list[tuple[int, ...]] = []
        waiting = [np.arange(tensor.size)]
        signs = (np.sign(direction) * unit_of(tensor)).reshape(-1)
        while waiting and len(found) < _SUSPECTS:
            entries = waiting.pop()
            if len(entries) == 1:
                found.append(_index(int(entries[0]), tensor.shape))
                continue
            halves = np.array_split(entries, 2)
            masks = []
            for half in halves:
                mask = np.zeros(tensor.size)
                mask[half] = signs[half] * _unit(len(half))
                masks.append(mask.reshape(tensor.shape))
            wrong = self._along("", tensor, gradient, masks, believe=True).wrong
            waiting += [half for half, alarm in zip(halves, wrong, strict=True) if alarm]
        return found

    def verdict(self) -> Verdict:
        """Return what all comparisons together say."""
        if self.findings:
            return Verdict.FAIL_VALUE
        if not self._all("numeric").any() and not self._all("analytic").any():
            return Verdict.VACUOUS
        if self._undecided or self._unclear:
            return Verdict.INCONCLUSIVE
        if not any(part.seen.any() or part.kinked.any() for part in self.parts):
            return Verdict.VACUOUS
        return Verdict.PASS_SUBGRADIENT if any(part.kinked.any() for part in self.parts) else Verdict.PASS

    def notes(self) -> list[str]:
        """Return what a reader should know, whatever the verdict."""
        notes = self.subject.notes()
        if self._undecided:
            notes.append(f"the bars are too large to decide about {_names(self._undecided)}")
        if self.still:
            notes.append(
                f"no slope above its error bar in {_names(self.still)}: unused, idle here, or too small to see?"
            )
        if self._only_here:
            notes.append("right beside this point, where it is not at a kink: a wrong choice at the kink, or at a tie?")
        if self._unclear:
            notes.append(
                f"{self._unclear} slopes are right beside this point and not at it, where several kinks may meet: "
                "check at another"
            )
        return notes

    def numbers(self) -> dict[str, Any]:
        """Return the report's statistics."""
        # Of single entries, where there are any: along a direction a gradient may cancel to nothing but rounding.
        parts = list(self._entries.values()) or self.parts
        errors = np.concatenate([np.zeros(0), *(part.relative_errors() for part in parts)])
        tensors = {name: _summary(part.relative_errors()) for name, part in self._entries.items()}
        return {
            "tensors": tensors,
            "compared": sum(len(part.numeric) for part in self.parts),
            "nonzero": int((self._all("numeric") != 0).sum()),
            "max_relative_error": _summary(errors)["max_relative_error"],
            "mean_relative_error": _summary(errors)["mean_relative_error"],
            "resolution": self.resolution if self.resolution else float("inf"),
            "notes": self.notes(),
        }

    def _all(self, name: str) -> Array:
        return np.concatenate([np.zeros(0), *(getattr(part, name) for part in self.parts)])


def _directions(tensor: Array, rng: np.random.Generator) -> Iterator[Array]:
    """Yield three random directions of signs, and one that moves all entries alike (which breaks ties evenly)."""
    sizes = unit_of(tensor) * _unit(tensor.size)
    for _ in range(3):
        yield rng.choice([-1.0, 1.0], tensor.shape) * sizes
    yield sizes


def _unit(count: int) -> float:
    """Return a power of two near 1 / sqrt(count), so that a direction through many entries moves the outputs little."""
    return float(2.0 ** -np.round(np.log2(max(1, count)) / 2))


def _names(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _index(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(flat, shape))


def _too_uncertain(parts: list[Compared], upstream: float) -> bool:
    """Return whether more than 5 % of what was compared in one tensor has too large a bar to decide anything."""
    analytic, numeric, bar, settled = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("analytic", "numeric", "bar", "settled")
    )
    scale = max(np.abs(analytic).max(initial=0.0), np.abs(numeric).max(initial=0.0))
    # Where a whole gradient is zero within its bars, these are to be small as such.
    zero = bool((np.maximum(np.abs(analytic), np.abs(numeric)) <= bar).all())
    enough = max(_UNCERTAIN * scale, 1e-8 * upstream if zero else 0.0)
    return bool(((bar > enough) & ~settled).mean() > 0.05)


def _summary(errors: Array) -> dict[str, float]:
    mean = float(errors.mean()) if len(errors) else 0.0
    return {"entries": len(errors), "mean_relative_error": mean, "max_relative_error": float(errors.max(initial=0.0))}


def _direction_finding(name: str, along: Compared, i: int) -> Finding:
    a, n, bar = float(along.analytic[i]), float(along.numeric[i]), float(along.bar[i])
    reason = f"along a direction through all entries the gradient says {a:.10g}, the slope is {n:.10g} ± {bar:.1g}"
    return Finding(Verdict.FAIL_VALUE, reason, name, None, a, n, bar)
