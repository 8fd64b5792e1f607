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
from minidl import plotting as pl
from minidl.plotting.lines import spread

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


RUNS_24 = partial(pl.plot_runs, curves(24), "val_loss", title="W" * 90)
NORMS_24 = partial(pl.plot_gradient_norms, layers(24), title="W" * 90)
COLUMN = {"kind": LONG[:5], "loss": [1.0] * 5}
FIRST = [
    partial(pl.plot_confusion_matrix, numbers(10), class_names=LONG[:10]),
    partial(pl.plot_per_class_accuracy, np.linspace(0, 1, 10), class_names=LONG[:10]),
    partial(pl.plot_most_confused, numbers(10), class_names=LONG[:10]),
    partial(pl.plot_gallery, np.zeros((9, 48)), np.zeros(9, int), wrong_probabilities(9, 10), class_names=LONG[:10]),
    partial(pl.plot_true_class_probability, wrong_probabilities(50, 3), np.zeros(50, int)),
    partial(pl.plot_weight_templates, np.eye(12, 10), class_names=LONG[:10]),
    RUNS_24,
    NORMS_24,
    partial(pl.plot_update_ratios, layers(2)),
    partial(pl.plot_curves, {"cost": [3.0, 8.0, math.nan] * 5, "val_cost": [4.0, 9.0, math.inf] * 5}, "cost"),
    partial(pl.plot_learning_rates, [0.1, 1.0], [2.0, 1.0], [2.0, 1.5], 0.1),
    partial(pl.plot_schedule, lambda step: 0.1 / (1 + step), 5),
    partial(pl.plot_sweep, COLUMN, "kind", "loss", by="kind"),
]


def test_every_figure_is_tried():
    assert {make.func.__name__ for make in FIRST} == {name for name in pl.__all__ if name.startswith("plot_")}


@pytest.mark.parametrize("letter", ["\x1b", "\0", "\ud800"])
@pytest.mark.parametrize("make", FIRST, ids=lambda make: make.func.__name__)
def test_a_title_and_class_names_that_cannot_be_shown_are_refused(make, letter):
    with pytest.raises(dl.InputError, match="title: expected a text that can be shown"):
        make(title=f"a{letter}b")
    if names := make.keywords.get("class_names"):
        with pytest.raises(dl.InputError, match="class_names: expected a text that can be shown"):
            make(class_names=[f"a{letter}b", *names[1:]])


PLACED = [m for m in FIRST if m.func not in (pl.plot_gallery, pl.plot_weight_templates)]


@pytest.mark.parametrize("make", PLACED, ids=lambda make: make.func.__name__)
def test_a_figure_is_drawn_where_it_is_told_to(make):
    figure = Figure(figsize=(8, 3))
    left, right = figure.subplots(1, 2)
    assert make(ax=right) is figure
    assert right.has_data()
    assert not left.has_data()
    inner = figure.subfigures(1, 1).add_subplot()
    assert make(ax=inner) is figure


@pytest.mark.parametrize("make", [RUNS_24, NORMS_24])
def test_names_at_the_ends_of_lines_do_not_overlap(make):
    figure = make()
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in ax_of(figure).texts]  # without the lines that lead to them
    boxes.sort(key=lambda box: box.y0)
    assert len(boxes) >= 4
    assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))


# ---- confusion


