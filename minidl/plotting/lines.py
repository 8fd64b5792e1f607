"""Lines over epochs: their axes, when these become logarithmic, and the names at the lines' ends."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from minidl._core.checks import as_count, check_unmasked
from minidl._core.errors import InputError, ShapeError
from minidl._core.quality import LARGER_IS_BETTER, SMALLER_IS_BETTER
from minidl._core.texts import legible
from minidl._core.types import Array, Axes, Figure
from minidl.plotting.style import PALETTE, begin, finish, points_of
from minidl.plotting.texts import SIZE, fold
from minidl.plotting.ticks import set_limits, set_ticks

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

_QUANTITIES = {
    "loss": "loss (mean per sample)",
    "cost": "cost (loss + penalty)",
    "accuracy": "accuracy (share correct)",
    "seconds": "seconds per epoch",
}
# Points of a note below the axes, which names beside the axes push aside.
_NOTE = 215
# Of lines that are only what others stand out from.
_PALE = "0.8"
LINE_STYLES, MARKERS = ("-", "--", "-.", ":"), ("o", "s", "^", "D", "v")


class Columns(Protocol):
    """Named columns, one value per epoch or trial: a `History`, a `SweepResult`, or a dict of lists."""

    def __contains__(self, name: object, /) -> bool: ...

    def __getitem__(self, name: str, /) -> Sequence[Any]: ...


def with_gaps(values: Sequence[float]) -> Array:
    """Return a copy of `values` with NaN, a gap in the line, for numbers that are not finite or beyond 1e300."""
    check_unmasked("a curve", values)
    array = np.array(values, dtype=np.float64)
    array[~(np.abs(array) <= 1e300)] = np.nan
    return array


def learning_curves(where: str, history: Columns, quantity: str) -> tuple[Array, dict[str, Array]]:
    """Return the epochs and the curves of training and validation, those that the history has."""
    names = {"training": quantity, "validation": f"val_{quantity}"}
    found = {label: with_gaps(history[name]) for label, name in names.items() if name in history and len(history[name])}
    if not found:
        raise InputError(f"{where}: expected a history with {quantity!r} or 'val_{quantity}', got {history!r:.200}")
    return epochs_of(where, history, found), found


def run_curves(where: str, runs: Mapping[str, Columns], quantity: str) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the epochs and the curve of each run that has this column; refuse runs of which none has it."""
    if not isinstance(runs, Mapping):
        raise InputError(f"{where}: expected runs to be a dict of histories by name, got {type(runs).__name__}")
    curves = {name: with_gaps(run[quantity]) for name, run in runs.items() if quantity in run and len(run[quantity])}
    if not curves:
        got = ", ".join(f"{name}: {run!r:.80}" for name, run in runs.items()) or "no run"
        raise InputError(f"{where}: expected a run with {quantity!r}, got {got:.400}")
    return {name: epochs_of(where, runs[name], {name: values}) for name, values in curves.items()}, curves


def best_runs(quantity: str, curves: Mapping[str, Array]) -> list[str]:
    """Return the names of the ten runs with the best last values, in the order of the curves."""
    sign = -1 if quantity.endswith(LARGER_IS_BETTER) else 1
    last = {name: np.nan_to_num(sign * values[-1], nan=np.inf) for name, values in curves.items()}
    best = set(sorted(curves, key=lambda name: last[name])[:10])
    return [name for name in curves if name in best]


def epochs_of(where: str, columns: Columns, curves: Mapping[str, Array]) -> Array:
    """Return the epochs of these `curves`, counted from 1 where `columns` has none."""
    first = next(iter(curves.values()))
    epochs = np.asarray(columns["epoch"] if "epoch" in columns else range(1, first.size + 1))
    for name, values in curves.items():
        if values.shape != epochs.shape or len(epochs) == 0:
            got = f"{values.size} for {len(epochs) or 'no'} epochs"
            raise ShapeError(f"{where}: expected one number per epoch for {name!r}, got {got}")
    return epochs


