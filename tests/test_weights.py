"""Saving and loading weights: whole, verified, or not at all."""

import json

import numpy as np
import pytest

import minidl as dl
from minidl.tensorfile import read_tensors, write_tensors


def make(seed=0, dtype="float32"):
    layers = (dl.Dense(4, 5, rng=seed, dtype=dtype), dl.BatchNorm(5), dl.ReLU(), dl.Dense(5, 3, rng=seed, dtype=dtype))
    return dl.Model(dl.Sequential(*layers), dl.SoftmaxCrossEntropy())


@pytest.fixture
def saved(tmp_path):
    model = make()
    model.network.layers[1].running_mean[...] = [1.0, 2.0, 3.0, 4.0, 5.0]
    model.save_weights(tmp_path / "weights.safetensors")
    return model, tmp_path / "weights.safetensors"


def test_what_was_saved_comes_back_bit_for_bit(saved):
    model, path = saved
    other = make(seed=1)
    other.load_weights(path)
    for name, array in model._weights().items():
        assert other._weights()[name].tobytes() == array.tobytes()
        assert other._weights()[name].flags.f_contiguous == array.flags.f_contiguous


def test_another_tool_reads_the_file(saved):
    safetensors = pytest.importorskip("safetensors.numpy", reason="needs the package safetensors")
    model, path = saved
    found = safetensors.load_file(path)
    assert set(found) == set(model._weights())
    for name, array in model._weights().items():
        assert np.array_equal(found[name], array)


def test_every_flipped_bit_and_every_cut_is_noticed(saved):
    _, path = saved
    content = path.read_bytes()
    model, weights = make(seed=1), make(seed=1)._weights()
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
    for name, array in model._weights().items():
        assert np.array_equal(array, weights[name])


def test_what_does_not_fit_is_told_in_one_go_and_changes_nothing(saved):
    _, path = saved
    other = dl.Model(dl.Sequential(dl.Dense(4, 5, rng=1), dl.Dense(5, 3, rng=1)), dl.SoftmaxCrossEntropy())
    before = {name: array.copy() for name, array in other._weights().items()}
    with pytest.raises(dl.CheckpointError, match=r"no '1.weight'.*a '1.gamma' that the model has not"):
        other.load_weights(path)
    assert all(np.array_equal(array, before[name]) for name, array in other._weights().items())
    with pytest.raises(dl.CheckpointError, match="cannot be read: No such file"):
        other.load_weights(path.with_name("nothing"))


def test_a_narrower_file_is_taken_and_a_wider_is_not(tmp_path):
    make(dtype="float64").save_weights(tmp_path / "wide")
    make().save_weights(tmp_path / "narrow")
    make(dtype="float64").load_weights(tmp_path / "narrow")
    with pytest.raises(dl.CheckpointError, match="float64 where the model has"):
        make().load_weights(tmp_path / "wide")


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
