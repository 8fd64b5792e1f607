"""What the figures share: colours, text sizes, fonts, axes, and the files they are saved in."""

import io
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minidl._core.errors import ShapeError
from minidl._core.texts import check_text, distinct_labels, legible
from minidl._core.types import Axes, Figure, PathLike
from minidl._storage.files import write_whole
from minidl.plotting.texts import SIZE, fold, width_of

__all__ = ["save_figure"]

# Distinct to colour-blind readers, and each at least 3:1 against white.
BLUE, VERMILLION, SKY = "#0072b2", "#d55e00", "#2a8fc4"
PALETTE = (BLUE, VERMILLION, "#008a63", "#c0569a", "#000000", "#a66b00", SKY)

WIDTH = 4.3
"""Of a figure, in inches: on a phone, where it is 343 pixels wide, its texts are 12 pixels high."""

_METADATA = {"png": ["Software"], "svg": ["Date", "Creator"]}
"""The kinds of file, and the entries that would differ between two files of the same figure."""


def begin(ax: Axes | None, title: str, lines: int, height: float = 2.4, points: float = 240) -> Axes:
    """Return `ax`, or the axes of a new figure, under a title wrapped to `points`.

    A new figure has room for `lines` of text besides those of the title. This room is added to the `height` of the axes
    (in inches), so that they never shrink to nothing.
    """
    from matplotlib.figure import Figure

    title = wrapped_title(title, points)
    if ax is None:
        height += 0.2 * (lines + title.count("\n"))
        ax = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white").add_subplot()
    ax.set_title(title, fontsize=SIZE, parse_math=False)
    ax.tick_params(labelsize=SIZE)
    return ax


def wrapped_title(title: str, points: float) -> str:
    """Return a title wrapped to `points`; refuse one that cannot be shown."""
    check_text("title", title)
    return fold(title, points)


def finish(ax: Axes, x: str, y: str, *, grid: bool = True, box: bool = False, legend: bool = False) -> Figure:
    """Label the two axes, and return the figure; the axes are open above and at the right unless they are a `box`.

    A legend stands in two columns between axes and title, where it never covers data.
    """
    ax.set_xlabel(legible(x), fontsize=SIZE, parse_math=False)
    # An upright label has less room; it breaks before the explanation in brackets.
    names = [y] if width_of(legible(y), SIZE) <= 150 else y.replace(" (", "\n(").split("\n")
    ax.set_ylabel("\n".join(fold(legible(name), 150) for name in names), fontsize=SIZE, parse_math=False)
    if not box:
        ax.spines[["top", "right"]].set_visible(False)
    if grid:
        ax.grid(alpha=0.3, linewidth=0.6)
    if legend:
        rows = -(-len(ax.get_legend_handles_labels()[1]) // 2)
        style: dict[str, Any] = {"handlelength": 1.6, "handletextpad": 0.4, "columnspacing": 1.0, "labelspacing": 0.2}
        style |= {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0.1, "frameon": False}
        made = ax.legend(ncols=2, fontsize=SIZE, **style)
        for text in made.get_texts():
            text.set_parse_math(False)
        ax.set_title(ax.get_title(), pad=10 + 1.25 * SIZE * rows, fontsize=SIZE, parse_math=False)
    return figure_of(ax)


def class_labels(where: str, names: Sequence[str], count: int, *, most: int = 15) -> list[str]:
    """Return a short label for each of `count` classes: its name, or its number if there are no names."""
    for name in names:
        check_text(f"{where}: class_names", name)
    labels = distinct_labels(names, most) or [str(number) for number in range(count)]
    if len(labels) != count:
        raise ShapeError(f"{where}: expected {count} class names, got {len(labels)}")
    return labels


def write_inside(ax: Axes, text: str) -> None:
    """Write `text` in the middle of axes in which there is nothing to draw."""
    ax.text(0.5, 0.5, text, ha="center", va="center", fontsize=SIZE, transform=ax.transAxes)


def points_of(ax: Axes) -> tuple[float, float]:
    """Return width and height of the axes in points."""
    extent, dpi = ax.get_window_extent(), figure_of(ax).dpi
    return 72 * extent.width / dpi, 72 * extent.height / dpi


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

    Warns
    -----
    UserWarning
        If the font lacks some letters, such as Chinese ones: the PNG then shows boxes in their place.
    """
    from matplotlib import rc_context

    # Path.with_suffix would eat the end of "lambda=0.1".
    stem = os.fspath(path).removesuffix(".png").removesuffix(".svg")
    fonts = ["DejaVu Sans", "sans-serif"]
    with rc_context({"svg.hashsalt": "minidl", "svg.fonttype": "none", "font.sans-serif": fonts}):
        layout = figure.get_layout_engine()
        try:
            png = content_of(figure)
            # The second drawing keeps the layout of the first one.
            figure.set_layout_engine("none" if layout else None)
            svg = content_of(figure, "svg")
        finally:
            figure.set_layout_engine(layout)
    return [write_whole(f"{stem}.png", png), write_whole(f"{stem}.svg", svg)]


def content_of(figure: Figure, kind: str = "png", dpi: int = 150) -> bytes:
    """Return the figure as the content of a file of this kind, "png" or "svg"."""
    content = io.BytesIO()
    with warnings.catch_warnings(record=True) as caught:
        figure.savefig(content, format=kind, dpi=dpi, metadata=dict.fromkeys(_METADATA[kind]))
    # There is one for each letter that no font has, and again for each drawing.
    letters = {chr(int(glyph[1])): True for w in caught if (glyph := re.match(r"Glyph (\d+) ", str(w.message)))}
    if letters and kind == "png":
        warnings.warn(
            f"the font lacks the letters {''.join(letters):.40}: the PNG shows boxes. Use the SVG, or install a font "
            'that has them and name it: matplotlib.rcParams["font.family"] = ["DejaVu Sans", "Noto Sans CJK SC"]',
            stacklevel=3,
        )
    return content.getvalue()
