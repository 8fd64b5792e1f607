"""Every loss against PyTorch's: values and gradients."""

import numpy as np
import pytest
from cases import strategy_for
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl as dl
from minidl import testing

torch = pytest.importorskip("torch", reason="needs the extra oracle: pip install torch")
functional = torch.nn.functional
binary = functional.binary_cross_entropy_with_logits


def cross_entropy(loss, z, y):
    weights = None if loss.class_weights is None else torch.tensor(loss.class_weights, dtype=z.dtype)
    # PyTorch's own mean with class weights differs.
    rows = functional.cross_entropy(z, y, weights, label_smoothing=loss.label_smoothing, reduction="none")
    return rows.mean()


PEERS = {
    dl.SoftmaxCrossEntropy: cross_entropy,
    dl.SigmoidCrossEntropy: lambda loss, z, y: binary(z, functional.one_hot(y, z.shape[1]).to(z.dtype)),
    # PyTorch divides by the number of classes.
    dl.MulticlassHinge: lambda loss, z, y: z.shape[1] * functional.multi_margin_loss(z, y, margin=loss.margin),
    dl.BinaryCrossEntropy: lambda loss, z, t: binary(z, t.to(z.dtype)),
    dl.MeanSquaredError: lambda loss, z, t: functional.mse_loss(z, t.to(z.dtype)),
    dl.MeanAbsoluteError: lambda loss, z, t: functional.l1_loss(z, t.to(z.dtype)),
    dl.Huber: lambda loss, z, t: functional.huber_loss(z, t.to(z.dtype), delta=loss.delta),
}


@pytest.mark.parametrize("cls", PEERS, ids=lambda cls: cls.__name__)
def test_values_and_gradients_equal_those_of_torch(cls):
    @settings(max_examples=50)
    @given(st.data())
    def agree(data):
        values = data.draw(st.sampled_from([testing.off_kinks, testing.ties, testing.extremes]))
        loss, outputs, targets = data.draw(strategy_for(cls, values))
        bar = 1e-10 if outputs.dtype == np.float64 else 1e-5
        z = torch.tensor(np.array(outputs), requires_grad=True)
        value = PEERS[cls](loss, z, torch.tensor(np.array(targets)))
        value.backward()
        assert loss.forward(outputs, targets) == pytest.approx(value.item(), rel=bar, abs=bar)
        gradient, theirs = loss.backward(), z.grad.numpy()
        assert gradient.dtype == theirs.dtype
        np.testing.assert_allclose(gradient, theirs, rtol=bar, atol=bar * max(1.0, np.abs(theirs).max()))

    agree()


def test_pytorchs_own_weighted_mean_differs(rng):
    """The difference described in the docstring."""
    z, y, w = rng.normal(size=(5, 3)), np.array([2, 0, 1, 2, 2]), np.array([0.5, 1.0, 3.0])
    theirs = functional.cross_entropy(torch.tensor(z), torch.tensor(y), weight=torch.tensor(w)).item()
    ours = dl.SoftmaxCrossEntropy(class_weights=w).forward(z, y)
    assert ours == pytest.approx(theirs * w[y].sum() / 5, rel=1e-12)
    assert ours != pytest.approx(theirs, rel=0.1)
