"""Figures: what is on them, what they refuse, and the files they become."""

import math
import os
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from figures import axes_of
from PIL import Image

from minidl._core.errors import ShapeError
from minidl.plotting import plot_curves, plot_weight_templates, save_figure, template_images
from minidl.training.history import History


def smooth(epochs=10):
    return History([{"cost": 1.5 + 1 / e, "val_cost": 1.8 + 1 / e} for e in range(1, epochs + 1)])


def test_training_is_solid_and_validation_dashed():
    history, before = smooth(), dict(matplotlib.rcParams)
    figure = plot_curves(history, "cost", title="A run")
    figure.draw_without_rendering()
    ax = axes_of(figure)
    training, validation = ax.lines
    assert [line.get_label() for line in ax.lines] == ["training", "validation"]
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--"]
    assert training.get_color() != validation.get_color()
    np.testing.assert_array_equal(training.get_xdata(), range(1, 11))
    np.testing.assert_array_equal(training.get_ydata(), history["cost"])
    np.testing.assert_array_equal(validation.get_ydata(), history["val_cost"])
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("A run", "epoch", "cost (loss + penalty)")
    assert ax.get_yscale() == "linear"
    assert ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1
    # The user's own settings stay.
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("epochs", [1, 2, 3, 40, 1000])
def test_epoch_ticks_are_integers(epochs):
    figure = plot_curves(smooth(epochs), "cost")
    figure.draw_without_rendering()
    ticks = axes_of(figure).get_xticks()
    assert len(ticks) >= 1
    np.testing.assert_array_equal(ticks, np.round(ticks))


def test_a_single_epoch_is_a_visible_point():
    for line in axes_of(plot_curves(smooth(1), "cost")).lines:
        assert line.get_marker() != "None"
        assert line.get_markevery() == [0]


def test_a_point_between_gaps_is_marked_on_a_long_curve():
    values = [2.0] * 60
    values[10] = values[12] = math.nan
    (line,) = axes_of(plot_curves({"loss": values}, "loss")).lines
    assert line.get_markevery() == [11]


@pytest.mark.parametrize(
    ("quantity", "values", "log"),
    [
        ("cost", [2.0, 3.0, 19.9], False),
        ("cost", [2.0, 3.0, 20.0], True),
        ("cost", [2.0, math.nan, 20.0, math.inf], True),
        ("cost", [2.0, 0.0, 50.0], False),  # zero has no logarithm
        ("accuracy", [0.01, 0.9], False),
    ],
)
def test_the_axis_of_losses_is_logarithmic_if_they_are_10_fold_apart(quantity, values, log):
    for columns in ({quantity: values}, {f"val_{quantity}": values}):
        ax = axes_of(plot_curves(columns, quantity))
        assert ax.get_yscale() == ("log" if log else "linear")
        assert ax.get_ylabel().endswith(", log scale") is log


@pytest.mark.parametrize("values", [[2.75, 32.0, 7.0], [1.0, 60.0, 2.0], [1.0, 5e4, 2.0], [1e-200, 1e200, 1.0]])
def test_a_logarithmic_axis_has_readable_ticks(values):
    figure = plot_curves({"loss": values}, "loss")
    figure.draw_without_rendering()
    ax = axes_of(figure)
    low, high = ax.get_ylim()
    labels = [text.get_text() for text in ax.get_yticklabels() if low <= text.get_position()[1] <= high]
    assert 2 <= len(labels) <= 14
    assert all(float(label.replace(",", "").replace("\u2212", "-")) > 0 for label in labels)
    # No part of the axis is long without a number.
    places = np.log10([low, *ax.get_yticks(), high])
    assert max(np.diff(places)) < 0.5 * (places[-1] - places[0])


def test_what_is_not_finite_is_a_gap_and_said():
    history = {"cost": [2.0, math.nan, math.inf, 1.0], "val_cost": [2.0, 2.0, 2.0, -math.inf]}
    ax = axes_of(plot_curves(history, "cost"))
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [2.0, np.nan, np.nan, 1.0])
    note = ax.get_xlabel().replace("\n", " ")
    assert "training (cross): no finite value in 2 of 4 epochs, first in 2" in note
    assert "validation (cross): no finite value from epoch 4 on" in note
    assert [place.get_offsets().tolist() for place in ax.collections] == [[[1, 2.0]], [[3, 2.0]]]
    assert history["cost"][2] == math.inf  # the caller's numbers stay


