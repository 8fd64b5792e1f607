"""Spelling: what a wrong name may have been meant to be."""

from collections.abc import Iterable


def nearest(name: object, known: Iterable[str], count: int = 3) -> list[str]:
    """Return up to `count` of the `known` names that look most like `name`, the likeliest first."""
    import difflib  # only for the words of an error

    return difflib.get_close_matches(str(name), list(known), n=count, cutoff=0.4)
