"""Have the labels anything to do with x? Two simple rules guess them, and are compared with chance."""

import math

import numpy as np

from minidl._core.types import Array
from minidl.data.dataset import Dataset

# Rows that are compared with each other, about: 0.1 s for 3072 features.
_COMPARED = 1000
# Rows that a class must have.
_LEAST = 10
# Standard deviations above chance, as if rows were guessed independently. At 3.5, one shuffled set in 250 passes.
_SIGNIFICANT = 3.5


def relation(data: Dataset, rng: np.random.Generator) -> tuple[str, bool] | None:
    """Return how often a rule tells the label from x, and whether that is more than chance; None if rows are too few.

    About as many rows are drawn of each class, and what counts is the mean share of right guesses over the classes:
    where one class has nearly all rows, always naming it would be right nearly always, and 1/K by this measure.
    """
    labels, counts = np.unique(data.y, return_counts=True)
    labels, counts = labels[counts >= _LEAST], counts[counts >= _LEAST]
    each = min(max(int(counts.min(initial=_COMPARED)), 50), _COMPARED // max(1, len(labels)))
    if len(data) < 100 or len(labels) < 2 or each < 5:
        return None
    rows = np.concatenate([rng.permutation(np.flatnonzero(data.y == label))[:each] for label in labels])
    x, y = data.x[rows].reshape(len(rows), -1).astype(np.float32), data.y[rows]
    x -= x.mean(axis=0)
    spread = x.std(axis=0)
    x /= np.where(spread > 0, spread, 1)
    own = y[:, np.newaxis] == labels
    sizes = own.sum(axis=0)
    from_rows = _distances(x, x)
    np.fill_diagonal(from_rows, np.inf)
    from_means = _distances(x, np.array([x[y == label].mean(axis=0) for label in labels]))
    # So far is each row from the mean of the other rows of its class.
    from_means *= np.where(own, (sizes / (sizes - 1)) ** 2, 1)
    rules = {
        "the nearest row": y[from_rows.argmin(axis=1)],
        "the nearest class mean": labels[from_means.argmin(axis=1)],
    }
    best, found, chance = -math.inf, "", 1 / len(labels)
    for rule, guesses in rules.items():
        guessed = guesses[:, np.newaxis] == labels
        right = float(((guessed & own).sum(axis=0) / sizes).mean())
        # By chance, a label is guessed as often for rows of its class as for all.
        shares = guessed.mean(axis=0)
        deviation = chance * math.sqrt((shares * (1 - shares) / sizes).sum())
        above = (right - chance) / max(deviation, 1e-6)
        if above > best:
            best, found = above, f"{rule} tells the label in {right:.0%}"
    alike = ", each class counted alike" if sizes.min() < each else ""
    return f"{found} of {len(y)} rows{alike}, by chance {chance:.0%}", best > _SIGNIFICANT


def _distances(a: Array, b: Array) -> Array:
    """Return the squared distance of each row of `a` from each row of `b`."""
    squares: Array = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * (a @ b.T)
    return squares
