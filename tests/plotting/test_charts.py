"""SVG charts: well-formed for every text, all texts in sight and apart, whatever the numbers."""

import math
import re
from functools import cache
from itertools import combinations
from unicodedata import east_asian_width
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

import minidl as dl
from minidl._core.texts import distinct_labels, legible
from minidl.plotting.charts import (
    Dot,
    dot_chart,
    learning_chart,
    matrix_chart,
    run_chart,
    scatter_chart,
    shared_limits,
)
from minidl.plotting.svg import stroke, text_width
from minidl.plotting.texts import number_text, value_texts

SVG = "{http://www.w3.org/2000/svg}"
AWKWARD = [0.0, -0.0, 1e-320, 1e-9, 2.302585, 2.302585001, 1e300, -1e300, 1.7e308, math.nan, math.inf, -math.inf]
NUMBERS = st.sampled_from(AWKWARD) | st.floats(-1e3, 1e3) | st.floats()
CURVES = st.lists(NUMBERS, min_size=1, max_size=40) | st.integers(1, 2000).map(
    lambda n: [1 / k for k in range(1, n)] + [1]
)
NAMES = st.text(max_size=60) | st.sampled_from(
    ["<&\"'>", "猫" * 40, "lambda 0.1, eta 0.001, seed 1", "W" * 50, "ไทย", ""]
)


@cache
def letter_width(letter):
    """Return how wide a letter of 13 pixels is: in DejaVu Sans, which is wide, or else by an estimate."""
    if " " <= letter <= "~":
        return text_to_path.get_text_width_height_descent(letter, FontProperties(size=13), False)[0]
    return 13 * (1 if east_asian_width(letter) in "WF" else 0.6)


def boxes(svg):
    """Yield (text, left, top, right, bottom)."""
    root = ElementTree.fromstring(svg)
    for element in root.iter(f"{SVG}text"):
        text = element.text or ""
        width = sum(map(letter_width, text))
        before = {"start": 0, "middle": width / 2, "end": width}[element.get("text-anchor")]
        if place := element.get("transform"):
            x, y = map(float, re.match(r"translate\((\S+) (\S+)\)rotate\(-90\)", place).groups())
            yield text, x - 9.5, y + before - width, x + 3, y + before
        else:
            x, y = float(element.get("x")), float(element.get("y"))
            yield text, x - before, y - 9.5, x - before + width, y + 3


def check(svg):
    """Check what holds for each chart, and return its texts."""
    width, height = map(float, ElementTree.fromstring(svg).get("viewBox").split()[2:])
    assert width == 360
    found = [box for box in boxes(svg) if box[0].strip()]
    for text, left, top, right, bottom in found:
        assert left >= -0.1, text
        assert top >= -0.1, text
        assert right <= width + 0.1, text
        assert bottom <= height, text
    for (a, *one), (b, *other) in combinations(found, 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart, (a, b)
    numbers = [float(x) for d in re.findall(r' d="([^"]*)"', svg) for x in re.findall(r"-?[\d.]+", d)]
    assert all(abs(x) <= max(width, height) + 10 for x in numbers)
    assert "nan" not in svg.replace("not a number", "").lower().partition("<text")[0]
    assert set(re.findall(r"#[0-9a-fA-F]{6}", svg)) <= set(re.findall(r"#\w{6}", " ".join(PALETTE)))
    return [box[0] for box in found]


PALETTE = ["#0072b2 #d55e00 #008a63 #c0569a #000000 #a66b00 #2a8fc4 #ffffff #595959 #d9d9d9"]


@given(CURVES, CURVES, st.sampled_from(["loss", "cost", "accuracy", "a_b"]), NAMES, st.none() | st.floats(-10, 10))
@example([2.3], [2.3], "loss", "one epoch", 0.1)
@example([2.3, 1e5, 3e200, 1e300], [1e-300] * 4, "cost", "", None)
@example([1.0, math.nan] * 40, [math.nan] * 80, "loss", "", None)
def test_learning_charts(training, validation, quantity, title, chance):
    count = min(len(training), len(validation))
    history = {quantity: training[:count], f"val_{quantity}": validation[:count]}
    limits = shared_limits([history], [quantity])
    check(learning_chart(history, quantity, title=title, chance=chance, epochs=count + 3))
    check(learning_chart(history, quantity, title=title, chance=chance, limits=limits))


@given(st.dictionaries(NAMES, CURVES, max_size=14), st.sampled_from(["loss", "val_accuracy"]))
def test_run_charts(curves, quantity):
    runs = {name: dl.History([{quantity: value} for value in curve]) for name, curve in curves.items()}
    check(run_chart({"first": {quantity: [1.0]}, "without": {"x": [1]}, **runs}, quantity, chance=0.1))


@given(st.lists(st.builds(Dot, NAMES, NUMBERS, st.none() | NUMBERS.map(abs), st.none() | NUMBERS), max_size=6), NAMES)
@example([Dot("a", 27.61, 0.45, 27.77), Dot("b", 38.86, 0.49, 38.94)], "test accuracy in %")
def test_dot_charts(rows, label):
    check(dot_chart(rows, label=label, chance=10))


@given(st.integers(1, 120), st.integers(0, 6), st.data())
def test_matrix_charts(classes, digits, data):
    names = data.draw(st.just([]) | st.lists(NAMES, min_size=classes, max_size=classes))
    names = [legible(name) for name in names]
    matrix = np.diag(np.arange(classes)) * 10**digits
    matrix[0, -1] = 7
    check(matrix_chart(matrix, names))


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30), st.booleans(), NAMES)
def test_scatter_charts(rows, residuals, name):
    truth, prediction = zip(*rows, strict=True) if rows else ((), ())
    check(scatter_chart(truth, prediction, residuals=residuals, name=name))


