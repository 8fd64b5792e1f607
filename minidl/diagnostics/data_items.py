"""What is most often wrong with data: its scale, its labels, equal rows that contradict each other, mixed-up rows."""

import math
from collections.abc import Iterator

import numpy as np

from minidl._core.checks import check_finite
from minidl._core.errors import MinidlError, NonFiniteError
from minidl._core.types import Array
from minidl.data.dataset import Dataset
from minidl.diagnostics.common import some_rows
from minidl.diagnostics.item import SanityItem, attempted, judged, raised
from minidl.diagnostics.overfit import contradiction
from minidl.nn.losses import Loss
from minidl.nn.model import Model
from minidl.training.nonfinite import first_place

# Rows that scales are measured on.
_MEASURED = 2000
# Rows that are compared with each other: 0.1 s for 3072 features.
_COMPARED = 1000
# Standard deviations above chance.
_SIGNIFICANT = 3.0
_STANDARDIZE = "standardize: scale = dl.Standardizer().fit(train.x), then train.map(scale)"
# Rows among which equal ones are looked for.
_LOOKED_UP = 10_000


def data_items(model: Model, data: Dataset) -> Iterator[SanityItem]:
    """Yield the items about the data; nobody asks for those after a fault, which would only repeat it."""
    rng = np.random.default_rng(0)
    yield _inputs(data, rng)
    try:
        outputs = model.forward(data.x[:1])
        if not np.isfinite(outputs).all():
            raise NonFiniteError(f"its outputs are not finite; first met in {first_place(model, data.x[:1])}")
    except Exception as error:
        yield raised("forward", error)
        return
    targets = attempted("labels", _targets, model.loss, data, outputs)
    yield targets
    relation = _relation(data, rng) if targets.name == "labels" else []
    yield _equal_rows(data, rng)
    yield from relation


def _inputs(data: Dataset, rng: np.random.Generator) -> SanityItem:
    x = data.x
    try:
        check_finite("x", x)
    except MinidlError as error:
        return SanityItem("inputs", "fault", f"{error}; leave such rows out, or mend them")
    rows = some_rows("sanity_check", data, _MEASURED, rng)
    some = x[rows].reshape(len(rows), -1).astype(np.float64)
    n, features = some.shape
    constant = (np.ptp(some, axis=0) == 0) & (n > 1)
    low, high = float(x.min()), float(x.max())
    extent = f"from {low:.4g} to {high:.4g}"
    sizes = np.sqrt(np.square(some).mean(axis=0))
    large = sizes > 10
    shape = " x ".join(map(str, x.shape[1:])) or "1"
    # Adding 0 makes -0.0 plain 0.
    mean = round(float(some.mean()), 2) + 0.0
    many = f"{large.sum()} of {features} features are far larger than 1, most of all number {sizes.argmax()}"
    same = f"{constant.sum()} of {features} features are the same in all of {n} rows"
    return judged(
        "inputs",
        faults=[
            (not some.any(), f"all numbers are 0 in {n} rows: was the data read right?"),
            (constant.all(), f"{n} rows of x are all the same: was the data read right?"),
        ],
        warnings=[
            (large.mean() > 0.5, f"x is {x.dtype} {extent}, far from mean 0 and spread 1; {_STANDARDIZE}"),
            (large.any(), f"{many}; {_STANDARDIZE}, and look for outliers (x goes {extent})"),
            (sizes.max() < 0.01, f"x is tiny, {extent}; {_STANDARDIZE}"),
            (max(-low, high) > 1000, f"x goes {extent}, far outside the rest: look for outliers"),
            (constant.mean() > 0.5, f"{same}: is that meant so?"),
        ],
        otherwise=f"{len(data)} rows of {shape}, from {low:.3g} to {high:.3g}, mean {mean:g}, "
        f"standard deviation {some.std():.2g}",
    )