def test_cells_hold_their_counts_with_targets_down_and_predictions_across():
    ax = ax_of(pl.plot_confusion_matrix(MATRIX, class_names=["ant", "bee", "cow"], title="Three"))
    np.testing.assert_array_equal(ax.images[0].get_array(), MATRIX)
    assert {(text.get_position(), text.get_text()) for text in ax.texts} == {
        ((0, 0), "6"), ((1, 0), "2"), ((0, 1), "1"), ((1, 1), "7"),
    }  # fmt: skip
    assert [label.get_text() for label in ax.get_xticklabels()] == ["ant", "bee", "cow"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ant", "bee", "cow (no rows)"]
    assert (ax.get_ylabel(), ax.get_title()) == ("target class", "Three")
    assert ax.get_xlabel() == "predicted class\n13 of 16 rows correct"


def test_shares_are_of_the_targets_rows_and_a_class_without_rows_has_none():
    ax = ax_of(pl.plot_confusion_matrix([[199, 1, 0], [1, 3, 0], [0, 0, 0]], normalize=True))
    assert sorted(texts(ax)) == ["100", "25", "75", "<1"]
    assert ax.get_xlabel().endswith("cells: % of the target's rows")


@pytest.mark.parametrize("normalize", [False, True])
def test_numbers_contrast_with_their_cells(normalize):
    ax = ax_of(pl.plot_confusion_matrix(np.arange(1, 101).reshape(10, 10), normalize=normalize))
    image = ax.images[0]
    assert len(ax.texts) == 100
    for text in ax.texts:
        column, row = text.get_position()
        ground = image.to_rgba(image.get_array())[int(row), int(column), :3]
        light, dark = sorted([grey(ground), grey(text.get_color())])[::-1]
        assert (light + 0.05) / (dark + 0.05) > 4


def test_of_many_classes_a_bar_tells_the_shades_and_every_few_names_one_is_written():
    figure = pl.plot_confusion_matrix(numbers(100), class_names=LONG)
    ax, bar = figure.axes
    assert texts(ax) == []
    assert bar.get_ylabel() == "rows, square-root scale"
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert 10 <= len(boxes) < 100
    assert all(below.y1 <= above.y0 + 1 for above, below in pairwise(boxes))


@pytest.mark.parametrize("plot", [pl.plot_confusion_matrix, pl.plot_most_confused, dl.most_confused])
@pytest.mark.parametrize(
    ("matrix", "names", "error", "words"),
    [
        ([[1, 2]], (), dl.ShapeError, r"shape \(classes, classes\), got \(1, 2\)"),
        ([[0.5, 0.5], [0, 1]], (), dl.InputError, "matrix of counts from confusion_matrix, got float64"),
        (MATRIX, ["a", "b"], dl.ShapeError, "expected 3 class names, .*got 2"),
    ],
)
def test_what_is_no_confusion_matrix_is_refused(plot, matrix, names, error, words):
    with pytest.raises(error, match=f"^{plot.__name__}: .*{words}"):
        plot(matrix, class_names=names)


NAN = math.nan
ACCURACY, MEAN = (
    partial(pl.plot_per_class_accuracy, [0.5, NAN, 1.0]),
    "dashed: mean over classes, 0.750\ndotted: chance, 0.333",
)
BARS = [
    (partial(pl.plot_most_confused, MATRIX), ["ant as bee", "bee as ant"], [2, 1], ["2 (25 %)", "1 (12 %)"], ""),
    (partial(pl.plot_most_confused, np.eye(3, dtype=int)), [], [], ["no class is confused with another"], ""),
    (ACCURACY, ["ant", "bee", "cow"], [0.5, 0, 1], ["0.50", "no rows", "1.00"], MEAN),
    (partial(ACCURACY, sort=True), ["cow", "ant", "bee"], [1, 0.5, 0], ["1.00", "0.50", "no rows"], MEAN),
    (partial(pl.plot_per_class_accuracy, [NAN] * 3), ["ant", "bee", "cow"], [0, 0, 0], ["no rows"] * 3, ""),
]


@pytest.mark.parametrize(("plot", "names", "widths", "labels", "note"), BARS)
def test_bars_are_named_and_have_their_numbers_from_the_top_down(plot, names, widths, labels, note):
    ax = ax_of(plot(class_names=["ant", "bee", "cow"]))
    assert [label.get_text() for label in ax.get_yticklabels()] == names
    assert [bar.get_width() for bar in ax.patches] == widths
    assert texts(ax) == labels
    assert not widths or ax.yaxis_inverted()
    assert note in ax.get_xlabel()
    # The mean, where there is one, and chance.
    lines = [line.get_xdata()[0] for line in ax.lines]
    assert lines == pytest.approx([] if plot.func is pl.plot_most_confused else [0.75] * bool(note) + [1 / 3])


# ---- gallery

P = np.array([[0.75, 0.25], [0.25, 0.75], [0.125, 0.875], [0.5, 0.5], [1.0, 0.0]])
Y = [0, 0, 0, 1, 1]  # right, wrong at 0.75, wrong at 0.875, wrong at 0.5, wrong at 1


def planes(rng, rows=5):
    return rng.integers(0, 256, (rows, 3 * 4 * 4)).astype(np.uint8)


def test_the_surest_errors_come_first_with_truth_and_guess(rng):
    images = planes(rng)
    figure = pl.plot_gallery(images, Y, P, class_names=["ant", "bee"], title="Errors")
    titles = [
        f"truth: {truth}\nguess: {guess}\n({p})"
        for truth, guess, p in [
            ("bee", "ant", "1.00"),
            ("ant", "bee", "0.88"),
            ("ant", "bee", "0.75"),
            ("bee", "ant", "0.50"),
        ]
    ]
    assert [ax.get_title() for ax in figure.axes] == titles
    for ax, row in zip(figure.axes, [4, 2, 1, 3], strict=True):
        drawn = ax.images[0].get_array()
        np.testing.assert_allclose(drawn, dl.images_from_rows(images[row], (4, 4, 3)) / 255)
    assert figure.get_suptitle() == "Errors"
    assert "4 of 4 wrong in 5 rows, the surest first" in figure.get_supxlabel().replace("\n", " ")


def test_count_and_which_choose_the_rows(rng):
    figure = pl.plot_gallery(planes(rng), Y, P, count=2)
    assert len(figure.axes) == 2
    assert "2 of 4 wrong in 5 rows" in figure.get_supxlabel().replace("\n", " ")
    (ax,) = pl.plot_gallery(planes(rng), Y, P, which="right").axes
    assert ax.get_title() == "truth: 0\nguess: 0\n(0.75)"


@pytest.mark.parametrize(("which", "way", "y"), [("wrong", "wrongly", [0, 1]), ("right", "correctly", [1, 0])])
def test_no_error_is_said(rng, which, way, y):
    figure = pl.plot_gallery(planes(rng, 2), y, np.eye(2), which=which)
    assert texts(ax_of(figure)) == [f"none of 2 rows is classified {way}"]


@pytest.mark.parametrize("shape", [(3 * 4 * 4,), (4, 4, 3), (4, 4, 1), (4, 4), (4 * 5,)])
def test_images_of_every_form_are_drawn(rng, shape):
    images = rng.random((5, *shape))
    figure = pl.plot_gallery(images, Y, P, image_shape=(4, 5) if shape == (20,) else None)
    drawn = figure.axes[0].images[0].get_array()
    assert drawn.shape == {(48,): (4, 4, 3), (4, 4, 3): (4, 4, 3), (20,): (4, 5)}.get(shape, (4, 4))
    if shape[0] == 4:
        np.testing.assert_array_equal(drawn, images[4].reshape(drawn.shape))


def test_standardized_rows_are_scaled_one_by_one_and_it_is_said(rng):
    images = rng.normal(size=(5, 48)).astype(np.float32)
    before = images.copy()
    figure = pl.plot_gallery(images, Y, P)
    for ax in figure.axes:
        assert ax.images[0].get_array().min() == 0
        assert ax.images[0].get_array().max() == 1
    assert figure.get_supxlabel().replace("\n", " ").endswith("each scaled to its own minimum and maximum")
    np.testing.assert_array_equal(images, before)
    images[4, 0] = np.nan
    assert "grey where not finite" in pl.plot_gallery(images, Y, P).get_supxlabel().replace("\n", " ")


# ---- layers


@pytest.mark.parametrize("plot", [pl.plot_gradient_norms, pl.plot_update_ratios])
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


def test_the_band_of_ratios_is_in_sight_and_explained():
    for ratios in ([0.5, 0.4], [1e-7, 1e-8]):
        ax = ax_of(pl.plot_update_ratios({"weight": ratios}))
        low, high = ax.get_ylim()
        (band,) = ax.patches
        # A Rectangle, or with matplotlib 3.8 a Polygon, which knows no get_y.
        box = band.get_extents().transformed(ax.transData.inverted())
        assert low <= box.y0 < 1e-3 < box.y1 <= high
        assert "grey band: around 0.001" in ax.get_xlabel()
    assert not ax_of(pl.plot_gradient_norms({"weight": [0.5]})).patches


def test_zeros_and_what_is_not_finite_are_gaps_and_said():
    values = {"weight": [1.0, 0.0, math.nan, 0.5], "bias": [0.0, 0.0, 0.0, math.inf]}
    ax = ax_of(pl.plot_gradient_norms(values))
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [1.0, np.nan, np.nan, 0.5])
    assert (
        "zero (cross): weight in 1 of 4 epochs, first in 2, bias in 3 of 4 epochs, first in 1"
        in ax.get_xlabel().replace("\n", " ")
    )
    assert "not finite (cross): weight in 1 of 4 epochs, first in 3, bias from epoch 4 on" in ax.get_xlabel().replace(
        "\n", " "
    )
    assert texts(ax) == ["weight"]  # what has no point has no name
    ax = ax_of(pl.plot_gradient_norms({f"{k}.bias": [0.0] for k in range(9)}))
    assert "2.bias from epoch 1 on, 6 more" in ax.get_xlabel().replace("\n", " ")