def test_a_learning_chart_says_its_numbers_and_where_they_are_missing():
    history = {"loss": [2.5, 1.5, math.nan], "val_loss": [2.6, 1.75, 2.0]}
    svg = learning_chart(history, "loss", title="λ = 0", chance=2.303)
    texts = check(svg)
    assert texts[:5] == ["λ = 0", "loss (mean per sample)", "training", "validation", "chance 2.303"]
    assert {"1.500", "2.000", "epoch"} < set(texts)
    assert texts[-1] == "training: no finite value from epoch 3 on"
    assert "<title>epoch 2\ntraining: 1.5\nvalidation: 1.75</title>" in svg


def test_shares_are_drawn_in_per_cent_unless_some_are_no_shares():
    history = {"accuracy": [0.2, 0.4], "val_accuracy": [0.1, 0.391]}
    svg = learning_chart(history, "accuracy", chance=0.1)
    assert {"accuracy in %", "chance 10 %", "40.00 %", "39.10 %", "30"} < set(check(svg))
    assert "<title>epoch 2\ntraining: 40 %\nvalidation: 39.1 %</title>" in svg
    assert {"accuracy (share correct)", "40.00"} < set(check(learning_chart({"accuracy": [20, 40]}, "accuracy")))


def test_names_of_runs_are_whole_and_a_chart_can_have_its_own_label():
    names = ["λ = 0.1, η = 0.001", "+ all training rows", "augmentation_schedule", "+ step decay", *map(str, range(6))]
    runs = {name: {"epoch": [1, 2], "gap": [-0.1, k / 8]} for k, name in enumerate(names)}
    texts = check(run_chart(runs, "gap", label="validation loss − training loss"))
    assert texts[0] == "validation loss − training loss"
    assert all(name in " ".join(texts).replace("_ ", "_") for name in names)


def test_the_axis_of_dots_is_not_stretched_to_a_distant_chance():
    rows = [Dot("a", 27.6, 0.4), Dot("b", 39.0, 0.4)]
    assert "chance 10 %, left of this axis" in check(dot_chart(rows, label="accuracy in %", chance=10))
    assert {"chance 20 %", "20"} < set(check(dot_chart(rows, label="accuracy in %", chance=20)))


def test_panels_with_the_same_limits_have_the_same_axis():
    histories = [{"loss": [2.0, 1.5], "val_loss": [2.1, 1.6]}, {"loss": [8.0, 5.0], "val_loss": [9.0, 3.0]}]
    limits = shared_limits(histories, ["loss"])
    assert limits == (1.5, 9.0)
    ticks = [[t for t in check(learning_chart(h, "loss", limits=limits)) if re.fullmatch(r"\d", t)] for h in histories]
    assert ticks[0] == ticks[1]
    assert "log scale" not in learning_chart(histories[1], "loss", limits=limits)
    assert "log scale" in learning_chart(histories[1], "loss", limits=(0.1, 9.0))


