"""Texts of figures: how wide they are, how they fold into lines, and how numbers are written."""

import math
import re
from collections.abc import Iterable, Sequence
from unicodedata import east_asian_width

from minidl._core.tables import cell

# Of texts in figures of matplotlib, in points.
SIZE = 11.0

# Of letters in DejaVu Sans, which is wider than most fonts, in units of the text size.
_WIDTHS = {0.28: "ijl'", 0.34: " IJ.,:;|/", 0.42: "ftr()[]-!", 0.53: "sz_", 0.6: "ckvxyFL", 0.62: "aeoPTY"}
_WIDTHS |= {0.7: "ABCKRVXZ", 0.84: "w+=<>~^#&±\u2212\u00d7", 0.98: "m", 1.0: "MW%@…—"}
_WIDTH_OF = {letter: width for width, letters in _WIDTHS.items() for letter in letters}


def width_of(text: str, size: float) -> float:
    """Return how wide the longest line of `text` is at most, in DejaVu Sans or a narrower font of this size."""
    return size * max((sum(map(_width, line)) for line in text.splitlines()), default=0.0)


def _width(letter: str) -> float:
    if east_asian_width(letter) in "WF":
        return 1.0
    # Capitals, and letters that are not Latin.
    return _WIDTH_OF.get(letter) or (0.8 if letter.isupper() or letter > "\u024f" else 0.64)


def fold(text: str, width: float, size: float = SIZE) -> str:
    """Return `text` in lines of at most this width, broken at spaces (not those of `a = 1`) and in paths."""
    lines = [""]
    for part in re.split(r"(?<=[^=]\s)(?!=)|(?<=[._/])(?=[^\W\d])", " ".join(text.split())):
        if lines[-1] and width_of(lines[-1] + part.rstrip(), size) > width:
            lines.append("")
        lines[-1] += part
        while len(line := lines[-1].rstrip()) > 1 and width_of(line, size) > width:
            # No letter is wider than its line.
            fitting = max(1, int(width / size))
            while fitting < len(line) - 1 and width_of(line[: fitting + 1], size) <= width:
                fitting += 1
            lines[-1:] = [line[:fitting], lines[-1][fitting:]]
    return "\n".join(line.rstrip() for line in lines)


def number_text(value: float, decimals: int, digits: int = 4) -> str:
    """Return a number with these decimals, or with a power of ten where that is shorter.

    Examples
    --------
    >>> number_text(1234.5, 1), number_text(0.25, 3), number_text(3e300, 0)
    ('1,234.5', '0.250', '3e300')
    """
    value = float(value)
    text = cell(value)
    if math.isfinite(value):
        # Adding 0 removes the sign of a zero.
        text = f"{round(value, decimals) + 0.0:,.{decimals}f}"
        if abs(value) >= 1e7 or decimals > 5:
            text = re.sub(r"\.?0*e\+?(-?)0*", r"e\1", f"{value:.{digits - 1}e}").removesuffix("e")
    return text.replace("-", "\N{MINUS SIGN}")


def value_texts(values: Sequence[float]) -> list[str]:
    """Return numbers with equally many decimals: four digits for the largest and at least two for each."""
    sizes = [abs(value) if math.isfinite(value) else 0.0 for value in values]
    places = max(0, 3 - magnitude(max(sizes, default=0.0)))
    own = [places if size == 0 or size >= 10.0**-places else 1 - magnitude(size) for size in sizes]
    return [number_text(value, decimals) for value, decimals in zip(values, own, strict=True)]


def is_share(quantity: str, values: Iterable[float]) -> bool:
    """Return whether these are shares, shown in per cent: by the end of the name, and all values are from 0 to 1."""
    return quantity.endswith(("accuracy", "acc", "precision", "recall")) and all(0 <= value <= 1 for value in values)


def magnitude(value: float) -> int:
    """Return the power of ten of the first digit; 0 for zero and for what is not finite."""
    return math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 0
