"""Reprs: one short line anywhere, and a table in a notebook."""

import inspect
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import Page

import minidl as dl
from minidl._core.reprs import constructor_call, oneline_repr

X, Y = np.random.default_rng(0).standard_normal((12, 4)), np.arange(12) % 3


def model():
    return dl.Model(dl.Sequential(dl.Dense(4, 8, rng=0), dl.ReLU(), dl.Dense(8, 3, rng=1)), dl.SoftmaxCrossEntropy())


def trial(settings, seed):
    return {"loss": 1.0}


# Evaluating each of these gives an object with the same repr.
CALLS = [
    *("ELU()", "ELU(0.5)", "GELU()", "GELU('tanh')", "LeakyReLU()", "LeakyReLU(0.2)", "LogSoftmax()", "Softmax()"),
    *("Softplus()", "Tanh()", "Sigmoid()", "SiLU()", "ReLU()", "Dropout(0.5)", "Flatten()", "Reshape((2, -1))"),
    *("Dense(4, 3)", "Dense(4, 3, bias=False)", "Conv2D(3, 8, 5)", "Conv2D(4, 8, 3, stride=2, groups=2, bias=False)"),
    "Link('all numbers', 'results.csv')",
    *("MaxPool2D(2)", "AvgPool2D(3, stride=2)", "GlobalAvgPool2D()"),
    *("BatchNorm(3)", "BatchNorm(3, momentum=0.5)", "LayerNorm(3)", "LayerNorm(3, epsilon=0.001)"),
    *("Sequential()", "Sequential(Dense(4, 3), ReLU())", "Residual(Dense(3, 3))", "Parallel(ReLU(), Tanh())"),
    *("L1(0.1)", "L2(1)", "L2(1e-05)", "ElasticNet(0.1, 0.25)"),
    *("Normal(0.01)", "Uniform(-1, 1)", "Constant(0.5)", "Orthogonal()", "Orthogonal(1.5)"),
    *("He()", "LeCun()", "Xavier()", "Zeros()"),
    *("SoftmaxCrossEntropy()", "SoftmaxCrossEntropy(label_smoothing=0.1, class_weights=[1.0, 2.0])"),
    *("SigmoidCrossEntropy()", "BinaryCrossEntropy()", "MeanSquaredError()", "MeanAbsoluteError()"),
    *("Huber()", "Huber(0.5)", "MulticlassHinge()", "MulticlassHinge(2)"),
    *("SGD(0.1)", "SGD(0.1, momentum=0.9, nesterov=True)", "Adam(0.001, beta1=0.8)", "AdamW(0.1, weight_decay=0.2)"),
    *("NAdam(0.1)", "RMSProp(0.1)", "Adagrad(0.1, clip_norm=5)", "SGD(ConstantRate(0.1))"),
    *("ConstantRate(0.1)", "StepDecay(0.1, 0.5, 10)"),
    *("ExponentialDecay(0.1, 0.9)", "InverseTimeDecay(0.1, 0.5)"),
    *("PiecewiseConstant([10], [0.1, 0.01])", "TriangularCycle(0.1, 1, 5)", "CosineAnnealing(0.1, 100)"),
    *("CosineAnnealingWarmRestarts(0.1, 10, growth=2)", "LinearWarmup(ConstantRate(0.1), 5)", "OneCycle(0.1, 100)"),
    *("Mirror()", "Mirror(0.3)", "Shift(2)", "Shift(2, fill=1.5)", "RandomCrop((4, 6), padding=1)", "Cutout(4)"),
    *("Brightness(0.1)", "Contrast(0.2)"),
    *("Standardizer(dtype=float32)",),
    "LogUniform(0.0001, 0.12345678)",
    "RandomSearch({'rate': LogUniform(1e-05, 0.1)}, 3)",
    "CoarseToFine({'rate': LogUniform(1, 100)}, 'loss', rounds=3, keep=5, mode='max')",
]
# Reprs that leave out arguments.
OTHERS = [
    lambda: dl.Dataset(X, Y, name="toy", class_names=["a", "b", "c"]),
    lambda: dl.Dataset(X, Y)[:0],
    lambda: dl.Ensemble([model(), model()]),
    lambda: dl.Parameter(X, name="weight"),
    model,
    lambda: dl.Trainer(model(), dl.SGD(0.1), [dl.ProgressBar()], rng=3),
    lambda: dl.Trainer(model(), dl.SGD(0.1)).fit(dl.Dataset(X, Y), epochs=2, batch_size=4),
    dl.History,
    lambda: model().summary(4),
    lambda: dl.check_layer(dl.Dense(4, 3, rng=0), X),
    lambda: dl.Finding(dl.Verdict.FAIL_VALUE, "the gradient is 2, expected 1", "weight", (0, 1)),
    lambda: dl.ForeignLayer(dl.Dense(4, 3, rng=0)),
    lambda: dl.Report("A title"),
    dl.EarlyStopping,
    lambda: dl.ReduceLROnPlateau("loss"),
    dl.ProgressBar,
    lambda: dl.Checkpoint("runs"),
    lambda: dl.LearningCurves("figures"),
    lambda: dl.WeightTemplates("figures"),
    lambda: dl.CSVLogger("run.csv"),
    lambda: dl.JSONLLogger("run.jsonl"),
    dl.GradientMonitor,
    lambda: dl.LambdaCallback(on_epoch_end=print),
    lambda: dl.TensorBoard(SimpleNamespace(add_scalar=print, flush=print)),
    dl.TerminateOnNaN,
    dl.Timer,
    lambda: dl.SweepResult([]),
    lambda: dl.dead_units(model(), X),
    lambda: dl.overfit_tiny(model(), dl.Dataset(X, Y), rows=3),
    lambda: dl.LearningRateResult(np.ones(9), np.ones(9), np.ones(9), 0.1, False),
    lambda: dl.SanityReport([]),
    lambda: dl.Comparison(["run", "loss"], [["a", 1.0], ["b", None]]),
    lambda: dl.LiveCurves("live.html"),
]