def _targets(loss: Loss, data: Dataset, outputs: Array) -> SanityItem:
    targets = loss.check_targets(data.y, (len(data), *outputs.shape[1:]))
    # A classifier chooses one class a row, from outputs (n, classes).
    classifies = outputs.ndim == 2 and outputs.shape[1] > 1 and targets.ndim == 1 and targets.dtype.kind in "iu"
    if classifies and np.shape(loss.predict(outputs)) == outputs.shape[:1]:
        return _labels(targets, outputs.shape[1])
    low, high = float(targets.min()), float(targets.max())
    size = math.sqrt(float(np.square(targets, dtype=np.float64).mean()))
    advice = "subtract their mean and divide by their standard deviation"
    return judged(
        "targets",
        faults=[(len(targets) > 1 and low == high, f"all targets are {low:.4g}: there is nothing to learn")],
        warnings=[(size > 10, f"targets go from {low:.4g} to {high:.4g}, far from 0 +- 1: {advice}")],
        otherwise=f"from {low:.3g} to {high:.3g}, mean {targets.mean():.2g}",
    )


def _labels(labels: Array, classes: int) -> SanityItem:
    # A user's loss may not have asked.
    if labels.min() < 0 or labels.max() >= classes:
        told = f"labels go from {labels.min()} to {labels.max()}, but {classes} outputs stand for 0..{classes - 1}"
        return SanityItem("labels", "fault", told)
    counts = np.bincount(labels, minlength=classes)
    most, n = int(counts.max()), len(labels)
    missing = np.flatnonzero(counts == 0).tolist()
    named = ", ".join([str(label) for label in missing[:5]] + ["..."] * (len(missing) > 5))
    hint = "do labels count from 1?" if 0 in missing else "has the network too many outputs?"
    sizes = f"{most}" if counts.min() == most else f"{counts.min()} to {most}"
    right = f"always saying {counts.argmax()} would be right in {most / n:.1%}"
    return judged(
        "labels",
        faults=[(1 < n == most, f"all {n} labels are {labels[0]}: there is nothing to learn")],
        warnings=[(missing and n >= 10 * classes, f"no row has label {named}, of {classes} classes: {hint}")],
        otherwise=f"{classes} classes of {sizes} rows each; {right}",
    )


def _equal_rows(data: Dataset, rng: np.random.Generator) -> SanityItem:
    rows = some_rows("sanity_check", data, _LOOKED_UP, rng)
    if pair := contradiction(data.x[rows], data.y[rows]):
        i, j = rows[list(pair)].tolist()
        told = f"rows {i} and {j} are the same, but their targets are {data.y[i]} and {data.y[j]}"
        return SanityItem("equal rows", "warning", f"{told}: are the labels right?")
    return SanityItem("equal rows", "ok", f"no two of {len(rows)} rows are the same with different targets")


def _relation(data: Dataset, rng: np.random.Generator) -> list[SanityItem]:
    """Say whether labels have anything to do with x, by the nearest row and the nearest class mean; [] if too few.

    Both are compared with what they would come to by chance, had the labels been dealt out anew.
    """
    rows = some_rows("sanity_check", data, _COMPARED, rng)
    x, y = data.x[rows].reshape(len(rows), -1).astype(np.float32), data.y[rows]
    if len(rows) < 100 or len(rows) < 5 * len(np.unique(y)):
        return []
    x -= x.mean(axis=0)
    spread = x.std(axis=0)
    x /= np.where(spread > 0, spread, 1)
    order = rng.permutation(len(x))
    first, second = order[::2], order[1::2]
    classes = np.unique(y[first])
    means = np.array([x[first][y[first] == c].mean(axis=0) for c in classes])
    nearest = _distances(x, x)
    np.fill_diagonal(nearest, np.inf)
    rules = {
        "the nearest row": (y[nearest.argmin(axis=1)], y),
        "the nearest class mean": (classes[_distances(x[second], means).argmin(axis=1)], y[second]),
    }
    best, found = -math.inf, ""
    for rule, (guesses, labels) in rules.items():
        chance = sum(float((guesses == c).mean() * (labels == c).mean()) for c in np.unique(labels))
        right = float((guesses == labels).mean())
        above = (right - chance) / math.sqrt(max(chance * (1 - chance), 1e-12) / len(labels))
        if above > best:
            best, found = above, f"{rule} tells the label in {right:.0%} of {len(labels)} rows, by chance {chance:.0%}"
    advice = f"labels look unrelated to x ({found}): were rows and labels shuffled apart?"
    return [judged("labels and x", warnings=[(best <= _SIGNIFICANT, advice)], otherwise=found)]


def _distances(a: Array, b: Array) -> Array:
    """Return the squared distance of each row of `a` from each row of `b`."""
    squares: Array = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * (a @ b.T)
    return squares
