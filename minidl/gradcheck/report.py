"""The result of a gradient check: verdict, findings and report."""

import json
import math
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from minidl._core import errors
from minidl._core.reprs import counted
from minidl._core.tables import escape, html_table


class Verdict(Enum):
    """The conclusion of a gradient check; only the first two are a pass."""

    PASS = "every gradient agrees with its numerical derivative within the error bars"
    PASS_SUBGRADIENT = "like PASS; at kinks, the gradient lies between the slopes of both sides"
    FAIL_VALUE = "a gradient is wrong"
    FAIL_CONTRACT = "a rule of the contract is broken"
    NONDETERMINISTIC = "two calls with the same input return different results"
    STATE_CHANGED = "a call changed state that it must not change"
    INCONCLUSIVE = "no decision is possible: some derivatives are too uncertain, or were not computed in time"
    VACUOUS = "no numerical derivative exceeds its error bar, so nothing was tested"

    @property
    def ok(self) -> bool:
        """Whether this is a pass."""
        return self in (Verdict.PASS, Verdict.PASS_SUBGRADIENT)


# One class per verdict: Hypothesis groups failures by their class, and must keep the verdicts apart.
_ERRORS = {
    Verdict.FAIL_VALUE: errors.WrongGradientError,
    Verdict.FAIL_CONTRACT: errors.BrokenContractError,
    Verdict.NONDETERMINISTIC: errors.NondeterministicError,
    Verdict.STATE_CHANGED: errors.StateChangedError,
    Verdict.INCONCLUSIVE: errors.InconclusiveError,
    Verdict.VACUOUS: errors.VacuousError,
}


_UNDECIDED = (Verdict.INCONCLUSIVE, Verdict.VACUOUS)
# White text on each of these has a contrast of more than 5:1.
_GREEN, _AMBER, _RED = "#17743a", "#8a5a00", "#b3261e"


@dataclass(frozen=True)
class Finding:
    """One piece of evidence for a verdict.

    Attributes
    ----------
    verdict : Verdict
        The verdict that it supports.
    reason : str
        One sentence: what was expected, and what the check got.
    tensor : str
        Path of the parameter, or name of the input; "" if the finding concerns neither.
    index : tuple of int or None
        Index of the entry.
    analytic, numeric, bar : float or None
        The gradient that was checked, its numerical derivative, and the error bar of the derivative.
    """

    verdict: Verdict
    reason: str
    tensor: str = ""
    index: tuple[int, ...] | None = None
    analytic: float | None = None
    numeric: float | None = None
    bar: float | None = None

    def __str__(self) -> str:
        place = self.tensor + (f"[{', '.join(map(str, self.index))}]" if self.index else "")
        return f"{place}: {self.reason}" if place else self.reason


