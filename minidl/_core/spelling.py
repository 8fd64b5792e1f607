"""Spelling: what a wrong name may have been meant to be."""

from collections.abc import Iterable

from minidl._core.errors import InputError


def nearest(name: object, known: Iterable[str], count: int = 3, *, cutoff: float = 0.4) -> list[str]:
    """Return up to `count` of the `known` names that look most like `name`, capitals aside, the likeliest first."""
    import difflib  # only for the words of an error

    spelled = {text.lower(): text for text in known}
    return [spelled[text] for text in difflib.get_close_matches(str(name).lower(), spelled, n=count, cutoff=cutoff)]


def check_known(where: str, what: str, name: object, known: Iterable[str]) -> None:
    """Refuse a name that is not `known`; the message has all of these, and the nearest one.

    Raises
    ------
    InputError
    """
    known = list(known)
    if name not in known:
        hint = f"; did you mean {meant[0]!r}?" if (meant := nearest(name, known, 1)) else ""
        raise InputError(f"{where}: no {what} {name!r}, there is {', '.join(known) or 'nothing'}{hint}")