def test_a_title_is_no_formula():
    figure = plot_curves(smooth(), "cost", title="$100 and_1 $\\frac")
    figure.draw_without_rendering()  # matplotlib would take what stands between dollars as a formula, and fail
    assert axes_of(figure).get_title() == "$100 and_1 $\\frac"


def test_templates_are_a_grid_of_named_pictures(rng):
    names = [f"kind {k}" for k in range(10)]
    figure = plot_weight_templates(rng.normal(size=(3 * 32 * 32, 10)), class_names=names, title="Ten")
    assert [ax.get_title() for ax in figure.axes] == names
    assert len({round(ax.get_position().y0, 3) for ax in figure.axes}) == 2
    assert len({round(ax.get_position().x0, 3) for ax in figure.axes}) == 5
    assert figure.get_suptitle() == "Ten"
    assert figure.get_supxlabel() == "each scaled to its own minimum and maximum"
    assert [ax.get_title() for ax in plot_weight_templates(np.eye(4, 2)).axes] == ["0", "1"]


def test_a_template_is_scaled_by_its_own_range_and_channels_come_last():
    weight = np.arange(24.0).reshape(12, 2) * [1, -5]
    pictures = template_images(weight)
    assert pictures.shape == (2, 2, 2, 3)
    np.testing.assert_allclose(pictures[0], np.linspace(0, 1, 12).reshape(3, 2, 2).transpose(1, 2, 0))
    np.testing.assert_allclose(pictures[1], 1 - pictures[0])
    np.testing.assert_allclose(template_images(weight, (2, 2, 3))[0].ravel(), np.linspace(0, 1, 12))
    np.testing.assert_array_equal(weight, np.arange(24.0).reshape(12, 2) * [1, -5])


def test_a_template_without_a_range_is_mid_grey():
    weight = np.tile([3.0, np.nan, 1.0], (4, 1))
    weight[:, 2] = [0.0, 1.0, np.inf, 3.0]
    flat, nothing, partly = template_images(weight)
    np.testing.assert_array_equal(flat, np.full((2, 2), 0.5))
    np.testing.assert_array_equal(nothing, np.full((2, 2), 0.5))
    np.testing.assert_allclose(partly.ravel(), [0, 1 / 3, 0.5, 1])
    assert plot_weight_templates(weight).get_supxlabel().replace("\n", " ").endswith("; grey where not finite")


def test_of_many_templates_the_first_are_drawn_and_the_figure_says_so():
    figure = plot_weight_templates(np.eye(1, 130))
    assert len(figure.axes) == 100
    assert figure.get_supxlabel().replace("\n", " ").endswith("; the first 100 of 130")


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((16,), {}, r"expected a weight \(in_features, n_classes\), got shape \(16,\)"),
        ((15, 2), {}, "15 features are no square image; pass image_shape"),
        ((16, 2), {"image_shape": (2, 4)}, r"of 16 features in all, got \(2, 4\)"),
        ((16, 2), {"image_shape": (2, 4, 2)}, r"got \(2, 4, 2\)"),
        ((16, 2), {"class_names": ["a"]}, "expected 2 class names, got 1"),
    ],
)
def test_what_is_no_picture_is_refused(shape, options, message):
    with pytest.raises(ShapeError, match=message):
        plot_weight_templates(np.ones(shape), **options)


def test_saving_writes_png_and_svg_and_the_same_bytes_again(tmp_path, rng):
    weight = rng.normal(size=(3072, 10))
    for draw in (lambda: plot_curves(smooth(), "cost", title="λ"), lambda: plot_weight_templates(weight)):
        first = save_figure(draw(), tmp_path / "a" / "lambda=0.1")
        second = save_figure(draw(), tmp_path / "b" / "lambda=0.1.png")
        assert [path.name for path in first] == ["lambda=0.1.png", "lambda=0.1.svg"]
        assert [path.name for path in second] == ["lambda=0.1.png", "lambda=0.1.svg"]
        assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
        assert all(path.stat().st_size < 200_000 for path in first)
        assert "<text" in first[1].read_text()
        with Image.open(first[0]) as image:
            assert image.width == 645


def test_no_pyplot_no_display_and_a_light_import(tmp_path):
    program = f"""
import sys
import minidl.plotting, minidl.training.callbacks.figures, minidl.report, minidl.training.describe
assert "matplotlib" not in sys.modules
from minidl.plotting import plot_curves, save_figure
save_figure(plot_curves({{"loss": [2.0, 1.0]}}, "loss"), {str(tmp_path / "loss")!r})
assert "matplotlib.pyplot" not in sys.modules
"""
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "MPLBACKEND")}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=tmp_path)
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
