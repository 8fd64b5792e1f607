"""Figures of awkward data: nothing is clipped, and no text touches another one."""

import math
from functools import partial

import numpy as np
import pytest
from figures import label_faults
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import minidl as dl
from minidl import plotting as pl
from minidl.plotting.lines import line_style
from minidl.plotting.style import PALETTE

NAN, INF = math.nan, math.inf
LONG = [f"a quite long $name_of class {k}" for k in range(1000)]
CHINESE = ["飞机", "汽车", "鸟类动物的名字", "猫", "鹿", "狗", "青蛙", "马", "船", "卡车"]
THAI = ["เครื่องบิน", "รถยนต์", "นก", "แมว", "กวาง", "สุนัข", "กบ", "ม้า", "เรือ", "รถบรรทุก"]
CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
BREEDS = [f"Labrador retriever, {color}" for color in ("black", "yellow", "chocolate", "fox red", "silver")] * 2
LINES = ["two\nlines", "tab\there", "$_^{}\\", "  ", "x" * 200, "W" * 40, "i" * 40, "a-b-c", "%", "ÄÖÜ"]
TITLE = {"title": "A title that is long " * 3}


def counts(classes, top=50, seed=0):
    return np.random.default_rng(seed).integers(0, top, (classes, classes))


def runs(count, epochs=20, name="lam=0.1, eta=0.001, dataset=cifar10, seed={}".format, **more):
    rng = np.random.default_rng(0)
    ends = rng.uniform(1, 2, count)
    return {
        name(k): {"val_loss": ends[k] + 1 / np.arange(1, epochs + 1) + 0.01 * rng.normal(size=epochs), **more}
        for k in range(count)
    }


def layers(count, epochs=8, scale=1.0):
    return {f"encoder.block{k}.weight": scale * 10.0 ** (-k / 4 - np.arange(epochs) / 8) for k in range(count)}


def guesses(names, rows=40, side=4):
    p = np.random.default_rng(1).dirichlet(np.ones(len(names)), rows)
    images = np.random.default_rng(2).random((rows, side * side))
    return partial(pl.plot_gallery, images, np.arange(rows) % len(names), p, class_names=names)


def curves(quantity, training, validation=None, **options):
    columns = {quantity: training} | ({} if validation is None else {f"val_{quantity}": validation})
    return partial(pl.plot_curves, columns, quantity, **options)


def confused(classes, names=(), top=50, **options):
    return partial(pl.plot_confusion_matrix, counts(classes, top), class_names=names[:classes], **options)


def accuracies(shares, names=(), **options):
    return partial(pl.plot_per_class_accuracy, shares, class_names=names, **options)


def sweep(x, y, **options):
    by = {"by": options.pop("by")} if "by" in options else {}
    columns = {"parameter": x, "val_accuracy": y, **by}
    return partial(pl.plot_sweep, columns, "parameter", "val_accuracy", **dict.fromkeys(by, "by"), **options)


def templates(columns, names=(), **options):
    return partial(pl.plot_weight_templates, np.random.default_rng(0).normal(size=(48, columns)), class_names=names)


