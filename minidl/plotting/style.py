"""What the figures share: colours, title fonts, axes, and the files they are saved in."""

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minidl.files import write_whole
from minidl.types import PathLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, VERMILLION = "#0072B2", "#D55E00"  # of Okabe and Ito's palette: distinct to colour-blind readers


def new_axes(lines: int) -> "Axes":
    """Return the axes of a new figure, with room for so many lines of text above and below them.

    The room comes on top of the axes' height, so that they never shrink to nothing.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(5.0, 3.0 + 0.2 * lines), layout="constrained", facecolor="white").add_subplot()


def put_legend_above(ax: "Axes", title: str) -> None:
    """Put the legend between axes and title, where it covers no data, whatever the curves do."""
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0.1, fontsize=9)
    ax.set_title(title, pad=22, **title_style(title))


def figure_of(ax: "Axes") -> "Figure":
    """Return the figure that `ax` belongs to; of a subfigure, the figure around it."""
    figure: Any = ax.figure
    return figure.figure  # type: ignore[no-any-return]


def save_figure(figure: "Figure", path: PathLike) -> list[Path]:
    """Write the figure as PNG (150 dpi) and as SVG, and return the two paths.

    The same figure gives the same bytes: no date, no random ids. Texts in the SVG are outlines, so that it looks the
    same without the font.

    Parameters
    ----------
    figure : matplotlib Figure
    path : str or PathLike
        ``figures/cost``, ``figures/cost.png`` and ``figures/cost.svg`` all mean the same two files.
    """
    from matplotlib import rc_context

    stem = os.fspath(path).removesuffix(".png").removesuffix(".svg")  # with_suffix would eat the end of "lambda=0.1"
    paths = []
    with rc_context({"svg.hashsalt": "minidl", "svg.fonttype": "path"}):
        for kind, metadata in [("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})]:
            content = io.BytesIO()
            figure.savefig(content, format=kind, dpi=150, metadata=metadata)
            paths.append(write_whole(f"{stem}.{kind}", content.getvalue()))
    return paths


def title_style(title: str) -> dict[str, Any]:
    """Return the font of a title, small enough for its longest line to fit into 5 inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=11)
    widths = [text_to_path.get_text_width_height_descent(line, font, False)[0] for line in title.splitlines()]
    return {"fontsize": 11 * min(1.0, 310 / max(widths, default=1.0)), "parse_math": False}
