"""One line of a sanity check."""

from typing import Literal, NamedTuple

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
