"""Spelling: what a wrong name may have been meant to be."""

from collections.abc import Iterable


def nearest(name: object, known: Iterable[str], count: int = 3) -> list[str]:
    """Return up to `count` of the `known` names that look most like `name`, capitals aside, the likeliest first."""
    import difflib  # only for the words of an error

    spelled = {text.lower(): text for text in known}
    return [spelled[text] for text in difflib.get_close_matches(str(name).lower(), spelled, n=count, cutoff=0.4)]
