"""Activations against PyTorch: values and input gradients over random batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl as dl
from minidl import testing

torch = pytest.importorskip("torch", reason="needs the extra oracle: pip install torch")
nn = torch.nn

SLOPES = st.sampled_from([0.01, 0.25, 1.5, 0.0])
PAIRS = {
    "LeakyReLU": (SLOPES, dl.LeakyReLU, nn.LeakyReLU),
    "ELU": (SLOPES, dl.ELU, nn.ELU),
    "GELU": (st.sampled_from(["none", "tanh"]), dl.GELU, lambda kind: nn.GELU(approximate=kind)),
    "SiLU": (st.none(), lambda _: dl.SiLU(), lambda _: nn.SiLU()),
    "Sigmoid": (st.none(), lambda _: dl.Sigmoid(), lambda _: nn.Sigmoid()),
    "Tanh": (st.none(), lambda _: dl.Tanh(), lambda _: nn.Tanh()),
    "Softplus": (st.none(), lambda _: dl.Softplus(), lambda _: nn.Softplus(threshold=80)),
    "Softmax": (st.none(), lambda _: dl.Softmax(), lambda _: nn.Softmax(dim=-1)),
    "LogSoftmax": (st.none(), lambda _: dl.LogSoftmax(), lambda _: nn.LogSoftmax(dim=-1)),
}
ROWS = testing.shapes(1, 3)
VALUES = st.sampled_from([testing.off_kinks, testing.ties, testing.extremes])


def compare(layer, module, x, dy):
    """Raise AssertionError unless the two agree about y and dx for x, to 1e-10 in float64 and 1e-5 in float32."""
    theirs = torch.tensor(np.array(x), requires_grad=True)
    y = module(theirs)
    y.backward(torch.tensor(dy))
    tolerance = 1e-10 if x.dtype == np.float64 else 1e-5
    for got, wanted in ((layer.forward(x, train=True), y.detach()), (layer.backward(dy), theirs.grad)):
        assert got.dtype == x.dtype
        np.testing.assert_allclose(got, wanted.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_values_and_gradients_are_those_of_torch(pair):
    options, make, make_theirs = pair

    @settings(max_examples=25)
    @given(st.data())
    def agrees(data):
        option = data.draw(options)
        x = data.draw(testing.batches(data.draw(ROWS), values=data.draw(VALUES)))
        compare(make(option), make_theirs(option), x, data.draw(testing.upstream(x.shape, x.dtype)))

    agrees()
