"""Spelling: suggestions for a misspelt name."""

from collections.abc import Iterable

from minidl._core.errors import InputError


def nearest(name: object, known: Iterable[str], count: int = 3, *, cutoff: float = 0.4) -> list[str]:
    """Return up to `count` of the `known` names that are most similar to `name`, ignoring case, the best first."""
    # Only errors need this.
    import difflib

    spelled = {text.lower(): text for text in known}
    return [spelled[text] for text in difflib.get_close_matches(str(name).lower(), spelled, n=count, cutoff=cutoff)]


def check_known(where: str, kind: str, name: object, known: Iterable[str]) -> None:
    """Refuse a name that is not `known`; the message lists all known names of this `kind`, and the nearest one.

    Raises
    ------
    InputError
    """
    known = list(known)
    if name not in known:
        hint = f"; did you mean {likely[0]!r}?" if (likely := nearest(name, known, 1)) else ""
        raise InputError(f"{where}: no {kind} {name!r}; available: {', '.join(known) or 'none'}{hint}")
