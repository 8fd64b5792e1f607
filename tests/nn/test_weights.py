"""Saving and loading weights: completely and verified, or not at all."""

import numpy as np
import pytest

import minidl as dl


def make(seed=0, dtype="float32"):
    layers = (
        dl.Dense(4, 5, rng=seed, dtype=dtype),
        dl.BatchNorm(5, dtype=dtype),
        dl.ReLU(),
        dl.Dropout(0.3, rng=7),
        dl.Dense(5, 3, rng=seed, dtype=dtype),
    )
    return dl.Model(dl.Sequential(*layers), dl.SoftmaxCrossEntropy())


def arrays_of(model):
    """All arrays to save, from the attributes of the layers."""
    first, norm, _, dropout, last = model.network.layers
    return {
        "0.weight": first.weight.value,
        "0.bias": first.bias.value,
        "1.gamma": norm.gamma.value,
        "1.beta": norm.beta.value,
        "1.running_mean": norm.running_mean,
        "1.running_variance": norm.running_variance,
        "3.forwards": dropout.forwards,
        "4.weight": last.weight.value,
        "4.bias": last.bias.value,
    }


def trained(dtype="float32"):
    """A model in which every array differs from its initial value."""
    model, rng = make(dtype=dtype), np.random.default_rng(3)
    data = dl.Dataset(rng.normal(size=(40, 4)), rng.integers(0, 3, 40))
    dl.Trainer(model, dl.SGD(0.1), rng=0).fit(data, epochs=2, batch_size=10)
    for name, array in arrays_of(make()).items():
        assert not np.array_equal(array, arrays_of(model)[name])
    return model


@pytest.fixture
def saved(tmp_path):
    model = trained()
    model.save_weights(tmp_path / "weights.safetensors")
    return model, tmp_path / "weights.safetensors"


def test_saved_weights_are_restored_bit_for_bit(saved):
    model, path = saved
    other = make(seed=1)
    other.load_weights(path)
    loaded = arrays_of(other)
    for name, array in arrays_of(model).items():
        assert loaded[name].tobytes() == array.tobytes()
        assert loaded[name].flags.f_contiguous == array.flags.f_contiguous
    assert loaded["3.forwards"] == 8


def test_all_misfits_are_reported_together_and_nothing_changes(saved):
    _, path = saved
    other = dl.Model(dl.Sequential(dl.Dense(4, 5, rng=1), dl.Dense(5, 3, rng=1)), dl.SoftmaxCrossEntropy())
    before = {name: p.value.copy() for name, p in other.parameters.items()}
    with pytest.raises(dl.CheckpointError, match=r"missing '1.weight'.*unexpected '1.gamma'"):
        other.load_weights(path)
    assert all(np.array_equal(p.value, before[name]) for name, p in other.parameters.items())
    with pytest.raises(dl.CheckpointError, match="cannot be read: No such file"):
        other.load_weights(path.with_name("nothing"))


def test_a_narrower_dtype_is_accepted_and_a_wider_one_is_refused(tmp_path):
    wide, narrow = trained("float64"), trained()
    wide.save_weights(tmp_path / "wide")
    narrow.save_weights(tmp_path / "narrow")
    other = make(dtype="float64")
    other.load_weights(tmp_path / "narrow")
    for name, array in arrays_of(narrow).items():
        assert np.array_equal(arrays_of(other)[name], array)
    words = r"'0.weight': expected \(4, 5\) float32, got \(4, 5\) float64.*Call model.astype\(numpy.float64"
    with pytest.raises(dl.CheckpointError, match=words):
        narrow.load_weights(tmp_path / "wide")
    other.load_weights(tmp_path / "wide")  # as in the message
    assert arrays_of(other)["0.weight"].tobytes() == arrays_of(wide)["0.weight"].tobytes()


def test_models_of_two_dtypes_exchange_weights_and_counters_exactly(tmp_path):
    model = trained()
    model.network.layers[3].forwards[...] = 2**53 + 1  # no float64
    single, double = model.astype(np.float32), model.astype(np.float64)
    single.save_weights(tmp_path / "single")
    double.save_weights(tmp_path / "double")
    for file, other in [("single", make()), ("single", make(dtype="float64")), ("double", make().astype(np.float64))]:
        other.load_weights(tmp_path / file)
        assert int(arrays_of(other)["3.forwards"]) == 2**53 + 1
        assert arrays_of(other)["3.forwards"].dtype == np.int64
        for name, array in arrays_of(model).items():
            assert np.array_equal(arrays_of(other)[name], array)


