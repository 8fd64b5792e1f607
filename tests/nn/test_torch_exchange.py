"""The table of docs/weights-from-pytorch.md, layer by layer: the same outputs in PyTorch, and the same bits back."""

import numpy as np
import pytest

import minidl as dl

torch = pytest.importorskip("torch", reason="needs the extra oracle: pip install torch")
safetensors = pytest.importorskip("safetensors.numpy", reason="needs the extra oracle: pip install safetensors")

NORM = {"gamma": "weight", "beta": "bias", "running_mean": "running_mean", "running_variance": "running_var"}
PLAIN = {"weight": "weight", "bias": "bias"}
CASES = {
    "Dense": (lambda: torch.nn.Linear(5, 3), lambda: dl.Dense(5, 3), PLAIN, (4, 5)),
    "Conv2D": (lambda: torch.nn.Conv2d(3, 6, 3), lambda: dl.Conv2D(3, 6, 3), PLAIN, (4, 7, 7, 3)),
    "Conv2D with options": (
        lambda: torch.nn.Conv2d(4, 6, (3, 2), stride=2, padding=(2, 1), dilation=(1, 2), groups=2),
        lambda: dl.Conv2D(4, 6, (3, 2), stride=2, padding=(2, 1), dilation=(1, 2), groups=2),
        PLAIN,
        (4, 9, 8, 4),
    ),
    "BatchNorm of rows": (lambda: torch.nn.BatchNorm1d(5), lambda: dl.BatchNorm(5), NORM, (9, 5)),
    "BatchNorm of images": (lambda: torch.nn.BatchNorm2d(3), lambda: dl.BatchNorm(3), NORM, (9, 4, 4, 3)),
    "LayerNorm": (lambda: torch.nn.LayerNorm(5), lambda: dl.LayerNorm(5), dict(list(NORM.items())[:2]), (4, 5)),
}
TO_MINIDL = {2: (1, 0), 4: (2, 3, 1, 0)}  # the axes of a weight, by how many it has
TO_TORCH = {2: (1, 0), 4: (3, 2, 0, 1)}


def transposed(array, axes):
    return np.ascontiguousarray(array.transpose(axes.get(array.ndim, range(array.ndim))))


def outputs_of(theirs, x):
    """Return the outputs of a PyTorch layer for rows, or for images with channels last."""
    x = torch.from_numpy(x)
    with torch.no_grad():
        y = theirs(x.permute(0, 3, 1, 2) if x.ndim == 4 else x)
    return (y.permute(0, 2, 3, 1) if y.ndim == 4 else y).numpy()


@pytest.mark.parametrize(("make_theirs", "make_ours", "names", "shape"), CASES.values(), ids=CASES)
def test_a_layer_is_exported_and_imported_again(make_theirs, make_ours, names, shape, tmp_path, rng):
    torch.manual_seed(0)
    theirs, ours = make_theirs(), make_ours()
    with torch.no_grad():
        for tensor in theirs.parameters():
            tensor.add_(torch.randn(tensor.shape))  # initial ones and zeros would hide mistakes
    outputs_of(theirs, rng.normal(1.0, 2.0, shape).astype(np.float32))  # running statistics too
    theirs.eval()
    before = {name: tensor.numpy().copy() for name, tensor in theirs.state_dict().items()}

    model = dl.Model(ours, dl.MeanSquaredError())
    arrays = {name: transposed(before[other], TO_MINIDL) for name, other in names.items()}
    model.check_weights(arrays, "PyTorch")
    model.set_weights(arrays)
    x = rng.normal(size=shape).astype(np.float32)
    np.testing.assert_allclose(model.forward(x), outputs_of(theirs, x), rtol=1e-5, atol=1e-5)

    model.save_weights(tmp_path / "weights.safetensors")
    file = safetensors.load_file(tmp_path / "weights.safetensors")  # the official reader
    again = make_theirs()
    state = {other: torch.from_numpy(transposed(file[name], TO_TORCH)) for name, other in names.items()}
    again.load_state_dict(again.state_dict() | state)
    for name, tensor in again.state_dict().items():
        assert name == "num_batches_tracked" or np.array_equal(tensor.numpy(), before[name]), name


def test_flattened_images_need_the_rows_of_their_weight_in_another_order(rng):
    """The warning of the page: without this step the shapes fit, but the outputs are wrong."""
    theirs = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2 * 3 * 4, 5))
    x = rng.normal(size=(6, 3, 4, 2)).astype(np.float32)  # height 3, width 4, 2 channels
    plain = theirs[1].weight.detach().numpy().T
    reordered = plain.reshape(2, 3, 4, 5).transpose(1, 2, 0, 3).reshape(-1, 5)
    dense = dl.Dense(24, 5)
    network = dl.Sequential(dl.Flatten(), dense)
    dense.bias.value = theirs[1].bias.detach().numpy()
    for weight, right in ((plain, False), (reordered, True)):
        dense.weight.value = weight
        assert np.allclose(network.forward(x), outputs_of(theirs, x), atol=1e-5) is right