def concrete_classes():
    for name in dl.__all__:
        thing = getattr(dl, name)
        if isinstance(thing, type) and not inspect.isabstract(thing) and not issubclass(thing, Exception):
            yield name


def test_every_class_has_its_sample_here():
    shown = {text.partition("(")[0] for text in CALLS} | {type(make()).__name__ for make in OTHERS}
    # Callback is made to be subclassed, Verdict is an Enum, and the others are plain dataclasses.
    assert set(concrete_classes()) - shown == {"Callback", "Verdict", "LayerUnits", "SanityItem", "Trial"}


@pytest.mark.parametrize("text", CALLS)
def test_reprs_are_constructor_calls(text):
    names = {name: getattr(dl, name) for name in dl.__all__}
    assert repr(eval(text, names, {"float32": np.float32})) == text


@pytest.mark.parametrize("make", OTHERS)
def test_anything_else_is_shown_in_a_line_that_names_its_class(make):
    thing = make()
    assert repr(thing).startswith(f"{type(thing).__name__}(")
    assert "\n" not in repr(thing)
    assert len(repr(thing)) < 200
    assert " at 0x" not in repr(thing)


def test_short_reprs():
    assert repr(model().summary(4)) == "Summary(3 layers, 67 parameters)"
    assert repr(dl.Ensemble([model()], vote="majority")) == "Ensemble(1 model, vote='majority')"
    assert repr(dl.Trainer(dl.Model(dl.Dense(4, 3), dl.Huber()), dl.SGD(0.1), [dl.ProgressBar()], rng=3)) == (
        "Trainer(Model(Dense(4, 3), Huber()), SGD(0.1), callbacks=[ProgressBar()], rng=3)"
    )
    assert "rng" not in repr(dl.Trainer(model(), dl.SGD(0.1)))
    layer = dl.Dense(4, 3)
    layer.freeze()
    assert repr(layer.weight) == "Parameter('Dense.weight', shape (4, 3), float32, frozen)"
    assert repr(layer.bias) == "Parameter('Dense.bias', shape (3,), float32, not penalized, frozen)"
    assert repr(dl.check_layer(dl.Dense(4, 3, rng=0), X)).startswith("GradientReport(PASS, check_layer(Dense(4, 3), ")
    assert repr(dl.check_layer(Wrong(4, 3, rng=0), X)).endswith(" findings)")


class Wrong(dl.Dense):
    def backward(self, dy):
        return 2 * super().backward(dy)


@given(st.floats(min_value=1e-300, max_value=1e300), st.floats(min_value=0, max_value=0.99))
def test_no_digit_is_lost(strength, momentum):
    assert eval(repr(dl.L2(strength)), vars(dl)).strength == strength
    twin = eval(repr(dl.SGD(strength, momentum=momentum)), vars(dl))
    assert (twin.learning_rate, twin.momentum) == (strength, momentum)


class Mine:
    """Examples of users' classes."""

    def __init__(self, size, *layers, scale=1.0, rng=None, then=None, **options):
        self.size, self.scale, self.rng, self.then = size, scale, rng, then


