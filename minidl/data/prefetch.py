"""Prefetching: the next item is made while this one is used."""

from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")

MIN_BYTES = 2**19
"""Items that are copies of at least so much: to hand one over costs up to 0.1 ms. Of an epoch of 100 batches of 1.2 MB
and their products it saves 9 of 39 ms.
"""


def prefetched(items: Iterator[T]) -> Iterator[T]:
    """Yield the same items in the same order; each is made in a second thread while the one before it is used.

    What making an item raises is raised in its turn. If the consumer stops early, one item was made for nothing.

    Examples
    --------
    >>> list(prefetched(iter("abc")))
    ['a', 'b', 'c']
    """
    from concurrent.futures import ThreadPoolExecutor  # 4 ms, which a program that trains nothing should not wait for

    end = object()
    with ThreadPoolExecutor(1, "prefetch") as thread:
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item  # type: ignore[misc]
