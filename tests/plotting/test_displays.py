"""Displays: confusion, accuracy by class, gallery, layers and several runs, looked at by what is on the figures."""

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

import minidl as dl
from minidl.plotting import (
    plot_confusion_matrix,
    plot_curves,
    plot_gallery,
    plot_gradient_norms,
    plot_learning_rates,
    plot_most_confused,
    plot_per_class_accuracy,
    plot_runs,
    plot_schedule,
    plot_sweep,
    plot_true_class_probability,
    plot_update_ratios,
    plot_weight_templates,
)
from minidl.plotting.lines import line_style, spread

LONG = [f"a quite long $name_of class {k}" for k in range(100)]
MATRIX = np.array([[6, 2, 0], [1, 7, 0], [0, 0, 0]])


def ax_of(figure):
    return figure.axes[0]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def grey(color):
    """Return the relative luminance of a colour, as WCAG defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def numbers(classes, seed=0):
    return np.random.default_rng(seed).integers(0, 50, (classes, classes))


def curves(count, epochs=20):
    """Runs that end close to each other, each longer than the one before."""
    return {
        f"run {k}, {LONG[k]}": dl.History({"val_loss": 2.0 - 0.05 * e + 0.01 * k} for e in range(epochs + k))
        for k in range(count)
    }


def layers(count, epochs=5):
    return {
        f"{k}.{kind}": [10.0 ** (-k / 4 - e / 8) * scale for e in range(epochs)]
        for k in range(count)
        for kind, scale in (("weight", 0.01), ("bias", 0.003))
    }


def wrong_probabilities(rows, classes, seed=0):
    p = np.random.default_rng(seed).random((rows, classes))
    return p / p.sum(axis=1, keepdims=True)


def figures():
    """Every kind of figure, with little and with much on it, under a long title."""
    words, letters = {"title": "A title that is long " * 3}, {"title": "W" * 90}
    for classes in (1, 10, 100):
        names = {"class_names": LONG[:classes]}
        for normalize in (False, True):
            name = f"confusion of {classes}{', shares' * normalize}"
            yield name, partial(plot_confusion_matrix, numbers(classes), **names, normalize=normalize, **words)
        yield f"accuracy of {classes}", partial(plot_per_class_accuracy, np.linspace(0, 1, classes), **names, **words)
    yield "confusion, without rows", partial(plot_confusion_matrix, np.zeros((3, 3), int), normalize=True)
    yield "large counts", partial(plot_confusion_matrix, numbers(10) * 12_345, **letters)
    yield "most confused", partial(plot_most_confused, numbers(10), class_names=LONG[:10], **letters)
    yield "nothing confused", partial(plot_most_confused, np.eye(2, dtype=int), title="None")
    yield "accuracy unknown", partial(plot_per_class_accuracy, [math.nan])
    guesses = np.zeros((200, 48)) - 1.0, np.zeros(200, int), wrong_probabilities(200, 10)
    for count in (1, 20):
        yield f"gallery of {count}", partial(plot_gallery, *guesses, class_names=LONG[:10], count=count, **letters)
    yield "gallery of none", partial(plot_gallery, np.zeros((1, 4)), [0], [[1.0]], **words)
    for count in (1, 24):
        yield f"{count} runs", partial(plot_runs, curves(count), "val_loss", **letters)
    for plot, count in ((plot_gradient_norms, 24), (plot_update_ratios, 1), (plot_update_ratios, 4)):
        yield f"{plot.__name__} of {count}", partial(plot, layers(count), **letters)
    yield "no ratio", partial(plot_update_ratios, {"weight": [0.0, math.nan]})
    probabilities = wrong_probabilities(50, 3), np.zeros(50, int)
    yield "probabilities", partial(plot_true_class_probability, *probabilities, **letters)
    wild = {"cost": [3.0, 8.0, math.nan] * 5, "val_cost": [4.0, 9.0, math.inf] * 5}
    yield "curves", partial(plot_curves, wild, "cost", **letters)
    names = {"class_names": ["automobile"] * 10}
    for title in (letters, {"title": "CIFAR-10: λ = 0.1, η = 0.001, batch 100, 40 epochs, seed 42, on one core"}):
        yield f"templates, {title['title'][:3]}", partial(plot_weight_templates, np.eye(12, 10), **names, **title)
    yield "rates", partial(plot_learning_rates, [0.1, 1.0], [2.0, 1.0], [2.0, 1.5], 0.1, **letters)
    yield "schedule", partial(plot_schedule, lambda step: 0.1 / (1 + step), 5, **words)
    yield "sweep", partial(plot_sweep, {"kind": LONG[:5], "loss": [1.0] * 5}, "kind", "loss", by="kind", **words)


FIGURES = dict(figures())


@pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)
def test_nothing_is_clipped(make):
    figure = make()
    figure.draw_without_rendering()
    inner, outer = figure.get_tightbbox(), figure.bbox_inches
    assert (inner.min >= outer.min - 0.01).all()
    assert (inner.max <= outer.max + 0.01).all()


# The first figure of each function that draws into given axes.
PLACED = {m.func: m for m in reversed(FIGURES.values()) if m.func not in (plot_gallery, plot_weight_templates)}


@pytest.mark.parametrize("make", PLACED.values(), ids=lambda make: make.func.__name__)
def test_a_figure_is_drawn_where_it_is_told_to(make):
    figure = Figure(figsize=(8, 3))
    left, right = figure.subplots(1, 2)
    assert make(ax=right) is figure
    assert right.has_data()
    assert not left.has_data()
    inner = figure.subfigures(1, 1).add_subplot()
    assert make(ax=inner) is figure


@pytest.mark.parametrize("make", [FIGURES["24 runs"], FIGURES["plot_gradient_norms of 24"]])
def test_names_at_the_ends_of_lines_do_not_overlap(make):
    figure = make()
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in ax_of(figure).texts]  # without the lines that lead to them
    boxes.sort(key=lambda box: box.y0)
    assert len(boxes) >= 4
    assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))


# ---- confusion


def test_cells_hold_their_counts_with_targets_down_and_predictions_across():
    ax = ax_of(plot_confusion_matrix(MATRIX, class_names=["ant", "bee", "cow"], title="Three"))
    np.testing.assert_array_equal(ax.images[0].get_array(), MATRIX)
    assert {(text.get_position(), text.get_text()) for text in ax.texts} == {
        ((0, 0), "6"), ((1, 0), "2"), ((0, 1), "1"), ((1, 1), "7"),
    }  # fmt: skip
    assert [label.get_text() for label in ax.get_xticklabels()] == ["ant", "bee", "cow"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ant", "bee", "cow (no rows)"]
    assert (ax.get_ylabel(), ax.get_title()) == ("target class", "Three")
    assert ax.get_xlabel() == "predicted class\n13 of 16 rows right"


def test_shares_are_of_the_targets_rows_and_a_class_without_rows_has_none():
    ax = ax_of(plot_confusion_matrix([[199, 1, 0], [1, 3, 0], [0, 0, 0]], normalize=True))
    assert sorted(texts(ax)) == ["100", "25", "75", "<1"]
    shown = ax.images[0].get_array().filled(np.nan)
    np.testing.assert_allclose(shown, [[99.5, 0.5, 0], [25, 75, 0], [np.nan] * 3])
    assert ax.get_xlabel().endswith("in the cells: % of the target's rows")


@pytest.mark.parametrize("normalize", [False, True])
def test_numbers_contrast_with_their_cells(normalize):
    ax = ax_of(plot_confusion_matrix(np.arange(1, 101).reshape(10, 10), normalize=normalize))
    image = ax.images[0]
    assert len(ax.texts) == 100
    for text in ax.texts:
        column, row = text.get_position()
        ground = image.to_rgba(image.get_array())[int(row), int(column), :3]
        light, dark = sorted([grey(ground), grey(text.get_color())])[::-1]
        assert (light + 0.05) / (dark + 0.05) > 4


def test_shades_darken_with_the_count_in_grey_too():
    image = ax_of(plot_confusion_matrix(np.arange(100).reshape(10, 10))).images[0]
    shades = [grey(image.cmap(image.norm(value))[:3]) for value in range(100)]
    assert all(a > b for a, b in pairwise(shades))


def test_of_many_classes_a_bar_tells_the_shades_and_every_second_name_is_written():
    figure = plot_confusion_matrix(numbers(100), class_names=LONG)
    ax, bar = figure.axes
    assert texts(ax) == []
    assert bar.get_ylabel() == "rows"
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert 40 <= len(boxes) < 100
    assert all(below.y1 <= above.y0 + 1 for above, below in pairwise(boxes))


@pytest.mark.parametrize("plot", [plot_confusion_matrix, plot_most_confused, dl.most_confused])
@pytest.mark.parametrize(
    ("matrix", "names", "error", "words"),
    [
        ([[1, 2]], (), dl.ShapeError, r"shape \(classes, classes\), got \(1, 2\)"),
        (np.zeros((0, 0), int), (), dl.ShapeError, "got \\(0, 0\\)"),
        ([[0.5, 0.5], [0, 1]], (), dl.InputError, "matrix of counts, as of confusion_matrix, got float64"),
        ([[1, -1], [0, 1]], (), dl.InputError, "matrix of counts"),
        (MATRIX, ["a", "b"], dl.ShapeError, "expected 3 class names, one a class, got 2"),
    ],
)
def test_what_is_no_confusion_matrix_is_refused(plot, matrix, names, error, words):
    with pytest.raises(error, match=f"^{plot.__name__}: .*{words}"):
        plot(matrix, class_names=names)


def test_names_may_be_an_array():
    names = np.array(["ant", "bee"])
    assert dl.most_confused([[6, 2], [0, 7]], names) == [("ant", "bee", 2, 0.25)]
    assert plot_most_confused([[6, 2], [0, 7]], class_names=names)


NAN = math.nan
BARS = [
    (partial(plot_most_confused, MATRIX), ["ant as bee", "bee as ant"], [2, 1], ["2 (25 %)", "1 (12 %)"], ""),
    (partial(plot_most_confused, np.eye(3, dtype=int)), [], [], ["no class is taken for another"], ""),
    (
        partial(plot_per_class_accuracy, [0.5, NAN, 1.0]),
        ["ant", "bee", "cow"],
        [0.5, 0, 1],
        ["0.50", "no rows", "1.00"],
        "dashed: the mean over classes, 0.750",
    ),
    (
        partial(plot_per_class_accuracy, [0.5, NAN, 1.0], sort=True),
        ["cow", "ant", "bee"],
        [1, 0.5, 0],
        ["1.00", "0.50", "no rows"],
        "dashed: the mean over classes, 0.750",
    ),
    (partial(plot_per_class_accuracy, [NAN] * 3), ["ant", "bee", "cow"], [0, 0, 0], ["no rows"] * 3, ""),
]


@pytest.mark.parametrize(("plot", "names", "widths", "labels", "note"), BARS)
def test_bars_are_named_and_have_their_numbers_from_the_top_down(plot, names, widths, labels, note):
    ax = ax_of(plot(class_names=["ant", "bee", "cow"]))
    assert [label.get_text() for label in ax.get_yticklabels()] == names
    assert [bar.get_width() for bar in ax.patches] == widths
    assert texts(ax) == labels
    assert not widths or ax.yaxis_inverted()
    assert ax.get_xlabel().endswith(note)
    # The mean, where there is one.
    assert [list(line.get_xdata()) for line in ax.lines] == ([[0.75, 0.75]] if note else [])


# ---- gallery

P = np.array([[0.75, 0.25], [0.25, 0.75], [0.125, 0.875], [0.5, 0.5], [1.0, 0.0]])
Y = [0, 0, 0, 1, 1]  # right, wrong at 0.75, wrong at 0.875, wrong at 0.5, wrong at 1


def planes(rng, rows=5):
    return rng.integers(0, 256, (rows, 3 * 4 * 4)).astype(np.uint8)


def test_the_surest_errors_come_first_with_truth_and_guess(rng):
    images = planes(rng)
    figure = plot_gallery(images, Y, P, class_names=["ant", "bee"], title="Errors")
    assert [ax.get_title() for ax in figure.axes] == [
        "bee /\nant (1.00)",
        "ant /\nbee (0.88)",
        "ant /\nbee (0.75)",
        "bee /\nant (0.50)",
    ]
    for ax, row in zip(figure.axes, [4, 2, 1, 3], strict=True):
        drawn = ax.images[0].get_array()
        np.testing.assert_allclose(drawn, dl.images_from_rows(images[row], (4, 4, 3)) / 255)
    assert figure.get_suptitle() == "Errors"
    assert figure.get_supxlabel() == "truth / guess (its probability); 4 of 4 wrong in 5 rows, the surest first"


def test_count_and_which_choose_the_rows(rng):
    figure = plot_gallery(planes(rng), Y, P, count=2)
    assert [ax.get_title() for ax in figure.axes] == ["1 /\n0 (1.00)", "0 /\n1 (0.88)"]
    assert "2 of 4 wrong in 5 rows" in figure.get_supxlabel()
    (ax,) = plot_gallery(planes(rng), Y, P, which="right").axes
    assert ax.get_title() == "0 /\n0 (0.75)"


def test_no_error_is_said(rng):
    figure = plot_gallery(planes(rng, 2), [0, 1], np.eye(2))
    assert texts(ax_of(figure)) == ["none of 2 rows is classified wrongly"]
    figure = plot_gallery(planes(rng, 2), [1, 0], np.eye(2), which="right")
    assert texts(ax_of(figure)) == ["none of 2 rows is classified rightly"]


@pytest.mark.parametrize("shape", [(3 * 4 * 4,), (4, 4, 3), (4, 4, 1), (4, 4), (4 * 5,)])
def test_images_of_every_form_are_drawn(rng, shape):
    images = rng.random((5, *shape))
    figure = plot_gallery(images, Y, P, image_shape=(4, 5) if shape == (20,) else None)
    drawn = figure.axes[0].images[0].get_array()
    assert drawn.shape == {(48,): (4, 4, 3), (4, 4, 3): (4, 4, 3), (20,): (4, 5)}.get(shape, (4, 4))
    if shape[0] == 4:
        np.testing.assert_array_equal(drawn, images[4].reshape(drawn.shape))


def test_standardized_rows_are_scaled_one_by_one_and_it_is_said(rng):
    images = rng.normal(size=(5, 48)).astype(np.float32)
    before = images.copy()
    figure = plot_gallery(images, Y, P)
    for ax in figure.axes:
        assert ax.images[0].get_array().min() == 0
        assert ax.images[0].get_array().max() == 1
    assert figure.get_supxlabel().replace("\n", " ").endswith("each scaled to its own minimum and maximum")
    np.testing.assert_array_equal(images, before)
    images[4, 0] = np.nan
    assert "grey where not finite" in plot_gallery(images, Y, P).get_supxlabel().replace("\n", " ")


# ---- layers


@pytest.mark.parametrize("plot", [plot_gradient_norms, plot_update_ratios])
def test_there_is_a_named_line_a_parameter_on_a_logarithmic_axis(plot):
    values = layers(2)
    ax = ax_of(plot(values, title="Two layers"))
    assert [line.get_label() for line in ax.lines] == list(values)
    for line in ax.lines:
        np.testing.assert_array_equal(line.get_xdata(), range(1, 6))
        np.testing.assert_array_equal(line.get_ydata(), values[line.get_label()])
    assert ax.get_yscale() == "log"
    assert ax.get_title() == "Two layers"
    assert sorted(texts(ax)) == sorted(values)
    colors = [line.get_color() for line in ax.lines]
    assert colors[0] == colors[1] != colors[2] == colors[3]  # a colour a layer
    assert grey(colors[0][:3]) < grey(colors[2][:3])
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--", "-", "--"]  # a style a kind


def test_epochs_may_begin_elsewhere():
    ax = ax_of(plot_gradient_norms({"weight": [1.0, 2.0]}, epochs=[7, 8]))
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [7, 8])


def test_the_band_of_ratios_is_in_sight_and_explained():
    for ratios in ([0.5, 0.4], [1e-7, 1e-8]):
        ax = ax_of(plot_update_ratios({"weight": ratios}))
        low, high = ax.get_ylim()
        (band,) = ax.patches
        # A Rectangle, or with matplotlib 3.8 a Polygon, which knows no get_y.
        box = band.get_extents().transformed(ax.transData.inverted())
        assert low <= box.y0 < 1e-3 < box.y1 <= high
        assert "grey band: around 0.001" in ax.get_xlabel()
    assert not ax_of(plot_gradient_norms({"weight": [0.5]})).patches


def test_zeros_and_what_is_not_finite_are_gaps_and_said():
    values = {"weight": [1.0, 0.0, math.nan, 0.5], "bias": [0.0, 0.0, 0.0, math.inf]}
    ax = ax_of(plot_gradient_norms(values))
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [1.0, np.nan, np.nan, 0.5])
    assert "zero: weight in 1 of 4 epochs, bias in 3 of 4 epochs" in ax.get_xlabel().replace("\n", " ")
    assert "not finite: weight in 1 of 4 epochs" in ax.get_xlabel().replace("\n", " ")
    assert texts(ax) == ["weight"]  # what has no point has no name
    ax = ax_of(plot_gradient_norms({f"{k}.bias": [0.0] for k in range(9)}))
    assert "2.bias in 1 of 1 epochs, 6 more" in ax.get_xlabel().replace("\n", " ")
    assert "grey band" not in ax_of(plot_update_ratios({"bias": [0.0]})).get_xlabel()


# ---- several runs


def test_there_is_a_named_line_a_run_each_of_its_own_length():
    runs = curves(3, epochs=4)
    ax = ax_of(plot_runs(runs, "val_loss", title="Three"))
    for line, (name, history) in zip(ax.lines, runs.items(), strict=True):
        assert line.get_label() == name
        np.testing.assert_array_equal(line.get_xdata(), history["epoch"])
        np.testing.assert_array_equal(line.get_ydata(), history["val_loss"])
    assert {text[:8] for text in texts(ax)} == {"run 0, a", "run 1, a", "run 2, a"}
    assert ax.get_ylabel() == "validation loss (mean per sample)"
    assert (ax.get_xlabel(), ax.get_yscale(), ax.get_title()) == ("epoch", "linear", "Three")


def test_lines_differ_without_colour():
    styles = [(style["linestyle"], style["marker"]) for style in map(line_style, range(20))]
    assert len(set(styles)) == 20


def test_a_run_that_blows_up_makes_the_axis_logarithmic_and_gaps_are_said():
    runs = {"calm": {"loss": [2.0, 1.5, 1.25]}, "wild": {"loss": [2.0, 500.0, math.nan]}, "other": {"cost": [1.0]}}
    ax = ax_of(plot_runs(runs, "loss"))
    assert ax.get_yscale() == "log"
    assert ax.get_ylabel() == "loss, log scale"
    note = ax.get_xlabel().replace("\n", " ")
    assert "log scale: the largest loss is 250 times the median" in note
    assert "no finite value: wild in 1 of 3 epochs" in note
    assert "without loss: other" in note
    assert sorted(texts(ax)) == ["calm", "wild"]


@given(st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=12), st.floats(0.001, 0.09))
def test_spread_levels_keep_order_and_distance_and_stay_inside(levels, step):
    moved = spread(sorted(levels), step)
    assert all(high - low >= step * (1 - 1e-9) for low, high in pairwise(moved))
    assert moved[0] >= -1e-9
    assert moved[-1] <= 1 + 1e-9


@given(st.lists(st.integers(0, 10), min_size=1, max_size=11, unique=True))
def test_levels_with_room_stay_where_they_are(tenths):
    levels = sorted(tenth / 10 for tenth in tenths)
    np.testing.assert_allclose(spread(levels, 0.09), levels, atol=1e-12)


# ---- what cannot be drawn


NONE = {"x": [1.0, 1.0], "by": [1, 1], "loss": [NAN, None]}
EMPTY = [
    partial(plot_curves, {"cost": [NAN, math.inf]}, "cost"),
    partial(plot_gradient_norms, {"0.bias": [0.0], "1.bias": [NAN]}),
    partial(plot_sweep, NONE, "x", "loss", by="by"),
    partial(plot_sweep, {name: [] for name in NONE}, "x", "loss", by="by"),
    partial(plot_learning_rates, [1e-3, 1e-2], [NAN] * 2, [math.inf] * 2),
    partial(plot_runs, {"broken": {"loss": [NAN]}}, "loss"),
]


@pytest.mark.parametrize("plot", EMPTY, ids=lambda plot: plot.func.__name__)
def test_where_there_is_nothing_to_draw_the_figure_says_so(plot):
    ax = ax_of(plot())
    assert texts(ax) == ["nothing finite to draw"]
    if plot.func is plot_sweep:
        assert ax.get_legend() is None


def gallery(**change):
    return partial(plot_gallery, **({"images": np.zeros((5, 48)), "targets": Y, "probabilities": P} | change))


REFUSED = [
    (partial(plot_per_class_accuracy, [[0.5]]), dl.ShapeError, r"one share a class, got shape \(1, 1\)"),
    (partial(plot_per_class_accuracy, []), dl.ShapeError, r"got shape \(0,\)"),
    (partial(plot_per_class_accuracy, [50.0, 20.0]), dl.InputError, r"shares in \[0, 1\]"),
    (partial(plot_per_class_accuracy, [-0.5]), dl.InputError, r"shares in \[0, 1\]"),
    (gallery(images=np.zeros((4, 48))), dl.ShapeError, "one image a target, got 4 of 5"),
    (gallery(images=np.zeros((5, 47))), dl.ShapeError, "plot_gallery: 47 features are no square image"),
    (gallery(images=np.zeros((5, 2, 2, 2))), dl.ShapeError, r"plot_gallery: .*flat rows .* \(4, 2, 2, 2\)"),
    (gallery(which="best"), dl.InputError, "which to be 'wrong' or 'right', got 'best'"),
    (gallery(count=0), dl.InputError, "count: .* >= 1"),
    (gallery(count=101), dl.InputError, "count of at most 100, got 101"),
    (gallery(class_names=["a"]), dl.ShapeError, "2 class names, one a class, got 1"),
    (gallery(probabilities=P * 3), dl.InputError, "loss.probabilities"),
    (gallery(targets=[0, 0, 0, 1, 2]), dl.InputError, "labels in 0..1, got 2 in row 4"),
    (partial(plot_gradient_norms, {}), dl.InputError, "^plot_gradient_norms: .* a dict of one number an epoch"),
    (partial(plot_update_ratios, [1.0]), dl.InputError, "^plot_update_ratios: expected a dict"),
    (partial(plot_update_ratios, {"weight": []}), dl.ShapeError, "an epoch for 'weight', got 0 for no epochs"),
    (partial(plot_gradient_norms, {"weight": [1.0], "bias": [1.0, 2.0]}), dl.ShapeError, "'bias', got 2 for 1"),
    (partial(plot_update_ratios, {"weight": [1.0, -2.0]}), dl.InputError, "at least 0 for 'weight', got -2"),
    (partial(plot_gradient_norms, {"weight": [1.0]}, epochs=[1, 2]), dl.ShapeError, "'weight', got 1 for 2"),
    (partial(plot_curves, {"loss": [1.0, 2.0], "val_loss": [1.0]}, "loss"), dl.ShapeError, "^plot_curves: .*1 for 2"),
    (partial(plot_curves, {"loss": [1.0], "epoch": [1, 2]}, "loss"), dl.ShapeError, "^plot_curves: .*1 for 2 epochs"),
    (partial(plot_curves, dl.History(), "loss"), dl.InputError, "a history with 'loss' or 'val_loss'"),
    (partial(plot_curves, {"loss": []}, "loss"), dl.InputError, "a history with 'loss' or 'val_loss'"),
    (partial(plot_runs, {"a": {"loss": [1.0], "epoch": [1, 2]}}, "loss"), dl.ShapeError, "^plot_runs: .*'a', got 1"),
    (partial(plot_runs, {}, "loss"), dl.InputError, "a run with 'loss', got no run"),
    (partial(plot_runs, {"a": dl.History()}, "loss"), dl.InputError, "a run with 'loss', got a: "),
    (partial(plot_runs, {"a": {"cost": [1.0]}}, "loss"), dl.InputError, "a run with 'loss', got a: "),
    (partial(plot_runs, {"a": {"loss": []}}, "loss"), dl.InputError, "a run with 'loss', got a: "),
    (partial(plot_runs, dl.History([{"loss": 1.0}]), "loss"), dl.InputError, "dict of histories by name, got History"),
]


@pytest.mark.parametrize(("plot", "error", "words"), REFUSED)
def test_what_cannot_be_drawn_is_refused(plot, error, words):
    with pytest.raises(error, match=words):
        plot()