def test_classes_of_users_show_the_arguments_that_they_keep(monkeypatch):
    class Scale(dl.ReLU):
        def __init__(self, features, gain=1.0):  # without super().__init__()
            self.gain = gain

    assert repr(Scale(5)) == "Scale()"
    assert repr(Scale(5, gain=2)) == "Scale(gain=2)"
    assert constructor_call(Mine(3)) == "Mine(3)"
    assert constructor_call(Mine(3, scale=np.float32(0.5))) == "Mine(3, scale=0.5)"
    shown = constructor_call(Mine(np.zeros((2, 2)), rng=np.random.default_rng(0), then=Mine(1)))
    assert shown == f"Mine(array of shape (2, 2), rng=Generator(PCG64), then=<{Mine.__module__}.Mine object>)"
    assert constructor_call(Mine.__new__(Mine)) == "Mine()"
    monkeypatch.setattr(Mine, "saved_attributes", ("scale",), raising=False)
    assert constructor_call(Mine(3, scale=0.5)) == "Mine(3)"
    assert oneline_repr("two\nlines") == "'two\\nlines'"


HOSTILE = "<script>alert('&')</script>"


class Hostile(dl.ReLU):
    def __repr__(self):
        return HOSTILE


SHOWN_IN_A_NOTEBOOK = [
    dl.Model(dl.Sequential(Hostile(), dl.Dense(4, 3, rng=0)), dl.SoftmaxCrossEntropy(), dl.L2(0.1)),
    dl.Model(type(HOSTILE, (dl.ReLU,), {})(), dl.Huber()).summary(4),
    dl.check_layer(Hostile(), X),
    dl.Dataset(X, Y, name=HOSTILE, source="here", class_names=["a", HOSTILE, "c"]),
    dl.GradientReport(HOSTILE, dl.Verdict.FAIL_VALUE, [dl.Finding(dl.Verdict.FAIL_VALUE, HOSTILE)] * 9),
]


@pytest.mark.parametrize("thing", SHOWN_IN_A_NOTEBOOK, ids=lambda thing: type(thing).__name__)
def test_a_notebook_shows_texts_as_they_are_and_leaves_the_colours_alone(thing):
    page = thing._repr_html_()
    shown = Page(page)
    assert HOSTILE in shown.text
    tags = "table thead tbody tr th td p ul li strong br"
    assert {tag for tag, _ in shown.elements} <= set(tags.split())
    # A verdict brings its own background, so that it can be read in a dark notebook too.
    page = re.sub(r'<strong style="color: white; background: #\w{6};[^"]*">', "", page)
    assert not re.search("style|color|bgcolor", page)


def test_a_model_in_a_notebook_is_the_table_of_its_layers():
    network = dl.Sequential(dl.Dense(4, 8, rng=0), dl.Residual(dl.Sequential(dl.Dense(8, 8, rng=1), dl.Tanh())))
    network.layers[0].freeze()
    text = Page(dl.Model(network, dl.Huber(), dl.L2(0.1))._repr_html_()).text
    for cells in ("0 Dense(4, 8) weight (4, 8), bias (8,) 40", "1.body.0 Dense(8, 8) weight (8, 8), bias (8,) 72"):
        assert cells in text
    assert "112 parameters (72 trainable, 40 frozen), loss Huber(), regularizer L2(0.1)" in text
    assert "- Dense(4, 3)" in Page(dl.Model(dl.Dense(4, 3), dl.Huber())._repr_html_()).text


def test_a_data_set_in_a_notebook_counts_its_classes():
    for data, shown in [
        (dl.Dataset(X, Y, class_names=["cat", "dog", "owl"]), "rows of each class: cat 4, dog 4, owl 4"),
        (dl.Dataset(X, Y), "rows of each class: 0 4, 1 4, 2 4"),
        (dl.Dataset(np.zeros(30), np.arange(30)), "and 10 more"),
        (dl.Dataset(X, Y)[:0], "none"),
    ]:
        assert shown in Page(data._repr_html_()).text
    assert "rows of each class" not in dl.Dataset(X, X)._repr_html_()


def test_a_gradient_report_in_a_notebook_has_the_verdict_the_findings_and_a_row_for_each_tensor():
    report = dl.check_layer(Wrong(4, 3, rng=0), X)
    text = Page(report._repr_html_()).text
    for part in ("FAIL_VALUE", *map(str, report.findings), "weight", "bias", "repeat with: check_layer"):
        assert part in text
    passed = Page(dl.check_layer(dl.Dense(4, 3, rng=0), X)._repr_html_())
    assert not passed.all("ul")
    assert "would have been detected" in passed.text
