"""Texts: what no terminal, page or picture can show is refused in a name, and replaced in what comes from elsewhere."""

import re

from minidl._core.errors import InputError

# Control characters, halves of surrogate pairs (which no file can hold), and what XML has not.
_UNSHOWABLE = "[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]"


def check_text(name: str, value: object) -> None:
    """Refuse a text with characters that cannot be shown; tabs and line breaks can.

    A terminal acts on control characters, a page or picture in which they are is not well-formed, and no file can hold
    one half of a surrogate pair.
    """
    if found := re.search(_UNSHOWABLE, str(value).replace("\r", "\n")):
        raise InputError(f"{name}: expected a text that can be shown, got {str(value)!r:.80}; leave out {found[0]!r}")


def legible(text: str) -> str:
    """Return `text` with a replacement sign for every character that `check_text` refuses, and for a carriage return.

    Examples
    --------
    >>> legible("\\x1b[31mred")
    '\ufffd[31mred'
    """
    return re.sub(_UNSHOWABLE, "\ufffd", text)
