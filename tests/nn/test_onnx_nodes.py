"""The ONNX backend's node tests, where the operator exists here: forward references that nobody here wrote.

Printed are how many apply and pass, and why each of the others does not apply. There is no loss of log-probabilities
here (NegativeLogLikelihoodLoss), and `Parallel` concatenates what it has made of one input (Concat takes several).
"""

from collections import Counter

import numpy as np
import pytest

import minidl as dl
from minidl.nn.arithmetic import erf

onnx = pytest.importorskip("onnx", reason="needs the extra oracle: pip install onnx")


class DoesNotApplyError(Exception):
    """This case asks for something that the class here does not do."""


@pytest.fixture(scope="module")
def cases():
    """Name, node, inputs and outputs of each case, by operator."""
    from onnx.backend.test.case import node as nodes

    found = {}

    def expect(node, inputs, outputs, name, **options):
        found.setdefault(node.op_type, []).append((name, node, inputs, outputs))

    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        # In place of making a model of each.
        patch.setattr(nodes, "expect", expect)
        nodes.collect_testcases(None)
    return found


def needs(condition, reason):
    if not condition:
        raise DoesNotApplyError(reason)


def rows_first(x):
    return np.moveaxis(x, 1, -1)  # (n, c, h, w) to (n, h, w, c)


def channels_first(y):
    return np.moveaxis(y, -1, 1)


def forward(layer, x, train=False):
    return layer.astype(x.dtype).forward(x, train)


def set_values(layer, **values):
    arrays = {name: p.value for name, p in layer.named_parameters().items()} | layer.named_buffers()
    for name, value in values.items():
        arrays[name][...] = value
    return layer


def entrywise(make):
    return lambda a, x: [forward(make(a), x)]


def along_an_axis(layer):
    def run(a, x):
        axis = a.get("axis", -1)
        return [np.moveaxis(forward(layer(), np.ascontiguousarray(np.moveaxis(x, axis, -1))), -1, axis)]

    return run


def padding(a, dimensions=2):
    needs(a.get("ceil_mode", 0) == 0, "sizes are rounded down here")
    if a.get("auto_pad", b"NOTSET") != b"NOTSET":
        needs(a["auto_pad"] in (b"SAME_UPPER", b"VALID"), "'same' pads the bottom and right first, as in Keras")
        return "same" if a["auto_pad"] == b"SAME_UPPER" else 0
    pads = a.get("pads", [0] * 2 * dimensions)
    needs(pads[:dimensions] == pads[dimensions:], "padding is the same on both sides")
    return tuple(pads[:dimensions])


def conv(a, x, w, b=None):
    needs(x.ndim == 4, "pictures have two dimensions")
    out, _, *kernel = w.shape
    pad = padding(a)
    keywords = {name: tuple(a.get(key, [1, 1])) for name, key in [("stride", "strides"), ("dilation", "dilations")]}
    layer = dl.Conv2D(
        x.shape[1], out, tuple(kernel), padding=pad, groups=a.get("group", 1), bias=b is not None, rng=0, **keywords
    )
    set_values(layer, weight=w.transpose(2, 3, 1, 0), **({} if b is None else {"bias": b}))
    return [channels_first(forward(layer, rows_first(x)))]


def pool(cls):
    def run(a, x):
        needs(x.ndim == 4, "pictures have two dimensions")
        needs(x.dtype.kind == "f", "x is floating-point")
        needs(a.get("dilations", [1, 1]) == [1, 1], "windows have no holes")
        pad = padding(a)
        needs(pad != "same", "pooling pads by a number")
        counted = cls is dl.MaxPool2D or pad == (0, 0) or a.get("count_include_pad", 0)
        needs(counted, "padding counts in the mean")
        layer = cls(tuple(a["kernel_shape"]), stride=tuple(a.get("strides", [1, 1])), padding=pad)
        return [channels_first(forward(layer, rows_first(x))), None]  # it does not say where the largest stood

    return run


def global_average_pool(a, x):
    return [forward(dl.GlobalAvgPool2D(), rows_first(x))[:, :, None, None]]


def batch_norm(a, x, scale, bias, mean, variance):
    layer = dl.BatchNorm(len(scale), momentum=a.get("momentum", 0.9), epsilon=a.get("epsilon", 1e-5))
    set_values(layer, gamma=scale, beta=bias, running_mean=mean, running_variance=variance)
    y = channels_first(layer.forward(rows_first(x), train=bool(a.get("training_mode", 0))))
    return [y, layer.named_buffers()["running_mean"], None]  # the running variance here is the unbiased one


def layer_norm(a, x, scale, bias):
    needs(a.get("axis", -1) in (-1, x.ndim - 1), "only the last axis is normalised")
    needs(x.ndim >= 2, "rows have an axis")
    layer = dl.LayerNorm(x.shape[-1], epsilon=a.get("epsilon", 1e-5))
    return [set_values(layer, gamma=scale, beta=bias).forward(x), None, None]