def gaps_in(curves: Mapping[str, Array], epochs: Sequence[Array], missing: Callable[[Array], Array]) -> dict[str, str]:
    """Return for each curve with `missing` numbers a text that says in which epochs they are."""
    words = {}
    for (name, values), at in zip(curves.items(), epochs, strict=True):
        gap = missing(values)
        if gap.any():
            first = int(gap.argmax())
            ends = gap[first:].all()
            words[name] = (
                f"from epoch {at[first]} on" if ends else f"in {gap.sum()} of {len(gap)} epochs, first in {at[first]}"
            )
    return words


def listed(what: str, names: Sequence[str]) -> list[str]:
    """Return a note that lists `names`, or the first three of many; nothing if there are none."""
    names = [*names[:3], f"{len(names) - 3:,} more"] if len(names) > 4 else names
    return [f"{what}: {', '.join(names)}"] if names else []


def quantity_label(quantity: str, *, log: bool = False) -> str:
    """Return the label of an axis for a column of the history."""
    name = quantity.removeprefix("val_")
    label = _QUANTITIES.get(name, name.replace("_", " "))
    label = f"{label.partition(' (')[0]}, log scale" if log else label
    return label if name == quantity else f"validation {label}"


def line_style(number: int) -> dict[str, Any]:
    """Return colour, line style and marker of line `number`, from 0; the first 140 differ, most also in grey."""
    color, linestyle, marker = (kinds[number % len(kinds)] for kinds in (PALETTE, LINE_STYLES, MARKERS))
    return {"color": color, "linestyle": linestyle, "marker": marker, "markersize": 3, "linewidth": 1.4}


def marked_points(values: Array) -> list[int]:
    """Return which points get a marker: all points of a short line, else those that no line reaches."""
    return list(range(len(values))) if len(values) <= 50 else lone_points(values)


def lone_points(values: Array) -> list[int]:
    """Return the points that no line reaches: those between two gaps."""
    gap = np.pad(np.isnan(values), 1, constant_values=True)
    return np.flatnonzero(~gap[1:-1] & gap[:-2] & gap[2:]).tolist()


def is_wide(values: Iterable[float], quantity: str = "loss") -> bool:
    """Return whether an axis is logarithmic: all values are positive, and the largest is 10 times the smallest.

    Only losses, costs and errors have one, by the end of their name.
    """
    array = with_gaps([*values])
    low, high = np.fmin.reduce(array, initial=np.inf), np.fmax.reduce(array, initial=-np.inf)
    return quantity.endswith(SMALLER_IS_BETTER) and bool(0 < 10 * low <= high)


def draw_lines(
    ax: Axes | None,
    title: str,
    epochs: Sequence[Array],
    curves: Mapping[str, Array],
    styles: Sequence[dict[str, Any]],
    notes: Sequence[str],
    label: str,
    *,
    log: bool,
    ends: Mapping[str, str] | None = None,
    pale: Sequence[tuple[Array, Array]] = (),
    classes: int | None = None,
    band: tuple[float, float] | None = None,
) -> Figure:
    """Draw each curve over its epochs in its style, with `notes` below the axis, and return the figure.

    A legend names the curves; or, with `ends`, their texts stand where the curves of these names end. Behind them are
    the `pale` lines, (epochs, values), a grey `band`, and a dotted line at 1 / `classes`. A cross marks the last value
    before a curve's first gap.
    """
    from matplotlib.collections import LineCollection

    values = np.concatenate([*curves.values(), *(line for _, line in pale)])
    if band is not None:
        notes = ["grey band: around 0.001", *notes]
        values = np.append(values, band)
    chance = None if classes is None else 1 / as_count("classes", classes)
    if chance is not None:
        notes = [*notes, f"dotted: chance, {chance:.3g}"]
        values = np.append(values, chance)
    note = "\n".join(["epoch", *(fold(legible(note), _NOTE) for note in notes)])
    folded = {name: fold(text, 84) for name, text in (ends or {}).items()}
    step = 1.25 * SIZE * max([1, *(text.count("\n") + 1 for text in folded.values())])
    height = max(2.2, step * len(folded) / 72)
    given, ax = ax, begin(ax, title, 2 + note.count("\n"), height + 0.3)
    lines: list[Line2D] = []
    if pale:
        segments = [np.column_stack(points) for points in pale]
        ax.add_collection(LineCollection(segments, colors=_PALE, linewidths=0.5, zorder=1))
    for at, (name, curve), style in zip(epochs, curves.items(), styles, strict=True):
        lines += ax.plot(at, curve, label=name, markevery=marked_points(curve), **style)
        gap = np.isnan(curve)
        if gap.any() and (last := int(gap.argmax()) - 1) >= 0:
            ax.scatter(at[last], curve[last], marker="x", s=50, color=style["color"], zorder=3)
    if chance is not None:
        ax.axhline(chance, color="black", linestyle=":", linewidth=1.4)
    if band is not None:
        ax.axhspan(*band, color="0.9", zorder=0)
    # Names at the ends take room from the epochs.
    set_axes(ax, np.concatenate([*epochs, *(at for at, _ in pale)]), values, log=log, points=130 if ends else 220)
    if ends:
        room = 72 * height if given is None else points_of(ax)[1]
        label_ends(
            ax, [(line, folded[name]) for line in lines if (name := str(line.get_label())) in folded], step / room
        )
    return finish(ax, note, label, legend=not ends)


