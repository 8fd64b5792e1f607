"""What the figures share: colours, title fonts, axes, and the files they are saved in."""

import io
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minidl._core.errors import ShapeError
from minidl._core.texts import check_text, legible
from minidl._core.types import Axes, Figure, PathLike
from minidl._storage.files import write_whole

__all__ = ["save_figure"]

# Okabe and Ito's palette, made darker where a line would be too pale on white (contrast of at least 3:1).
BLUE, VERMILLION, SKY = "#0072b2", "#d55e00", "#2a8fc4"
PALETTE = (BLUE, VERMILLION, "#008a63", "#c0569a", "#000000", "#a66b00", SKY)

_METADATA = {"png": ["Software"], "svg": ["Date", "Creator"]}
"""The kinds of file, and what would differ between two files of the same figure."""


def begin(
    ax: Axes | None, title: str, lines: int, size: tuple[float, float] = (5.0, 3.0), wrap: int = 44, points: float = 310
) -> Axes:
    """Return `ax`, or the axes of a new figure, under a title wrapped to so many letters and no wider than `points`.

    A new figure has room for so many `lines` of text besides those of the title. The room comes on top of the `size`
    that the axes have (in inches), so that they never shrink to nothing.
    """
    from matplotlib.figure import Figure

    title = wrapped_title(title, wrap)
    if ax is None:
        width, height = size
        height += 0.2 * (lines + title.count("\n"))
        ax = Figure(figsize=(width, height), layout="constrained", facecolor="white").add_subplot()
    ax.set_title(title, **title_style(title, points))
    return ax


def wrapped_title(title: str, letters: int) -> str:
    """Return a title wrapped to so many letters; refuse what no picture can show."""
    check_text("title", title)
    return textwrap.fill(title, letters)


def finish(ax: Axes, x: str, y: str, *, grid: bool = True, box: bool = False, legend: bool = False) -> Figure:
    """Label the two axes, and return the figure; the axes are open above and at the right unless they are a `box`.

    A legend stands between axes and title, where it covers no data, whatever the curves do.
    """
    ax.set_xlabel(legible(x), parse_math=False)
    ax.set_ylabel(legible(y), parse_math=False)
    if not box:
        ax.spines[["top", "right"]].set_visible(False)
    if grid:
        ax.grid(alpha=0.3, linewidth=0.6)
    if legend:
        ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, borderaxespad=0.1, fontsize=9)
        ax.set_title(ax.get_title(), pad=22, **title_style(ax.get_title()))
    return figure_of(ax)


def class_labels(where: str, names: Sequence[str], count: int, *, one_a: str = "class", most: int = 15) -> list[str]:
    """Return a short label for each of `count` classes: its name, or without names its number."""
    for name in names:
        check_text(f"{where}: class_names", name)
    labels = [shortened(name, most) for name in names] or [str(number) for number in range(count)]
    if len(labels) != count:
        raise ShapeError(f"{where}: expected {count} class names, one a {one_a}, got {len(labels)}")
    return labels


def shortened(name: object, most: int = 15) -> str:
    """Return `name` on one line of at most so many characters, of which an SVG file can hold each."""
    text = legible(" ".join(str(name).split()))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def write_inside(ax: Axes, text: str) -> None:
    """Write `text` in the middle of axes in which there is nothing to draw."""
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes)


def figure_of(ax: Axes) -> Figure:
    """Return the figure that `ax` belongs to; of a subfigure, the figure around it."""
    figure: Any = ax.figure
    return figure.figure  # type: ignore[no-any-return]


def save_figure(figure: Figure, path: PathLike) -> list[Path]:
    """Write the figure as PNG (150 dpi) and as SVG, and return the two paths.

    The same figure gives the same bytes: no date, no random ids. Texts in the SVG are texts, in any sans-serif font.

    Parameters
    ----------
    figure : matplotlib Figure
    path : str or PathLike
        ``figures/cost``, ``figures/cost.png`` and ``figures/cost.svg`` all mean the same two files.
    """
    from matplotlib import rc_context

    # Path.with_suffix would eat the end of "lambda=0.1".
    stem = os.fspath(path).removesuffix(".png").removesuffix(".svg")
    with rc_context(
        {"svg.hashsalt": "minidl", "svg.fonttype": "none", "font.sans-serif": ["DejaVu Sans", "sans-serif"]}
    ):
        return [write_whole(f"{stem}.{kind}", content_of(figure, kind)) for kind in _METADATA]


def content_of(figure: Figure, kind: str = "png", dpi: int = 150) -> bytes:
    """Return the figure as the content of a file of this kind, "png" or "svg"."""
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi=dpi, metadata=dict.fromkeys(_METADATA[kind]))
    return content.getvalue()


def title_style(title: str, points: float = 310) -> dict[str, Any]:
    """Return the font of a title, small enough for its longest line to be no wider than so many points."""
    return {"fontsize": fitting_size(title, points, 11), "parse_math": False}


def fitting_size(text: str, points: float, size: float) -> float:
    """Return the font size, at most `size`, at which the longest line of `text` is no wider than so many points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size)
    widths = [text_to_path.get_text_width_height_descent(line, font, False)[0] for line in text.splitlines()]
    return size * min(1.0, points / max([1.0, *widths]))