# ---- several runs


def test_there_is_a_named_line_a_run_each_of_its_own_length():
    runs = curves(3, epochs=4)
    ax = ax_of(pl.plot_runs(runs, "val_loss", title="Three"))
    for line, (name, history) in zip(ax.lines, runs.items(), strict=True):
        assert line.get_label() == name
        np.testing.assert_array_equal(line.get_xydata(), np.transpose([history["epoch"], history["val_loss"]]))
    # What all names share is left out.
    assert {text.replace("\n", " ")[-2:] for text in texts(ax)} == {" 0", " 1", " 2"}
    assert (ax.get_ylabel().replace("\n", " "), ax.get_title()) == ("validation loss (mean per sample)", "Three")


def test_a_run_that_blows_up_makes_the_axis_logarithmic_and_gaps_are_said():
    runs = {"calm": {"loss": [2.0, 1.5, 1.25]}, "wild": {"loss": [2.0, 500.0, math.nan]}, "other": {"cost": [1.0]}}
    ax = ax_of(pl.plot_runs(runs, "loss"))
    assert ax.get_yscale() == "log"
    assert ax.get_ylabel() == "loss, log scale"
    note = ax.get_xlabel().replace("\n", " ")
    assert "no finite value (cross): wild from epoch 3 on" in note
    assert "without loss: other" in note
    assert sorted(texts(ax)) == ["calm", "wild"]