@dataclass(frozen=True)
class GradientReport:
    """The result of a gradient check; print it, or call `assert_ok` in a test.

    Attributes
    ----------
    subject : str
        Description of what was checked.
    findings : list of Finding
        The evidence, clearest first; empty for a plain pass.
    compared : int
        Number of derivatives that were compared: single entries, and directions through whole tensors.
    nonzero : int
        Number of these that were not zero.
    max_relative_error, mean_relative_error : float
        Of ``|ga - gn| / max(1e-6, |ga| + |gn|)`` over everything that was compared. These allow a comparison with
        other checkers; the verdict depends on the error bars. NaN if everything was at kinks.
    tensors : dict of str to dict
        For each tensor that was compared entry by entry: ``entries``, ``mean_relative_error``, ``max_relative_error``.
    resolution : float
        The smallest error of one entry, relative to the largest of its tensor, that the check would have detected; at
        most 1e-3 for a pass.
    notes : list of str
        Remarks that are not faults, such as a tensor whose slopes are all zero.
    seed : int
        Seed of the directions and upstream gradients.
    forwards, backwards : int
        Number of calls that the check made.
    seconds : float
    reproduce : str
        One line of Python that repeats the check. It contains short arrays in full. Other arguments appear by their
        name, and a comment lists them.
    """

    subject: str
    verdict: Verdict
    findings: list[Finding] = field(default_factory=list)
    compared: int = 0
    nonzero: int = 0
    max_relative_error: float = 0.0
    mean_relative_error: float = 0.0
    tensors: dict[str, dict[str, float]] = field(default_factory=dict)
    resolution: float = float("inf")
    notes: list[str] = field(default_factory=list)
    seed: int = 0
    forwards: int = 0
    backwards: int = 0
    seconds: float = 0.0
    reproduce: str = ""

    @property
    def ok(self) -> bool:
        """Whether the verdict is a pass."""
        return self.verdict.ok

    def assert_ok(self, *, vacuous: bool = False) -> None:
        """Raise the GradientCheckError of the verdict, with the text of the report, unless the check passed.

        With `vacuous`, also accept VACUOUS: at ties, zeros and extremes, every gradient may be zero.
        """
        if not (self.ok or (vacuous and self.verdict is Verdict.VACUOUS)):
            raise _ERRORS[self.verdict](str(self))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers, strings, lists and dicts; NaN and infinity become strings."""
        text = json.dumps(asdict(self) | {"ok": self.ok}, default=lambda verdict: verdict.name)
        plain: dict[str, Any] = json.loads(text, parse_constant=lambda number: str(float(number)))
        return plain

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        lines = [f"{self._headline()}  {self.subject}"]
        lines += [f"  {self.verdict.value}"] if self.ok else []
        lines += [f"  - {finding}"[:200] for finding in self._first_findings()]
        lines += [f"  {remark}" for remark in self._remarks()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        findings = counted(len(self.findings), "finding")
        return f"GradientReport({self.verdict.name}, {self.subject}, {self.compared} compared, {findings})"

    def _repr_html_(self) -> str:
        colour = _GREEN if self.ok else _AMBER if self.verdict in _UNDECIDED else _RED
        badge = f'<strong style="color: white; background: {colour}; padding: 0 0.4em">{self._headline()}</strong>'
        lines = [f"<p>{badge} {escape(self.subject)}{f'<br>{escape(self.verdict.value)}' if self.ok else ''}</p>"]
        if self.findings:
            lines.append(f"<ul>{''.join(f'<li>{escape(finding)}</li>' for finding in self._first_findings())}</ul>")
        if self.tensors:
            errors = ("mean_relative_error", "max_relative_error")
            rows = [(name, *(row[key] for key in ("entries", *errors))) for name, row in self.tensors.items()]
            lines.append(html_table(("tensor", "entries", *(key.replace("_", " ") for key in errors)), rows))
        lines.append(f"<p>{'<br>'.join(map(escape, self._remarks()))}</p>")
        return "\n".join(lines)

    def _headline(self) -> str:
        """Return the verdict; if the check failed, its meaning comes first."""
        return self.verdict.name if self.ok else f"{self.verdict.value} ({self.verdict.name})"

    def _first_findings(self) -> list[str]:
        first = [str(finding) for finding in self.findings[:6]]
        more = len(self.findings) - len(first)
        return first + ([f"and {more} more findings; to_dict() has all of them"] if more else [])

    def _remarks(self) -> list[str]:
        """Return the lines below the verdict and the findings."""
        lines = []
        if self.compared:
            entries = int(sum(row["entries"] for row in self.tensors.values()))
            others = "along directions" + ("" if self.verdict is Verdict.PASS else ", at kinks or uncertain")
            kinds = {"of single entries": entries, others: self.compared - entries}
            parts = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
            lines.append(f"compared {self.compared} derivatives: {parts} ({self.nonzero} not zero)")
            errors = f"{self.mean_relative_error:.1e} (mean), {self.max_relative_error:.1e} (max)"
            unknown = math.isnan(self.max_relative_error)
            lines.append(f"relative error {'unknown: every entry is at a kink or too small' if unknown else errors}")
        if self.ok:
            lines.append(
                f"resolution: an error in one entry of {self.resolution:.0e} times the largest would have been detected"
            )
        lines += [f"note: {note}"[:198] for note in self.notes[:3]]
        cost = f"{self.forwards} forwards, {self.backwards} backwards, {1000 * self.seconds:.0f} ms"
        lines.append(f"seed {self.seed}; {cost}")
        if self.reproduce and not self.ok:
            lines.append(f"repeat with: {self.reproduce}")
        return lines