def test_a_nearly_constant_curve_has_ticks_of_few_digits():
    texts = check(learning_chart({"loss": [2.302585, 2.3025850001]}, "loss"))
    assert max(map(len, texts[2:])) <= 6


def test_long_curves_keep_their_spikes_and_stay_small():
    values = np.full(20_000, 1.0)
    values[777] = 5.0
    svg = learning_chart({"loss": values}, "loss")
    assert len(svg) < 40_000
    (curve,) = re.findall(r'<path style="stroke:#0072b2;stroke-dasharray:none" d="(M[^"]*L[^"]*)"', svg)
    heights = [float(y) for y in re.findall(r" ([\d.]+)", curve)]
    assert min(heights) < max(heights) - 100


def test_of_many_runs_the_best_ten_have_names_and_the_same_colour_everywhere():
    runs = {f"run {k}": {"loss": [2.0, 1 + k / 1000], "accuracy": [0.1, (-k % 1000) / 1000]} for k in range(1000)}
    charts = [run_chart(runs, quantity) for quantity in ("loss", "accuracy")]
    for svg, best in zip(charts, [range(10), range(1, 11)], strict=True):
        texts = check(svg)
        assert {" ".join(text.split()[:2]) for text in texts if text.startswith("run ")} == {f"run {k}" for k in best}
        assert "in colour: the 10 best of 1,000 runs" in texts
        assert len(svg) < 300_000
        assert set(re.findall(r'class="point" style="([^"]*)"', svg)) == {stroke(k) for k in best}


def test_numbers_have_separators_and_real_minus_signs():
    assert [number_text(x, 1) for x in (12345.67, -0.25, -0.001)] == ["12,345.7", "\u22120.2", "0.0"]
    assert value_texts([1.5, 0.25, 0.00012, math.nan]) == ["1.500", "0.250", "0.00012", "not a number"]
    assert value_texts([-1.5e-9, 1e300]) == ["\u22121.5e\u22129", "1e300"]


def test_short_names_keep_what_differs():
    names = ["a" * 50 + str(k) + "b" * 50 for k in range(12)]
    labels = distinct_labels(names, 90, text_width)
    assert len(set(labels)) == 12
    assert max(map(text_width, labels)) <= 90


def test_a_dot_chart_shows_numbers_as_exact_as_their_error():
    texts = check(dot_chart([Dot("λ = 0", 27.614, 0.447, 27.77), Dot("λ = 1", 37.5)], label="test accuracy in %"))
    assert {"27.61 ± 0.45", "published 27.77", "37.5", "published", "this run ± standard error"} < set(texts)


@pytest.mark.parametrize(("factor", "shown"), [(1, "5"), (100, "25")])
def test_a_matrix_shows_counts_or_per_cent_where_these_have_no_room(factor, shown):
    matrix = factor * (np.eye(10, dtype=int) * 15 + np.eye(10, k=1, dtype=int) * 5)[:9]
    svg = matrix_chart(np.vstack([matrix, matrix[0]]), [*"abcdefghi", "horizontal stripes"])
    # On two lines in front of its row, on one above its column.
    assert {shown, "horizontal", "stripes", "horizontal stripes"} < set(check(svg))
    assert f"<title>a as b: {5 * factor:,} of {20 * factor:,} (25.0 %)</title>" in svg
    # The largest mistakes have the strongest colour, though they are few.
    assert "fill:#d55e00;fill-opacity:0.60" in svg


def test_of_many_classes_those_confused_most_are_shown():
    matrix = np.eye(1000, dtype=int)
    matrix[7, 950] = 3
    svg = matrix_chart(matrix)
    assert "the 20 of 1,000 classes confused most" in check(svg)
    assert "<title>7 as 950: 3 of 4 (75.0 %)</title>" in svg


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: learning_chart({"loss": [1]}, "cost"), "learning_chart: expected a history with 'cost'"),
        (lambda: run_chart({"a": {"loss": [1]}}, "cost"), "run_chart: expected a run with 'cost', got a"),
        (lambda: scatter_chart([1, 2], [1]), "expected as many predictions as true values"),
        (lambda: matrix_chart(np.eye(3, dtype=int), ["a"]), "expected 3 class names"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, words):
    with pytest.raises(dl.InputError, match=words):
        draw()
