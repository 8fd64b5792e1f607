"""One line of a sanity check."""

from typing import Literal, NamedTuple

Level = Literal["ok", "warning", "fault"]


class SanityItem(NamedTuple):
    """One thing that `sanity_check` looked at: its name, the verdict, and a sentence with what to do."""

    name: str
    verdict: Level
    sentence: str
