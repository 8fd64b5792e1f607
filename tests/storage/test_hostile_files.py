"""Hostile and damaged files: every flipped bit and cut of small files, and thousands of fuzzed files."""

import hashlib
import os
import signal
from collections import Counter

import cifar_files as files
import fuzzing
import pytest
from places import peak_below

from minidl._core.errors import DataError
from minidl.data.datasets import cifar10_content
from minidl.data.datasets.cifar10 import read_cached, read_place
from minidl.data.datasets.cifar10_formats import read_pickled_batch

NAME = "data_batch_1"
SHARES = {"checkpoints": 0.45, "batches": 0.35, "tgz": 0.12, "npm": 0.08}


@pytest.fixture(autouse=True)
def _tiny():
    signal.alarm(3600)  # ends a test that waits for a pipe
    with files.tiny_cifar10():
        yield
    signal.alarm(0)


# Fuzzing.


@pytest.mark.parametrize(
    ("cases", "seed"), [(2000, 1), *(pytest.param(n, 2, marks=pytest.mark.nightly) for n in (20_000, 1_000_000))]
)
def test_fuzzed_files_are_refused_or_read_as_they_were(cases, seed):
    counts = {kind: round(cases * share) for kind, share in SHARES.items()}
    processes = {kind: fuzzing.start(kind, seed, 0, count) for kind, count in counts.items()}
    for kind, process in processes.items():
        report = fuzzing.finish(process, 3000)
        assert report.failures == []
        assert report.cases == counts[kind]
        assert report.outcomes["refused"] > 0.5 * report.cases  # else the damage is none


@pytest.fixture(scope="module")
def planted():
    """Start a process for each planted fault, all at once."""
    patience = {"hang": 1}
    return {fault: fuzzing.start(f"planted {fault}", 0, 0, 30, patience.get(fault, 60)) for fault in fuzzing.PLANTED}


@pytest.mark.parametrize("fault", fuzzing.PLANTED)
def test_the_watch_sees_a_reader_with_a_fault(planted, fault):
    (failure,) = fuzzing.finish(planted[fault], 120).failures
    assert fuzzing.PLANTED[fault][1] in failure


def test_a_case_depends_on_its_seed_and_number_alone():
    processes = [fuzzing.start("planted another error", 0, number, count) for number, count in ((0, 1), (0, 5), (1, 9))]
    one, again, other = (fuzzing.finish(process, 60).failures for process in processes)
    assert "case 0" in one[0]
    assert one == again != other


# Every flipped bit and every cut.


@pytest.fixture
def small(monkeypatch):
    """Return a batch of three images of twelve bytes, which is accepted as the official one during a test."""
    pixels, labels = bytes(range(100, 136)), [1, 9, 3]
    monkeypatch.setattr(cifar10_content, "PIXELS", 12)
    digest = hashlib.sha256(pixels + bytes(labels)).hexdigest()
    monkeypatch.setattr(cifar10_content, "DIGESTS", cifar10_content.DIGESTS | {NAME: digest})
    items = files.official_items(NAME)
    items |= {b"labels": files.label_list(labels), b"data": files.array(pixels, shape=(3, 12))}
    return files.dictionary(items)


def outcomes(content, read):
    """Return the outcome for each file that differs from `content` in one bit or is cut short."""
    whole, counts = read(content).tobytes(), Counter[str]()
    flips = ((at, content[at] ^ 1 << bit) for at in range(len(content)) for bit in range(8))
    for kind, damaged in [
        *(("cut", content[:at]) for at in range(len(content))),
        *(("flip", content[:at] + bytes([byte]) + content[at + 1 :]) for at, byte in flips),
    ]:
        try:
            assert read(damaged).tobytes() == whole
            counts[f"{kind} without meaning"] += 1
        except DataError:
            counts[f"{kind} refused"] += 1
    return counts


def test_every_flipped_bit_and_cut_of_a_small_batch_is_refused_or_changes_no_pixel_and_no_label(small):
    counts = outcomes(small, lambda data: read_pickled_batch(data, NAME, "the file"))
    assert counts["cut refused"] == len(small)
    # The other flips are in skipped texts and in memo numbers.
    assert counts["flip refused"] > 0.35 * 8 * len(small)


def test_every_flipped_bit_and_cut_of_a_small_cached_batch_is_refused(small, tmp_path):
    content = read_pickled_batch(small, NAME, "the file").tobytes()

    def read(data):
        (tmp_path / "file").write_bytes(data)
        return read_cached(tmp_path / "file", NAME)

    assert outcomes(content, read) == {"cut refused": len(content), "flip refused": 8 * len(content)}
    with pytest.raises(DataError, match=f"expected {len(content)} bytes, got {len(content) + 1}"):
        read(content + b"\0")


# Not a regular file, or larger claims than its content.


@pytest.mark.parametrize("name", [NAME, "cifar-10/data_batch_1.u8", "cifar-10-python.tar.gz"])
def test_only_a_regular_file_is_read(name, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="expected a regular file, got a pipe"):
        read_place(tmp_path, [NAME])


@pytest.mark.parametrize(
    ("name", "start", "message"),
    [
        (NAME, files.official(NAME), "expected at most 40000000 bytes, got 1099511627776"),
        ("cifar-10/data_batch_1.u8", b"", "expected 9219 bytes, got 1099511627776"),
        ("cifar-10-python.tar.gz", files.official_tgz(), "expected at most 200000000 bytes, got 1099511627776"),
    ],
)
def test_a_file_of_holes_takes_no_memory(name, start, message, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(start)
    os.truncate(tmp_path / name, 1 << 40)
    with peak_below(1_000_000), pytest.raises(DataError, match=message):
        read_place(tmp_path, [NAME])


def test_memory_is_allocated_for_content_not_for_claims(tmp_path, monkeypatch):
    (tmp_path / NAME).write_bytes(files.official(NAME))
    with peak_below(1_000_000):
        assert read_place(tmp_path, [NAME])[0][NAME].tobytes() == files.CONTENTS[NAME]
    monkeypatch.setattr(cifar10_content, "ROWS", 10_000)
    (tmp_path / NAME).write_bytes(b"short")
    with peak_below(1_000_000), pytest.raises(DataError, match="expected 30730000 bytes, got 5"):
        read_cached(tmp_path / NAME, NAME)
