"""Arguments that constructors refuse, and row shapes that layers refuse."""

import math
import re

import numpy as np
import pytest

import minidl as dl

NO_COUNT = ("0", "-1", "2.0", "True", "'3'", "None")
NO_NUMBER = ("None", "'0.1'", "True", "inf", "nan")
NO_SHARE = ("-0.1", "1", "1.0", "1.5", "nan", "inf", "'0.5'", "None", "True")
NO_INITIALIZER = ("'xavier'", "Normal", "0.01", "np.zeros((3, 2))")
NO_SHAPE = ("4", "None", "'ab'", "(0, 2)", "(2.0,)", "(-2,)", "(-1, -1)", "(True,)")

# A call with a place for values, wrong values, and words of the error.
REFUSED = [
    ("Dense({}, 2)", NO_COUNT, "in_features: expected an integer >= 1"),
    ("Dense(2, {})", NO_COUNT, "out_features: expected an integer >= 1"),
    ("Dense(3, 2, weight_init={})", NO_INITIALIZER, "expected weight_init to be an Initializer"),
    ("Conv2D({}, 2, 3)", NO_COUNT, "in_channels: expected an integer >= 1, got "),
    ("Conv2D(2, {}, 3)", NO_COUNT, "out_channels: expected an integer >= 1, got "),
    ("Conv2D(2, 2, {})", ("0", "None", "(3, True)"), "kernel_size: expected an integer >= 1, got "),
    ("Conv2D(2, 2, {})", ["(3, 3, 3)"], "kernel_size: expected an integer or a pair (height, width), got (3, 3, 3)"),
    ("Conv2D(2, 2, 3, stride={})", ["0"], "stride: expected an integer >= 1, got 0"),
    ("Conv2D(2, 2, 3, dilation={})", ["(1, 0)"], "dilation: expected an integer >= 1, got 0"),
    ("Conv2D(2, 2, 3, padding={})", ("-1", "np.array([1, 1])"), "padding: expected an integer >= 0, got "),
    ("Conv2D(2, 2, 3, padding={})", ("'Same'", "'valid'"), 'expected an integer >= 0, a pair of them or "same"'),
    ("Conv2D(4, 6, 3, groups={})", ["4"], "groups: expected a divisor of 4 and 6 channels, got 4"),
    ("Conv2D(4, 4, 3, groups={})", ["0"], "groups: expected an integer >= 1"),
    ("MaxPool2D({})", ["0"], "pool_size: expected an integer >= 1, got 0"),
    ("MaxPool2D(2, stride={})", ["(1, 0)"], "stride: expected an integer >= 1, got 0"),
    ("AvgPool2D((2, 3), padding={})", ["2"], "padding: expected less than pool_size (2, 3)"),
    ("BatchNorm({})", NO_COUNT, "features: expected an integer >= 1"),
    ("LayerNorm({})", NO_COUNT, "features: expected an integer >= 1"),
    ("BatchNorm(3, epsilon={})", ("0.0", "-1e-5", "nan"), "epsilon: expected a finite number > 0"),
    ("BatchNorm(3, momentum={})", NO_SHARE, "momentum: expected a"),
    ("Dropout({})", NO_SHARE, "rate: expected a"),
    ("Dropout(0.5, rng={})", ("-1", "0.5", "'seed'", "True"), "rng: expected"),
    ("LeakyReLU({})", NO_NUMBER, "expected a finite number"),
    ("ELU({})", NO_NUMBER, "expected a finite number"),
    ("GELU({})", ("None", "True", "'exact'", "''"), 'expected approximate to be "none" or "tanh", got'),
    ("Reshape({})", NO_SHAPE, "shape"),
    ("L2({})", ("-0.1", *NO_NUMBER), "strength: expected a finite number >= 0"),
    ("ElasticNet(0, {})", ("-0.1", *NO_NUMBER), "strength: expected a finite number >= 0"),
    ("Normal({})", ["-1"], "std: expected a finite number >= 0, got -1"),
    ("Uniform(1, {})", ["0"], "low <= high"),
    ("Constant({})", ["nan"], "value: expected a finite number"),
    ("Orthogonal({})", ["-1"], "gain: expected a finite number >= 0, got -1"),
    ("{}()((3,), np.random.default_rng(0))", ("Xavier", "He", "LeCun", "Orthogonal"), "two axes"),
    ("SoftmaxCrossEntropy({})", ("1", "-0.1"), "label_smoothing: expected a number in [0, 1), got "),
    ("SoftmaxCrossEntropy(class_weights={})", ["[1, -1]"], "class_weights: expected numbers >= 0"),
    ("SoftmaxCrossEntropy(class_weights={})", ["[0, 0]"], "not all 0"),
    ("SoftmaxCrossEntropy(class_weights={})", ["[[1, 2]]"], "shape (classes,)"),
    ("SoftmaxCrossEntropy(class_weights={})", ["{0: 1}"], "class_weights: expected an array"),
    ("MulticlassHinge({})", ["0"], "margin: expected a finite number > 0"),
    ("Huber({})", ["-1"], "delta: expected a finite number > 0"),
]
CALLS = [(call.replace("{}", value), words) for call, values, words in REFUSED for value in values]


