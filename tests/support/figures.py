"""What tests of figures share."""

import warnings
from unittest.mock import patch

import numpy as np
from matplotlib.text import Text


def axes_of(figure):
    """Return the only axes of a figure."""
    (ax,) = figure.axes
    return ax


def save_nothing(figure, path):
    """Make empty files in the place of those that `save_figure` writes."""
    paths = [path.with_name(f"{path.name}.{kind}") for kind in ("png", "svg")]
    for file in paths:
        file.touch()
    return paths


def label_faults(figure, margin=0.5):
    """Draw the figure, and return a line for each text that leaves it or touches another one by so many pixels."""
    drawn = []
    draw = Text.draw

    def recording(text, renderer):
        draw(text, renderer)
        if text.get_visible() and text.get_text().strip():
            drawn.append(text)

    with warnings.catch_warnings(), patch.object(Text, "draw", recording):
        warnings.filterwarnings("ignore", "Glyph")
        figure.draw_without_rendering()
        boxes, inner, outer = (
            [Text.get_window_extent(text) for text in drawn],
            figure.get_tightbbox(),
            figure.bbox_inches,
        )
    width, height = figure.bbox.width, figure.bbox.height
    faults = [
        f"{text.get_text()!r:.60} leaves the figure"
        for text, box in zip(drawn, boxes, strict=True)
        if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1
    ]
    x0, y0, x1, y1 = np.array([box.extents for box in boxes]).reshape(-1, 4).T[:, :, np.newaxis]
    apart = (x1 - margin <= x0.T) | (y1 - margin <= y0.T)
    for first, second in np.argwhere(np.triu(~(apart | apart.T), 1)).tolist():
        faults.append(f"{drawn[first].get_text()!r:.60} touches {drawn[second].get_text()!r:.60}")
    if (inner.min < outer.min - 0.01).any() or (inner.max > outer.max + 0.01).any():
        faults.append("something leaves the figure")
    return faults
