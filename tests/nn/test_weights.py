"""Saving and loading weights: whole, verified, or not at all."""

import json

import numpy as np
import pytest

import minidl as dl
from minidl._storage.tensors import read_tensors, write_tensors


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
    """All that is to be saved, from the layers' own attributes."""
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
    """A model of which no array is as it was made."""
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


def test_what_was_saved_comes_back_bit_for_bit(saved):
    model, path = saved
    other = make(seed=1)
    other.load_weights(path)
    loaded = arrays_of(other)
    for name, array in arrays_of(model).items():
        assert loaded[name].tobytes() == array.tobytes()
        assert loaded[name].flags.f_contiguous == array.flags.f_contiguous
    assert loaded["3.forwards"] == 8


def test_a_loaded_run_predicts_and_goes_on_to_the_last_bit(saved):
    model, path = saved
    other = make(seed=1)
    x, y = np.random.default_rng(4).normal(size=(30, 4)), np.arange(30) % 3
    assert other.predict_proba(x).tobytes() != model.predict_proba(x).tobytes()
    other.load_weights(path)
    assert other.predict_proba(x).tobytes() == model.predict_proba(x).tobytes()
    assert other.compute_gradients(x, y) == model.compute_gradients(x, y)  # the same entries are dropped
    for name, parameter in model.parameters.items():
        assert other.parameters[name].grad.tobytes() == parameter.grad.tobytes()


def test_another_tool_reads_the_file(saved):
    safetensors = pytest.importorskip("safetensors.numpy", reason="needs the package safetensors")
    model, path = saved
    found = safetensors.load_file(path)
    assert set(found) == set(arrays_of(model))
    for name, array in arrays_of(model).items():
        assert np.array_equal(found[name], array)


def test_every_flipped_bit_and_every_cut_is_noticed(saved):
    _, path = saved
    content = path.read_bytes()
    model, weights = make(seed=1), arrays_of(make(seed=1))
    rng = np.random.default_rng(0)
    damaged = [content[:n] for n in rng.integers(0, len(content), 50)] + [content + b"\0"]
    for bit in rng.choice(8 * len(content), 300, replace=False):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << (bit % 8)
        damaged.append(bytes(flipped))
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(dl.CheckpointError):
            model.load_weights(path)
    for name, array in arrays_of(model).items():
        assert np.array_equal(array, weights[name])


def test_what_does_not_fit_is_told_in_one_go_and_changes_nothing(saved):
    _, path = saved
    other = dl.Model(dl.Sequential(dl.Dense(4, 5, rng=1), dl.Dense(5, 3, rng=1)), dl.SoftmaxCrossEntropy())
    before = {name: p.value.copy() for name, p in other.parameters.items()}
    with pytest.raises(dl.CheckpointError, match=r"no '1.weight'.*a '1.gamma' that the model has not"):
        other.load_weights(path)
    assert all(np.array_equal(p.value, before[name]) for name, p in other.parameters.items())
    with pytest.raises(dl.CheckpointError, match="cannot be read: No such file"):
        other.load_weights(path.with_name("nothing"))


def test_a_narrower_file_is_taken_and_a_wider_is_not(tmp_path):
    wide, narrow = trained("float64"), trained()
    wide.save_weights(tmp_path / "wide")
    narrow.save_weights(tmp_path / "narrow")
    other = make(dtype="float64")
    other.load_weights(tmp_path / "narrow")
    for name, array in arrays_of(narrow).items():
        assert np.array_equal(arrays_of(other)[name], array)
    words = r"'0.weight' of \(4, 5\) float64 where the model has \(4, 5\) float32; .*into model.astype\(numpy.float64"
    with pytest.raises(dl.CheckpointError, match=words):
        narrow.load_weights(tmp_path / "wide")
    other.load_weights(tmp_path / "wide")  # as the message says
    assert arrays_of(other)["0.weight"].tobytes() == arrays_of(wide)["0.weight"].tobytes()


def test_casts_of_a_model_take_each_others_weights_and_count_on_exactly(tmp_path):
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


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_file_of_another_tool_is_refused_with_what_to_do(metadata, tmp_path):
    header = {"__metadata__": metadata} if metadata else {}
    header["0.weight"] = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    text = json.dumps(header).encode()
    (tmp_path / "file").write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    with pytest.raises(dl.CheckpointError, match=r"no digest 'minidl.sha256'.*model.parameters\[name\].*save_weights"):
        make().load_weights(tmp_path / "file")


def test_texts_and_shapes_of_all_kinds_come_back(tmp_path):
    arrays = {
        "number": np.float64(3.5),
        "nothing": np.zeros((0, 3), np.float32),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "counts": np.arange(4),
        "flags": np.array([True, False]),
        "strange": np.array([np.nan, -0.0, np.inf]),
    }
    write_tensors(tmp_path / "file", {k: np.asarray(v) for k, v in arrays.items()}, {"note": 'ä "quoted"'})
    found, metadata = read_tensors(tmp_path / "file")
    assert metadata == {"note": 'ä "quoted"'}
    for name, array in arrays.items():
        assert found[name].tobytes() == np.ascontiguousarray(array).tobytes()
        assert found[name].dtype == np.asarray(array).dtype
    with pytest.raises(dl.CheckpointError, match="dtype is complex128"):
        write_tensors(tmp_path / "file", {"z": np.array([1j])})


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"__metadata__": {"minidl.sha256": 3}}',
        b'{"__metadata__": {"minidl.sha256": ""}, "a": {}}',
        b'{"__metadata__": {"minidl.sha256": "00"}, "__metadata__": {}}',
        b"\xff\xfe",
    ],
)
def test_a_hostile_header_is_refused(header, tmp_path):
    (tmp_path / "file").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(dl.CheckpointError):
        read_tensors(tmp_path / "file")


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]},
        {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
        {"dtype": "O", "shape": [1], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": "1", "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]},
    ],
)
def test_a_hostile_entry_with_a_right_digest_is_refused(entry, tmp_path):
    import hashlib

    def content(digest):
        header = json.dumps({"__metadata__": {"minidl.sha256": digest}, "a": entry}).encode()
        return len(header).to_bytes(8, "little") + header + bytes(4)

    (tmp_path / "file").write_bytes(content(hashlib.sha256(content("0" * 64)).hexdigest()))
    with pytest.raises(dl.CheckpointError):
        read_tensors(tmp_path / "file")