def gemm(a, x, w, c=None):
    needs(a.get("alpha", 1.0) == 1.0 and a.get("beta", 1.0) == 1.0, "products are not scaled")
    needs(c is None or c.ndim < 2 or len(c) == 1, "there is one bias for all rows")
    x, w = (m.T if a.get(f"trans{name}", 0) else m for m, name in [(x, "A"), (w, "B")])
    layer = dl.Dense(*w.shape, bias=c is not None)
    return [set_values(layer, weight=w, **({} if c is None else {"bias": c})).forward(x)]


def dropout(a, x, ratio=None, training=False):
    rate = float(a.get("ratio", 0.5) if ratio is None else ratio)
    needs(not training or rate == 0, "the numbers drawn are others")
    return [forward(dl.Dropout(rate), x, train=bool(training)), None]


def flatten(a, x):
    needs(a.get("axis", 1) in (1, 1 - x.ndim), "rows stay rows")
    return [forward(dl.Flatten(), x)]


def reshape(a, x, shape):
    wanted = [x.shape[i] if n == 0 and not a.get("allowzero", 0) else int(n) for i, n in enumerate(shape)]
    needs(len(wanted) > 1 and wanted[0] == len(x), "rows stay rows")
    return [forward(dl.Reshape(tuple(wanted[1:])), x)]


def cross_entropy(a, scores, labels, weights=None):
    needs("ignore_index" not in a, "no label is ignored")
    reduction = a.get("reduction", b"mean").decode()
    needs(weights is None or reduction != "mean", "with class weights the mean is over the rows")
    scores, shape = rows_first(scores), labels.shape
    scores, labels = np.ascontiguousarray(scores.reshape(-1, scores.shape[-1])), labels.reshape(-1)
    loss = dl.SoftmaxCrossEntropy(class_weights=weights)
    log = np.log(loss.probabilities(scores)).reshape(*shape, -1)
    if reduction == "none":
        rows = [loss.forward(scores[i : i + 1], labels[i : i + 1]) for i in range(len(labels))]
        return [np.reshape(rows, shape), channels_first(log)]
    mean = loss.forward(scores, labels)
    return [np.array(mean * (len(labels) if reduction == "sum" else 1)), channels_first(log)]


RUN = {
    "Relu": entrywise(lambda a: dl.ReLU()),
    "LeakyRelu": entrywise(lambda a: dl.LeakyReLU(a.get("alpha", 0.01))),
    "Elu": entrywise(lambda a: dl.ELU(a.get("alpha", 1.0))),
    "Gelu": entrywise(lambda a: dl.GELU(a.get("approximate", b"none").decode())),
    "Swish": lambda a, x: [forward(dl.SiLU(), x)] if a.get("alpha", 1.0) == 1.0 else needs(False, "SiLU has alpha 1"),
    "Sigmoid": entrywise(lambda a: dl.Sigmoid()),
    "Tanh": entrywise(lambda a: dl.Tanh()),
    "Softplus": entrywise(lambda a: dl.Softplus()),
    "Erf": lambda a, x: [erf(x)],
    "Softmax": along_an_axis(dl.Softmax),
    "LogSoftmax": along_an_axis(dl.LogSoftmax),
    "Conv": conv,
    "MaxPool": pool(dl.MaxPool2D),
    "AveragePool": pool(dl.AvgPool2D),
    "GlobalAveragePool": global_average_pool,
    "BatchNormalization": batch_norm,
    "LayerNormalization": layer_norm,
    "Gemm": gemm,
    "Dropout": dropout,
    "Flatten": flatten,
    "Reshape": reshape,
    "SoftmaxCrossEntropyLoss": cross_entropy,
}


@pytest.fixture(scope="module")
def tally():
    return Counter(), {}


@pytest.mark.parametrize("operator", RUN)
def test_the_cases_of_an_operator(operator, cases, tally):
    count, others = tally
    for name, node, inputs, outputs in cases[operator]:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        try:
            found = RUN[operator](attributes, *inputs)
        except DoesNotApplyError as reason:
            others[name] = str(reason)
            continue
        for got, wanted in zip(found, outputs, strict=False):
            if got is not None:
                np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-7, err_msg=name)
        count[operator] += 1
    assert count[operator] > 0


def test_how_many_apply(cases, tally, capsys):
    count, others = tally
    if len(count) < len(RUN):
        pytest.skip("needs all the tests above")
    total = sum(len(cases[operator]) for operator in RUN)
    with capsys.disabled():
        print(f"\nONNX node tests: {count.total()} of {total} apply and pass, for {len(count)} operators")
        for name, reason in sorted(others.items()):
            print(f"  {name}: {reason}")
    assert count.total() + len(others) == total
    assert count.total() >= 90