def test_a_file_of_another_tool_is_loaded_if_names_shapes_and_numbers_fit(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy", reason="needs the package safetensors")
    model, other = trained(), make(seed=1)
    arrays = {name: array.copy() for name, array in arrays_of(model).items()}

    def load(changes):
        safetensors.save_file({**arrays, **changes}, tmp_path / "file", {"format": "np"})
        other.load_weights(tmp_path / "file")

    load({})
    for name, array in arrays_of(model).items():
        assert arrays_of(other)[name].tobytes() == array.tobytes()
    for changes, message in [
        ({"5.weight": np.ones(3, np.float32)}, "unexpected '5.weight'"),
        ({"0.weight": np.ones((5, 4), np.float32)}, r"'0.weight': expected .* got \(5, 4\) float32"),
        ({"0.bias": np.ones(5)}, "'0.bias': expected .* float64"),
        ({"0.bias": np.full(5, np.nan, np.float32)}, "'0.bias': expected finite numbers"),
    ]:
        with pytest.raises(dl.CheckpointError, match=message):
            load(changes)
    for name, array in arrays_of(model).items():
        assert arrays_of(other)[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "float16"])
def test_weights_of_pytorch_are_loaded(kind, tmp_path):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    safetensors = pytest.importorskip("safetensors.torch", reason="needs the package safetensors")
    weights = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3)).state_dict()
    weights = {
        name: tensor.to(getattr(torch, kind)).permute(*range(tensor.ndim)[::-1]).contiguous()
        for name, tensor in weights.items()
    }
    safetensors.save_file(weights, tmp_path / "file")
    model = dl.Model(dl.Sequential(dl.Dense(4, 5), dl.ReLU(), dl.Dense(5, 3)), dl.SoftmaxCrossEntropy())
    model.load_weights(tmp_path / "file")
    for name, array in model.weights().items():
        assert array.dtype == np.float32
        assert np.array_equal(array, weights[name].float().numpy())


def test_a_checkpoint_without_its_digest_is_no_checkpoint(tmp_path):
    model, data = make(), dl.Dataset(np.ones((4, 4)), [0, 1, 2, 0])
    dl.Trainer(model, dl.SGD(0.1), [dl.Checkpoint(tmp_path)]).fit(data, epochs=1, batch_size=4)
    (path,) = tmp_path.glob("*.safetensors")
    path.write_bytes(path.read_bytes().replace(b"minidl.sha256", b"another.words"))
    model.load_weights(path)
    with pytest.raises(dl.CheckpointError, match="no digest"):
        dl.Trainer(model, dl.SGD(0.1)).fit(data, epochs=2, batch_size=4, resume_from=path)


def test_the_result_of_weights_does_not_change_and_can_be_restored():
    model = trained()
    best = model.weights()
    before = {name: array.tobytes() for name, array in best.items()}
    data = dl.Dataset(np.random.default_rng(4).normal(size=(40, 4)), np.arange(40) % 3)
    dl.Trainer(model, dl.SGD(0.1), rng=0).fit(data, epochs=2, batch_size=10)
    assert {name: array.tobytes() for name, array in best.items()} == before
    with pytest.raises(ValueError, match="read-only"):
        model.weights()["0.weight"][...] = 0.0
    model.set_weights(best)
    assert {name: array.tobytes() for name, array in arrays_of(model).items()} == before
    model.set_weights({name: array / 2 if array.dtype.kind == "f" else array for name, array in best.items()})
    assert (model.network.layers[0].weight.value == best["0.weight"] / 2).all()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda new: list(new.values()), dl.InputError, "expected weights to be a Mapping"),
        (
            lambda new: {name: new[name] for name in list(new)[1:]},
            dl.CheckpointError,
            "set_weights: .*missing '0.weight'",
        ),
        (lambda new: new | {"0.weight": new["0.weight"].T}, dl.CheckpointError, r"'0.weight': .* got \(5, 4\)"),
        (lambda new: new | {"0.weight": new["0.weight"].astype(float)}, dl.CheckpointError, "Call model.astype"),
        (lambda new: new | {"0.weight": "a"}, dl.InputError, "set_weights: 0.weight"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(change, error, words):
    model = trained()
    before = {name: array.tobytes() for name, array in arrays_of(model).items()}
    new = {name: np.array(array) for name, array in make().weights().items()}
    for _ in range(2):
        with pytest.raises(error, match=words):
            model.set_weights(change(new))
        assert {name: array.tobytes() for name, array in arrays_of(model).items()} == before