def set_axes(ax: Axes, epochs: Array, values: Array, *, log: bool, points: float = 220) -> None:
    """Give `ax` limits around the data, ticks at whole epochs, and readable ticks of values."""
    margin = max(0.5, 0.02 * (epochs.max() - epochs.min()))
    ax.set_xlim(epochs.min() - margin, epochs.max() + margin)
    set_ticks(ax, float(epochs.min()), float(epochs.max()), axis="x", points=points, whole=True)
    set_limits(ax, values[~np.isnan(values)].tolist(), log=log)


def label_ends(ax: Axes, labels: Sequence[tuple["Line2D", str]], step: float) -> None:
    """Write a text for each line to the right of the axes, level with the line's last point as far as there is room.

    A thin line leads from the point to the text. Between texts are `step` axes' heights. The limits must be final.
    """
    ends = []
    for line, text in labels:
        points = np.column_stack(line.get_data(orig=False))
        points = points[~np.isnan(points[:, 1])]
        if len(points):
            level = ax.transAxes.inverted().transform(ax.transData.transform(points[-1]))[1]
            ends.append((float(level), line, text, points[-1]))
    ends.sort(key=lambda end: end[0])
    apart = min(step, 1.0 / max(1, len(ends) - 1))
    for level, (_, line, text, point) in zip(spread([end[0] for end in ends], apart), ends, strict=True):
        arrow = {"arrowstyle": "-", "color": line.get_color(), "linewidth": 0.6, "relpos": (0, 0.5)}
        font: dict[str, Any] = {"fontsize": SIZE * apart / step, "va": "center", "parse_math": False}
        ax.annotate(text, point, (1.07, level), textcoords="axes fraction", arrowprops=arrow, linespacing=1.0, **font)


def spread(levels: Sequence[float], step: float) -> list[float]:
    """Return the rising `levels` moved so that neighbours are `step` apart, within [0, 1] if they fit.

    Examples
    --------
    >>> spread([0.25, 0.25, 0.875], 0.25)
    [0.125, 0.375, 0.875]
    """
    # (centre, number of members): levels that overlap form one group around their common centre.
    groups: list[tuple[float, int]] = []
    for level in levels:
        groups.append((_kept(level, 1, step), 1))
        while len(groups) > 1 and groups[-1][0] - groups[-2][0] < step * (groups[-1][1] + groups[-2][1]) / 2:
            (a, n), (b, m) = groups[-2:]
            groups[-2:] = [(_kept((a * n + b * m) / (n + m), n + m, step), n + m)]
    return [centre + (i - (n - 1) / 2) * step for centre, n in groups for i in range(n)]


def _kept(centre: float, members: int, step: float) -> float:
    """Return the centre of a group moved so that its members stay within [0, 1]."""
    half = (members - 1) / 2 * step
    return min(max(centre, half), max(half, 1 - half))