@pytest.mark.parametrize(("call", "words"), CALLS, ids=[call for call, _ in CALLS])
def test_a_wrong_argument_is_refused_by_its_name(call, words):
    with pytest.raises(dl.InputError, match=re.escape(words)):
        eval(call, {**vars(dl), "np": np, "inf": math.inf, "nan": math.nan})


OTHER_WIDTHS = [(4,), (), (3, 1), (5,)]
OTHER_SIZES = [(5,), (2, 3), (11, 1), ()]

# A layer, row shapes that do not fit it, and a pattern of the error.
ROWS = [
    ("Conv2D(3, 2, 3)", [(8, 8, 2)], r"Conv2D\(3, 2, 3\): expected images of shape \(height, width, 3\), got"),
    ("Conv2D(3, 2, 3)", [(3, 8, 8)], "channels come last"),
    ("Conv2D(3, 2, 3)", [(8, 8), (0, 8, 3)], "expected images of shape"),
    ("Conv2D(3, 2, (3, 1))", [(2, 8, 3)], "at least 3 x 1 pixels .the window size. with padding.* got 2 x 8 from"),
    ("Conv2D(3, 2, 3, dilation=3, padding=1)", [(4, 8, 3)], "at least 7 x 7 pixels .* got 6 x 10"),
    ("MaxPool2D(4)", [(3, 8, 3)], "at least 4 x 4 pixels"),
    ("AvgPool2D(2)", [(8, 8)], r"expected images of shape \(height, width, channels\), got \(8, 8\)"),
    ("BatchNorm(3)", OTHER_WIDTHS, r"Norm\(3\): expected rows of shape \(\.\.\., 3\), got"),
    ("LayerNorm(3)", OTHER_WIDTHS, r"Norm\(3\): expected rows of shape \(\.\.\., 3\), got"),
    ("BatchNorm(3)", [(3, 8, 8)], r"channels come last: np.moveaxis\(x, 1, -1\)$"),
    ("Softmax()", [(), (0,), (3, 0)], r"\(..., classes >= 1\)"),
    ("Reshape((2, 2))", OTHER_SIZES, "expected rows of 4 entries, got .* in shape"),
    ("Reshape((4, -1))", OTHER_SIZES, "expected rows of a multiple of 4 entries, got .* in shape"),
    ("Residual(Dense(4, 1))", [(4,)], r"got \(1,\) and \(4,\)"),
    ("Parallel(ReLU(), Flatten())", [(2, 2)], "differ only in the last axis, got"),
]


@pytest.mark.parametrize(("code", "row", "words"), [(code, row, words) for code, rows, words in ROWS for row in rows])
def test_rows_that_do_not_fit_are_refused(code, row, words):
    layer = eval(code, vars(dl))
    with pytest.raises(dl.ShapeError, match=words):
        layer.output_shape(row)
    with pytest.raises(dl.ShapeError, match=words):
        layer.forward(np.zeros((2, *row)))
