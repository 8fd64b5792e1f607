"""Texts: characters that cannot be shown are refused in names and replaced elsewhere; long names are shortened."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable

from minidl._core.errors import InputError

# Control characters, surrogates (which cannot be encoded), and characters that XML forbids.
_UNSHOWABLE = "[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]"


def check_text(name: str, value: object) -> None:
    """Refuse a text with characters that cannot be shown; tabs and line breaks are allowed.

    A terminal executes control characters, an HTML page or SVG picture with them is not well-formed, and a surrogate
    cannot be written to a file.
    """
    if match := re.search(_UNSHOWABLE, str(value).replace("\r", "\n")):
        raise InputError(f"{name}: expected a text that can be shown, got {str(value)!r:.80}; remove {match[0]!r}")


def legible(text: str) -> str:
    """Return `text` with U+FFFD for every character that `check_text` refuses, and for carriage returns.

    Examples
    --------
    >>> legible("\\x1b[31mred")
    '\ufffd[31mred'
    """
    return re.sub(_UNSHOWABLE, "\ufffd", text)


def distinct_labels(names: Iterable[object], most: float, width: Callable[[str], float] = len) -> list[str]:
    """Return each name on one line of at most this `width`, shortened so that different names stay different.

    Names of the same pattern, such as ``lam=0.1, eta=0.01, seed=0``, lose the words that they all share; others, and
    those that are still too long, lose their middle. Names that differ only in the lost part are numbered.

    Examples
    --------
    >>> distinct_labels(["lam=0, data=cifar10, seed=1", "lam=1, data=cifar10, seed=1"], 20)
    ['lam=0, data=…', 'lam=1, data=…']
    >>> distinct_labels(["Labrador retriever"], 12)
    ['Labrad…iever']
    """
    texts = [legible(" ".join(str(name).split())) for name in names]
    labels = [cut(text, most, width) for text in _without_shared_words(texts, most, width)]
    places: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, []).append(place)
    taken = {*places}
    for label, group in places.items():
        different = list(dict.fromkeys(texts[place] for place in group))
        if len(different) > 1:
            # Among themselves they may share more words than all names do.
            own = [cut(text, most, width) for text in _without_shared_words(different, most, width)]
            if len(set(own)) < len(own) or not taken.isdisjoint({*own} - {label}):
                ends = [f" ({number})" for number in range(1, len(own) + 1)]
                own = [cut(label, most - width(end), width) + end for end in ends]
            taken |= {*own}
            for place in group:
                labels[place] = own[different.index(texts[place])]
    return labels


def _without_shared_words(texts: list[str], most: float, width: Callable[[str], float]) -> list[str]:
    """Return texts with equally many words without the words that all share, until they fit.

    The word farthest from one that differs goes first. Of two equally far the later one does, so that "seed=" keeps
    its number.
    """
    # A decimal number counts as one word.
    words = [re.findall(r"(?:\d+\.\d+|\w+)\W*|\W+", text) for text in texts]
    if len(words) < 2 or len({*map(len, words)}) > 1:
        return texts
    columns = list(zip(*words, strict=True))
    shared = [place for place, column in enumerate(columns) if len({*column}) == 1]
    differing = [place for place in range(len(columns)) if place not in shared] or [0]
    for place in sorted(shared, key=lambda place: -min(abs(place - other + 0.25) for other in differing)):
        if max(map(width, texts)) <= most:
            break
        for row in words:
            row[place] = "…"
        texts = [re.sub("…+", "…", "".join(row)) for row in words]
    return texts


def cut(text: str, most: float, width: Callable[[str], float] = len) -> str:
    """Return `text` without its middle if it is wider than `most`."""

    def shortened(letters: int) -> str:
        return f"{text[: (letters + 1) // 2]}…{text[len(text) - letters // 2 :]}"

    if width(text) <= most:
        return text
    too_many = bisect_right(range(len(text)), most, key=lambda letters: width(shortened(letters)))
    return shortened(max(0, too_many - 1))