@given(st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=12), st.floats(0.001, 0.09))
def test_spread_levels_keep_order_and_distance_and_stay_inside(levels, step):
    moved = spread(sorted(levels), step)
    assert all(high - low >= step * (1 - 1e-9) for low, high in pairwise(moved))
    assert moved[0] >= -1e-9
    assert moved[-1] <= 1 + 1e-9


# ---- what cannot be drawn


NONE = {"x": [1.0, 1.0], "by": [1, 1], "loss": [NAN, None]}
EMPTY = [
    partial(pl.plot_curves, {"cost": [NAN, math.inf]}, "cost"),
    partial(pl.plot_gradient_norms, {"0.bias": [0.0], "1.bias": [NAN]}),
    partial(pl.plot_sweep, NONE, "x", "loss", by="by"),
    partial(pl.plot_sweep, {name: [] for name in NONE}, "x", "loss", by="by"),
    partial(pl.plot_learning_rates, [1e-3, 1e-2], [NAN] * 2, [math.inf] * 2),
    partial(pl.plot_runs, {"broken": {"loss": [NAN]}}, "loss"),
]


@pytest.mark.parametrize("plot", EMPTY, ids=lambda plot: plot.func.__name__)
def test_where_there_is_nothing_to_draw_the_figure_says_so(plot):
    ax = ax_of(plot())
    assert texts(ax) == ["nothing finite to draw"]
    if plot.func is pl.plot_sweep:
        assert ax.get_legend() is None


def gallery(**change):
    return partial(pl.plot_gallery, **({"images": np.zeros((5, 48)), "targets": Y, "probabilities": P} | change))


REFUSED = [
    (partial(pl.plot_per_class_accuracy, [[0.5]]), dl.ShapeError, r"one share per class, got shape \(1, 1\)"),
    (partial(pl.plot_per_class_accuracy, [50.0, 20.0]), dl.InputError, r"shares in \[0, 1\]"),
    (gallery(images=np.zeros((4, 48))), dl.ShapeError, "one image per target, got 4 of 5"),
    (gallery(images=np.zeros((5, 2, 2, 2))), dl.ShapeError, r"plot_gallery: .*flat rows .* \(4, 2, 2, 2\)"),
    (gallery(which="best"), dl.InputError, "which to be 'wrong' or 'right', got 'best'"),
    (gallery(count=101), dl.InputError, "count of at most 100, got 101"),
    (gallery(class_names=["a"]), dl.ShapeError, "2 class names, got 1"),
    (gallery(probabilities=P * 3), dl.InputError, "loss.probabilities"),
    (partial(pl.plot_gradient_norms, {}), dl.InputError, "^plot_gradient_norms: .* a dict of one number per epoch"),
    (partial(pl.plot_gradient_norms, {"weight": [1.0], "bias": [1.0, 2.0]}), dl.ShapeError, "'bias', got 2 for 1"),
    (partial(pl.plot_update_ratios, {"weight": [1.0, -2.0]}), dl.InputError, "at least 0 for 'weight', got -2"),
    (partial(pl.plot_gradient_norms, {"weight": [1.0]}, epochs=[1, 2]), dl.ShapeError, "'weight', got 1 for 2"),
    (
        partial(pl.plot_curves, {"loss": [1.0, 2.0], "val_loss": [1.0]}, "loss"),
        dl.ShapeError,
        "^plot_curves: .*1 for 2",
    ),
    (partial(pl.plot_curves, {"loss": []}, "loss"), dl.InputError, "a history with 'loss' or 'val_loss'"),
    (partial(pl.plot_runs, {"a": {"loss": [1.0], "epoch": [1, 2]}}, "loss"), dl.ShapeError, "^plot_runs: .*'a', got 1"),
    (partial(pl.plot_runs, {"a": {"cost": [1.0]}}, "loss"), dl.InputError, "a run with 'loss', got a: "),
    (
        partial(pl.plot_runs, dl.History([{"loss": 1.0}]), "loss"),
        dl.InputError,
        "dict of histories by name, got History",
    ),
]


@pytest.mark.parametrize(("plot", "error", "words"), REFUSED)
def test_what_cannot_be_drawn_is_refused(plot, error, words):
    with pytest.raises(error, match=words):
        plot()
