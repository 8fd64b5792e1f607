"""One line of a sanity check."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

from minidl._core.errors import MinidlError

Level = Literal["ok", "warning", "fault"]


class SanityItem(NamedTuple):
    """One thing that `sanity_check` looked at: its name, the verdict, and a sentence with what to do."""

    name: str
    verdict: Level
    sentence: str


def raised(name: str, error: Exception) -> SanityItem:
    """Return the fault that something raised `error`: layers and losses of the user's own may raise anything."""
    told = str(error) if isinstance(error, MinidlError) else f"the model raised {type(error).__name__}: {error}"
    return SanityItem(name, "fault", told)


def attempted(name: str, look: Callable[..., SanityItem], *arguments: Any) -> SanityItem:
    """Return what ``look(*arguments)`` returns, or the fault `name` if it raises."""
    try:
        return look(*arguments)
    except Exception as error:
        return raised(name, error)


Rule = tuple[Any, str]


def judged(name: str, *, faults: Iterable[Rule] = (), warnings: Iterable[Rule] = (), otherwise: str) -> SanityItem:
    """Return the item with the sentence of the first rule (whether it holds, sentence) that holds; else it is ok."""
    rules: dict[Level, Iterable[Rule]] = {"fault": faults, "warning": warnings}
    found = (SanityItem(name, level, sentence) for level in rules for holds, sentence in rules[level] if holds)
    return next(found, SanityItem(name, "ok", otherwise))
