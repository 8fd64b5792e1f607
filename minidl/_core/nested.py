"""Nested: what lists, tuples, sets and dicts hold."""

from collections.abc import Iterator
from typing import Any

_HOLDERS = (list, tuple, set, frozenset, dict)


def instances_in(value: Any, *kinds: type) -> Iterator[tuple[str, Any]]:
    """Yield (index, item) for each item of `kinds` that `value` is or holds, such as ``("[0]['query']", layer)``."""
    todo, seen = [("", value)], set()
    for path, holder in todo:
        if isinstance(holder, kinds):
            yield path, holder
        # A list may hold itself.
        elif isinstance(holder, _HOLDERS) and id(holder) not in seen:
            seen.add(id(holder))
            items = holder.items() if isinstance(holder, dict) else enumerate(holder)
            todo += [(f"{path}[{key!r}]", item) for key, item in items if isinstance(item, (*kinds, *_HOLDERS))]
