"""Losses and initializers against PyTorch's."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl as dl

torch = pytest.importorskip("torch", reason="needs the extra oracle: pip install torch")
functional = torch.nn.functional

PRECISION = {np.float32: 1e-5, np.float64: 1e-10}
shares = st.sampled_from([0.0, 0.1, 0.5, 0.9])
sizes = st.floats(0.1, 3.0)


@st.composite
def cross_entropies(draw, classes):
    weights = draw(st.none() | st.lists(st.sampled_from([0.0, 0.3, 1.0, 2.5]), min_size=classes, max_size=classes))
    weights = weights if weights is None or any(weights) else None
    s = draw(shares)

    def peer(z, y):
        w = None if weights is None else torch.tensor(weights, dtype=z.dtype)
        return functional.cross_entropy(z, y, weight=w, label_smoothing=s, reduction="none").mean()

    return dl.SoftmaxCrossEntropy(s, weights), peer


def one_hot_sigmoids(z, y):
    return functional.binary_cross_entropy_with_logits(z, functional.one_hot(y, z.shape[1]).to(z.dtype))


def hinges(classes):
    def pair(margin):  # PyTorch's is divided by the number of classes
        return dl.MulticlassHinge(margin), lambda z, y: classes * functional.multi_margin_loss(z, y, margin=margin)

    return sizes.map(pair)


CLASS_LOSSES = {
    "SoftmaxCrossEntropy": cross_entropies,
    "SigmoidCrossEntropy": lambda classes: st.just((dl.SigmoidCrossEntropy(), one_hot_sigmoids)),
    "MulticlassHinge": hinges,
}
NUMBER_LOSSES = {
    "BinaryCrossEntropy": st.just((dl.BinaryCrossEntropy(), functional.binary_cross_entropy_with_logits)),
    "MeanSquaredError": st.just((dl.MeanSquaredError(), functional.mse_loss)),
    "MeanAbsoluteError": st.just((dl.MeanAbsoluteError(), functional.l1_loss)),
    "Huber": sizes.map(lambda delta: (dl.Huber(delta), partial(functional.huber_loss, delta=delta))),
}


def compare(loss, peer, outputs, targets):
    """Compare values and gradients, to a bar relative to the largest number."""
    bar = PRECISION[outputs.dtype.type]
    z = torch.tensor(outputs, requires_grad=True)
    expected = peer(z, torch.tensor(targets))
    expected.backward()
    assert loss.forward(outputs, targets) == pytest.approx(expected.item(), rel=bar, abs=bar)
    gradient = loss.backward()
    assert gradient.dtype == outputs.dtype
    np.testing.assert_allclose(gradient, z.grad.numpy(), rtol=bar, atol=bar * np.abs(z.grad.numpy()).max())


def drawn(dtype, shape, seed, spread):
    return (spread * np.random.default_rng(seed).normal(size=shape)).astype(dtype)


@pytest.mark.parametrize("dtype", PRECISION, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("pairs", CLASS_LOSSES.values(), ids=CLASS_LOSSES)
def test_losses_of_classes_agree(pairs, dtype):
    @settings(max_examples=25)
    @given(st.data(), st.integers(1, 7), st.integers(2, 6), st.integers(0, 10**6), st.sampled_from([0.1, 2.0, 30.0]))
    def agree(data, n, classes, seed, spread):
        loss, peer = data.draw(pairs(classes))
        labels = np.random.default_rng(seed + 1).integers(0, classes, n)
        compare(loss, peer, drawn(dtype, (n, classes), seed, spread), labels)

    agree()


@pytest.mark.parametrize("dtype", PRECISION, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("pairs", NUMBER_LOSSES.values(), ids=NUMBER_LOSSES)
def test_losses_of_numbers_agree(pairs, dtype):
    @settings(max_examples=25)
    @given(pairs, st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 10**6), st.booleans())
    def agree(pair, shape, seed, wide):
        rng = np.random.default_rng(seed + 1)
        compare(*pair, drawn(dtype, shape, seed, 20.0 if wide else 0.5), rng.uniform(0, 1, shape).astype(dtype))

    agree()


@pytest.mark.parametrize("dtype", PRECISION, ids=lambda dtype: dtype.__name__)
def test_losses_agree_on_logits_of_ten_thousand(dtype):
    z = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 5.0], [30.0, 1e4, 1e4]], dtype)
    labels = np.array([1, 1, 0])
    compare(dl.SoftmaxCrossEntropy(0.1), partial(functional.cross_entropy, label_smoothing=0.1), z, labels)
    compare(dl.SigmoidCrossEntropy(), one_hot_sigmoids, z, labels)
    compare(dl.MulticlassHinge(), lambda z, y: 3 * functional.multi_margin_loss(z, y), z, labels)
    compare(dl.BinaryCrossEntropy(), functional.binary_cross_entropy_with_logits, z, np.eye(3, dtype=dtype))


def test_pytorchs_own_weighted_mean_is_another_number():
    """The difference that the docstring tells of."""
    z, y, w = drawn(np.float64, (5, 3), 0, 1.0), np.array([2, 0, 1, 2, 2]), np.array([0.5, 1.0, 3.0])
    theirs = functional.cross_entropy(torch.tensor(z), torch.tensor(y), weight=torch.tensor(w)).item()
    ours = dl.SoftmaxCrossEntropy(class_weights=w).forward(z, y)
    assert ours == pytest.approx(theirs * w[y].sum() / 5, rel=1e-12)
    assert ours != pytest.approx(theirs, rel=0.1)


def test_initializers_have_the_spread_of_pytorchs():
    torch.manual_seed(0)
    kernel = torch.empty(30, 20, 3, 3)  # (out, in, height, width) for our (height, width, in, out)
    rng = np.random.default_rng(0)
    torch.nn.init.kaiming_normal_(kernel, nonlinearity="linear")
    assert dl.LeCun()((3, 3, 20, 30), rng).std() == pytest.approx(kernel.std().item(), rel=0.05)
    torch.nn.init.orthogonal_(kernel, gain=1.5)
    ours, theirs = dl.Orthogonal(1.5)((3, 3, 20, 30), rng).reshape(-1, 30), kernel.numpy().reshape(30, -1)
    np.testing.assert_allclose(ours.T @ ours, theirs @ theirs.T, atol=1e-5)
    assert ours.std() == pytest.approx(theirs.std(), rel=0.01)
