"""Draw what happens to a batch: `python docs/make_architecture.py` writes docs/architecture.png."""

import io
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

PATH = Path(__file__).with_name("architecture.png")
INK, BLUE, GREEN, SAND = "#1c1e21", "#dbe9f6", "#dff0e4", "#f7ecd9"
# Each part: its name, its task, its colour, and its place (left, width).
PARTS = [
    ("data", "samples", SAND, (0.0, 2.6)),
    ("nn", "the cost and its gradient", BLUE, (3.0, 6.6)),
    ("training", "the steps", GREEN, (10.6, 3.0)),
]
# Each box: its text and its place (left, bottom, width).
BOXES = {
    "batches": ("Dataset.batches", 0.2, 3.1, 2.2),
    "forward": ("Layer.forward", 3.3, 3.1, 2.3),
    "loss": ("Loss.forward\nLoss.backward", 6.9, 3.1, 2.4),
    "backward": ("Layer.backward", 3.3, 1.6, 2.3),
    "grad": ("Parameter.grad", 6.9, 1.6, 2.4),
    "penalty": ("Regularizer.gradient", 3.3, 0.2, 2.7),
    "value": ("Parameter.value", 6.9, 0.2, 2.4),
    "optimizer": ("Optimizer.update", 10.9, 1.6, 2.4),
    "trainer": ("Trainer: History,\ncallbacks, checkpoint", 10.9, 3.1, 2.4),
}
# Each arrow: from, to, its label, and how it is bent.
ARROWS = [
    ("batches", "forward", "x", 0.0),
    ("forward", "loss", "outputs", 0.0),
    ("batches", "loss", "y", -0.22),
    ("loss", "backward", "d outputs", 0.0),
    ("backward", "grad", "dw", 0.0),
    ("penalty", "grad", "", 0.0),
    ("grad", "optimizer", "", 0.0),
    ("optimizer", "value", "step", 0.0),
    ("loss", "trainer", "cost, loss", 0.0),
]


def draw() -> bytes:
    """Return the picture as the content of a PNG file."""
    figure = Figure(figsize=(9.6, 3.9), facecolor="white")
    ax = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    ax.set_xlim(-0.1, 13.8)
    ax.set_ylim(-0.2, 5.2)
    ax.set_axis_off()
    for name, what, color, (left, width) in PARTS:
        _box(ax, left, -0.1, width, 5.0, color)
        ax.text(left + 0.2, 4.5, name, fontsize=12, fontweight="bold", color=INK)
        ax.text(left + width - 0.2, 4.5, what, fontsize=9.5, color=INK, ha="right", style="italic")
    boxes = {}
    for name, (text, left, bottom, width) in BOXES.items():
        boxes[name] = _box(ax, left, bottom, width, 0.9, "white")
        ax.text(left + width / 2, bottom + 0.45, text, fontsize=9.5, color=INK, ha="center", va="center")
    for start, end, label, bend in ARROWS:
        _arrow(ax, boxes[start], boxes[end], label, bend)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=130, metadata={"Software": None})
    return content.getvalue()


def _box(ax: Axes, left: float, bottom: float, width: float, height: float, color: str) -> FancyBboxPatch:
    style = "round,pad=0,rounding_size=0.12"
    box = FancyBboxPatch((left, bottom), width, height, style, facecolor=color, edgecolor="#9aa3ad")
    ax.add_patch(box)
    return box


def _arrow(ax: Axes, start: FancyBboxPatch, end: FancyBboxPatch, label: str, bend: float) -> None:
    """Draw an arrow from the edge of one box to the edge of another, with its label next to the middle."""
    a, b = ((box.get_x() + box.get_width() / 2, box.get_y() + box.get_height() / 2) for box in (start, end))
    curve = f"arc3,rad={bend}"
    ends = {"posA": a, "posB": b, "patchA": start, "patchB": end, "shrinkA": 2, "shrinkB": 2}
    arrow = FancyArrowPatch(
        **ends, connectionstyle=curve, arrowstyle="-|>", mutation_scale=13, color=INK, linewidth=1.1
    )
    ax.add_patch(arrow)
    x, y = (a[0] + b[0]) / 2 + bend * (b[1] - a[1]) / 2, (a[1] + b[1]) / 2 - bend * (b[0] - a[0]) / 2
    ax.text(x, y + 0.12 * (1 if a[1] == b[1] or bend else 1.8), label, fontsize=9, color=INK, ha="center", va="bottom")


if __name__ == "__main__":
    PATH.write_bytes(draw())
    print(PATH)