FALLING = np.linspace(2.3, 1.6, 40)
BLOWN = [6.0, 11.4, 7.1, 9.9, 2.75, 8.8, 5.0, 10.2]
FIGURES = {
    "curves, one epoch": curves("loss", [2.3], [2.4]),
    "curves, two equal": curves("loss", [2.3, 2.3]),
    "curves, to 1e300": curves("cost", [2.3, 1e5, 3e200, 1e300]),
    "curves, beyond 1e300": curves("cost", [2.3, 1e5, 3e200, 1.7e308]),
    "curves, from 1e-300": curves("loss", [1e-300, 2e-300], [1e-299, 1e-300]),
    "curves, subnormal": curves("loss", [5e-324, 1e-10, 1.0]),
    "curves, -1e300 .. 1e300": curves("margin", [-1e300, 1e300, 0.0]),
    "curves, negative": curves("log_likelihood", [-1e5, -2e4, -3.0], [-1.1e5, -3e4, -4.0]),
    "curves, constant": curves("loss", [2.302585] * 10, [2.302585] * 10),
    "curves, nearly constant": curves("loss", 2.302585 + 1e-9 * np.arange(10)),
    "curves, large and constant": curves("loss", 123456789.0 + np.arange(10)),
    "curves, zeros": curves("accuracy", [0.0] * 10, [0.0] * 10, classes=10),
    "curves, ones": curves("accuracy", [1.0] * 10, classes=1000),
    "curves, NaN at the end": curves("loss", [*FALLING[:20], *[NAN] * 20], FALLING),
    "curves, NaN between": curves("loss", [2.0, NAN, 1.8, INF, 1.7], [2.1, 2.0, -INF, 1.9, 1.8], **TITLE),
    "curves, all NaN": curves("loss", [NAN] * 5),
    "curves, blown up": curves("cost", BLOWN, [2 * value for value in BLOWN], **TITLE),
    "curves, one jump": curves("loss", [5e4, *FALLING]),
    "curves, 100,000 epochs": curves("loss", 1 / np.arange(1.0, 1e5 + 1)),
    "curves, chance": curves("accuracy", np.linspace(0.1, 0.5, 40), np.linspace(0.1, 0.4, 40), classes=10),
    "curves, odd name": curves("my_$metric^{2}_of_the_second_head", FALLING, title="$_^{}\n" * 3),
    "curves, W": curves("loss", FALLING, title="W" * 90),
    "curves, Chinese title": curves("loss", FALLING, title="学习率过高时损失函数发散的例子" * 3),
    "runs, 1": partial(pl.plot_runs, runs(1), "val_loss"),
    "runs, 3 alike": partial(pl.plot_runs, runs(3), "val_loss", **TITLE),
    "runs, 10": partial(pl.plot_runs, runs(10), "val_loss"),
    "runs, 24 long": partial(pl.plot_runs, runs(24, name=LONG.__getitem__), "val_loss"),
    "runs, 1,000": partial(pl.plot_runs, runs(1000), "val_loss"),
    "runs, broken": partial(
        pl.plot_runs,
        {"calm": {"loss": FALLING}, "wild": {"loss": [2.0, 500.0, NAN]}, "never": {"loss": [NAN] * 3}, "none": {}},
        "loss",
    ),
    "runs, Chinese": partial(pl.plot_runs, runs(10, name=lambda k: CHINESE[k] * 2), "val_loss"),
    "runs, W": partial(pl.plot_runs, runs(10, name=lambda k: "W" * (k + 20)), "val_loss"),
    "runs, equal ends": partial(pl.plot_runs, {f"run {k}": {"accuracy": [0.1, 0.3]} for k in range(9)}, "accuracy"),
    "runs, one epoch": partial(pl.plot_runs, runs(5, epochs=1), "val_loss"),
    "runs, to 1e300": partial(pl.plot_runs, {"a": {"loss": [1.0, 1e300]}, "b": {"loss": [1e-300, 1.0]}}, "loss"),
    "norms, constant": partial(pl.plot_gradient_norms, {"a": [1e-3] * 10}),
    "norms, 1": partial(pl.plot_gradient_norms, layers(1)),
    "norms, 6": partial(pl.plot_gradient_norms, layers(6), **TITLE),
    "norms, 300": partial(pl.plot_gradient_norms, layers(300, scale=1e30)),
    "norms, zero": partial(pl.plot_gradient_norms, {f"{k}.bias": [0.0, 1.0, 0.0, NAN] for k in range(9)}),
    "norms, to 1e-300": partial(pl.plot_gradient_norms, {"a": [1e-300, 1.0], "b": [1e300, INF]}),
    "ratios": partial(pl.plot_update_ratios, layers(6, scale=1e-2)),
    "ratios, narrow": partial(pl.plot_update_ratios, {"weight": [1e-3, 1.1e-3]}, epochs=[100_000, 200_000]),
    "confusion, 1": confused(1, CIFAR),
    "confusion, 2": confused(2, CIFAR, normalize=True),
    "confusion, CIFAR": confused(10, CIFAR, 900),
    "confusion, shares": confused(10, CIFAR, 900, normalize=True, **TITLE),
    "confusion, breeds": confused(10, BREEDS),
    "confusion, awkward names": confused(10, LINES),
    "confusion, Chinese": confused(10, CHINESE),
    "confusion, large counts": confused(10, CIFAR, 10**7),
    "confusion, 30 numbers": confused(30),
    "confusion, 100": confused(100, LONG),
    "confusion, 1,000": confused(1000, LONG),
    "confusion, 1,000 numbers": confused(1000, normalize=True),
    "confusion, empty": partial(pl.plot_confusion_matrix, np.zeros((4, 4), int)),
    "most confused, CIFAR": partial(pl.plot_most_confused, counts(10, 900), class_names=CIFAR),
    "most confused, breeds": partial(pl.plot_most_confused, counts(10), class_names=BREEDS, **TITLE),
    "most confused, none": partial(pl.plot_most_confused, np.eye(3, dtype=int)),
    "most confused, 1,000": partial(pl.plot_most_confused, counts(100, 10**6), class_names=LONG[:100], count=1000),
    "accuracy, CIFAR": accuracies(np.linspace(0.2, 0.6, 10), CIFAR),
    "accuracy, 1 class": accuracies([1.0], CIFAR[:1]),
    "accuracy, no rows": accuracies([NAN] * 3, CIFAR[:3]),
    "accuracy, Thai": accuracies(np.linspace(0, 1, 10), THAI, sort=True),
    "accuracy, awkward names": accuracies([0.5, NAN, *[0.54] * 8], LINES, **TITLE),
    "accuracy, 1,000": accuracies(np.linspace(0, 1, 1000), LONG),
    "gallery, CIFAR": guesses(CIFAR),
    "gallery, breeds": partial(guesses(BREEDS), count=7, title="Surest errors"),
    "gallery, numbers": partial(guesses(range(10)), class_names=(), count=40),
    "gallery, awkward names": guesses(LINES),
    "gallery, Chinese": guesses(CHINESE),
    "gallery, 1 x 1": partial(guesses(CIFAR, side=1), count=3),
    "gallery, 512 x 512": partial(guesses(CIFAR, rows=4, side=512), count=1),
    "templates, CIFAR": templates(10, CIFAR),
    "templates, stripes": templates(4, ["horizontal stripes", "vertical stripes", "checkerboard", "rings"]),
    "templates, 130": templates(130),
    "templates, 40 long": templates(40, LONG[:40]),
    "templates, awkward names": templates(10, LINES),
    "sweep, optimizers": sweep(["SGD", "Adam", "RMSProp"] * 2, [0.3, 0.5, 0.4, 0.35, 0.52, 0.41]),
    "sweep, long names": sweep(LONG[:5], [0.1, 0.2, 0.3, 0.4, 0.5], **TITLE),
    "sweep, 200 names": sweep(LONG[:200], np.linspace(0, 1, 200)),
    "sweep, 0 to 1": sweep([0, 1e-6, 1e-3, 0.1, 1] * 2, np.linspace(0.1, 0.5, 10), by=["eta 0", "eta 1"] * 5),
    "sweep, log": sweep([1e-300, 1e-3, 1e200], [1e-4, 1.0, 100.0], by=LONG[:3]),
    "sweep, scale": sweep(np.arange(20), np.arange(20) / 20, by=[10.0**k for k in range(20)]),
    "sweep, 300 texts": sweep(np.arange(300.0), np.linspace(1, 100, 300), by=LONG[:300]),
    "sweep, constant": sweep([1.0, 1.0], [0.5, 0.5]),
    "sweep, NaN": sweep([1.0, 2.0, 3.0], [0.5, None, NAN]),
    "rates": partial(pl.plot_learning_rates, np.geomspace(1e-7, 10, 50), *np.linspace([2, 9], [2, 1], 50).T, 0.1),
    "rates, NaN": partial(pl.plot_learning_rates, [1e-3, 1e-2], [NAN] * 2, [INF] * 2),
    "rates, one": partial(pl.plot_learning_rates, [1e-3], [2.3], [2.3], 1e-3, **TITLE),
    "schedule, lambda": partial(pl.plot_schedule, lambda step: 0.1 / (1 + step), 1_000_000 // 10),
    "schedule, long": partial(pl.plot_schedule, dl.LinearWarmup(dl.CosineAnnealing(0.1, 100), 5), 100),
    "probabilities": partial(pl.plot_true_class_probability, np.full((50_000, 4), 0.25), np.arange(50_000) % 4),
}  # fmt: skip


# By day every figure with a trait of its own; the rest are slow, or close to another one.
SLOW = {
    "runs, 24 long", "runs, W", "runs, 3 alike", "runs, Chinese", "norms, 300", "norms, zero", "ratios",
    "confusion, shares", "confusion, breeds", "confusion, Chinese", "confusion, 30 numbers", "confusion, 1,000 numbers",
    "most confused, breeds", "sweep, 300 texts", "most confused, 1,000", "accuracy, awkward names", "gallery, numbers",
    "gallery, breeds", "gallery, Chinese", "templates, 130", "templates, stripes", "templates, 40 long",
    "sweep, 200 names", "sweep, long names",
}  # fmt: skip


@pytest.mark.parametrize(
    "make",
    [pytest.param(make, id=name, marks=[pytest.mark.nightly] * (name in SLOW)) for name, make in FIGURES.items()],
)
def test_no_text_is_clipped_or_touches_another(make):
    assert label_faults(make()) == []


def test_what_is_clipped_or_touches_is_found():
    figure = Figure(figsize=(2, 2))
    for place, text in [(0.1, "first text"), (0.15, "second text"), (0.9, "third text")]:
        figure.text(place, place, text)
    assert [fault.partition("'")[2] for fault in label_faults(figure)[:2]] == [
        "third text' leaves the figure",
        "first text' touches 'second text'",
    ]


def test_every_colour_contrasts_with_white():
    colours = np.array([to_rgb(colour) for colour in PALETTE])
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    assert (1.05 / (linear @ (0.2126, 0.7152, 0.0722) + 0.05)).min() >= 3


def test_letters_that_the_font_lacks_give_one_warning_and_an_svg(tmp_path):
    with pytest.warns(UserWarning, match="shows boxes. Use the SVG, or install a font") as caught:
        pl.save_figure(accuracies([0.5] * 10, CHINESE)(), tmp_path / "a")
    assert len(caught) == 1


def test_of_many_runs_the_ten_best_are_in_colour_and_a_run_keeps_its_colour():
    many = {f"run {k}": {"loss": [3.0, abs(k - 50.0) + 1], "accuracy": [0.1, k / 100]} for k in range(100)}
    (ax,) = pl.plot_runs(many | {"broken": {"loss": [1.0, NAN]}}, "loss").axes
    assert {line.get_label() for line in ax.lines} <= {f"run {k}" for k in range(45, 56)}
    assert len(ax.collections[0].get_segments()) == 91
    assert "the 10 best of 101 runs" in ax.get_xlabel().replace("\n", " ")
    (best,) = pl.plot_runs(many, "accuracy", classes=4).axes
    assert {line.get_label() for line in best.lines[:10]} == {f"run {k}" for k in range(90, 100)}
    for line in [*ax.lines, *best.lines[:10]]:
        expected = line_style(int(line.get_label().removeprefix("run ")))
        assert (line.get_color(), line.get_linestyle()) == (expected["color"], expected["linestyle"])
    assert list(best.lines[10].get_ydata()) == [0.25, 0.25]


def test_categories_are_not_joined():
    (ax,) = FIGURES["sweep, optimizers"]().axes
    assert {line.get_linestyle() for line in ax.lines} == {"None"}


def test_of_many_classes_those_confused_most_are_shown():
    matrix = np.eye(200, dtype=int) * 50
    matrix[7, 150], matrix[150, 9] = 30, 20
    (ax,) = pl.plot_confusion_matrix(matrix).axes
    shown = np.asarray(ax.images[0].get_array())
    assert shown.shape == (20, 20)
    assert {20, 30} <= {*shown.ravel().tolist()}


@pytest.mark.parametrize(
    "values", [[2.302585, 2.302585 + 1e-9], [0.0, 1.0], [-1e300, 1e300], [123456789.0, 123456790.0]]
)
def test_ticks_are_numbers_without_an_offset(values):
    figure = curves("margin", values)()
    figure.draw_without_rendering()
    (ax,) = figure.axes
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert ax.yaxis.get_offset_text().get_text() == ""
    assert len(set(labels)) == len(labels) >= 3
