"""Splits: divide a dataset into a training part and a validation part."""

import numpy as np

from minidl._core.attributes import explained
from minidl._core.checks import as_count, as_number, check_type
from minidl._core.errors import InputError
from minidl._core.randomness import as_generator
from minidl._core.types import Array, Seed
from minidl.data.dataset import Dataset


@explained
def train_validation_split(
    dataset: Dataset, validation: int | float, rng: Seed = 0, stratify: bool = True
) -> tuple[Dataset, Dataset]:
    """Return (train, validation): the rows divided at random, each part in the original order.

    With `stratify`, a class with c of the n rows gets ``validation * c / n`` rows in the validation part. These numbers
    are rounded so that their sum is exact: the largest remainders are rounded up.

    Parameters
    ----------
    dataset : Dataset
        For `stratify`, with integer class labels as targets, shape (n,).
    validation : int or float
        The number of validation rows; or, strictly between 0 and 1, their fraction, rounded. Each part gets at least
        one row.
    rng : int, Generator or None
        Draws the rows; the same seed gives the same split.
    stratify : bool
        Whether to keep the class frequencies in both parts; False draws from all rows.

    Raises
    ------
    InputError
        If an argument is not as above.

    Examples
    --------
    >>> data = Dataset(np.arange(6.0), [0, 0, 0, 0, 1, 1])
    >>> train, validation = train_validation_split(data, 3)
    >>> train.y.tolist(), validation.y.tolist()
    ([0, 0, 1], [0, 0, 1])
    """
    check_type("train_validation_split", "dataset", dataset, Dataset, "put x and y into one: Dataset(x, y)")
    rng = as_generator(rng)
    n, count = len(dataset), _count(validation, len(dataset))
    y = dataset.y if stratify else np.zeros(n, int)
    if y.ndim != 1 or y.dtype.kind not in "iub":
        got = f"{y.dtype} {y.shape}"
        raise InputError(f"stratify: expected integer class labels of shape (n,), got {got}; or pass stratify=False")
    _, group, sizes = np.unique(y, return_inverse=True, return_counts=True)
    chosen = np.zeros(n, bool)
    for number, quota in enumerate(_quotas(sizes, count)):
        chosen[rng.permutation(np.flatnonzero(group == number))[:quota]] = True
    return dataset[~chosen], dataset[chosen]


def _count(validation: int | float, n: int) -> int:
    is_fraction = isinstance(validation, float | np.floating)
    count = round(as_number("validation", validation) * n) if is_fraction else as_count("validation", validation)
    if not 1 <= count < n:
        wanted = f"1 to {n - 1} of the {n} rows, or a fraction between 0 and 1"
        raise InputError(f"validation: expected {wanted}, got {validation!r:.80}; both parts need at least one row")
    return count


def _quotas(sizes: Array, count: int) -> Array:
    """Return for each group an integer near its share of `count`, in proportion to `sizes`; they sum to `count`."""
    quotas, remainders = np.divmod(sizes * count, sizes.sum())
    quotas[np.argsort(-remainders, kind="stable")[: count - quotas.sum()]] += 1
    return quotas
