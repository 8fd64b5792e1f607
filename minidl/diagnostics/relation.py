"""Test whether labels are related to x: two simple rules predict them, and are compared with chance."""

import math

import numpy as np

from minidl._core.types import Array
from minidl.data.dataset import Dataset

# Approximate number of rows to compare with each other: 0.1 s for 3072 features.
_COMPARED = 1000
# Fewest rows of a class.
_LEAST = 10
# Standard deviations above chance, if rows were independent. At 3.5, one shuffled dataset in 250 passes.
_SIGNIFICANT = 3.5


def relation(data: Dataset, rng: np.random.Generator) -> tuple[str, bool] | None:
    """Return how often a rule predicts the label from x, and whether this is above chance; None if rows are too few.

    About the same number of rows is drawn from each class, and the measure is the accuracy within each class, averaged
    over the K classes. So always predicting the most frequent class gives only 1/K.
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
    # Turn this into the distance from the mean of the other rows of its class.
    from_means *= np.where(own, (sizes / (sizes - 1)) ** 2, 1)
    rules = {
        "the label of the nearest other row": y[from_rows.argmin(axis=1)],
        "the class with the nearest mean": labels[from_means.argmin(axis=1)],
    }
    best, finding, chance = -math.inf, "", 1 / len(labels)
    for rule, guesses in rules.items():
        guessed = guesses[:, np.newaxis] == labels
        right = float(((guessed & own).sum(axis=0) / sizes).mean())
        # By chance, a label is predicted equally often for rows of its class and for all rows.
        shares = guessed.mean(axis=0)
        deviation = chance * math.sqrt((shares * (1 - shares) / sizes).sum())
        above = (right - chance) / max(deviation, 1e-6)
        if above > best:
            best, finding = above, f"{rule} is correct for {100 * right:.0f} %"
    weighting = ", averaged over the classes" if sizes.min() < each else ""
    return f"{finding} of {len(y):,} rows{weighting}; chance is {100 * chance:.0f} %", best > _SIGNIFICANT


def _distances(a: Array, b: Array) -> Array:
    """Return the squared distance of each row of `a` from each row of `b`."""
    squares: Array = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * (a @ b.T)
    return squares
