"""Nested containers: search lists, tuples, sets and dicts for objects of given types."""

from collections.abc import Iterator
from typing import Any

_HOLDERS = (list, tuple, set, frozenset, dict)


def instances_in(value: Any, *kinds: type) -> Iterator[tuple[str, Any]]:
    """Yield (index, item) for each item of `kinds` in `value` or equal to it, such as ``("[0]['query']", layer)``."""
    todo, visited = [("", value)], set()
    for path, holder in todo:
        if isinstance(holder, kinds):
            yield path, holder
        # A list may contain itself.
        elif isinstance(holder, _HOLDERS) and id(holder) not in visited:
            visited.add(id(holder))
            items = holder.items() if isinstance(holder, dict) else enumerate(holder)
            todo += [(f"{path}[{key!r}]", item) for key, item in items if isinstance(item, (*kinds, *_HOLDERS))]
