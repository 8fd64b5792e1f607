"""What a power cut may leave of a file that is being saved, by a model of the disk, and that each fsync is needed."""

import copy
import errno
import os

import pytest
from faulty_os import Disk, FaultyOs, Operation, RecordingOs, standing_in
from hypothesis import settings
from places import PLACES, content, numbered_folders

from minidl._storage import files

pytestmark = [
    pytest.mark.scaled,
    pytest.mark.skipif(os.name != "posix", reason="a folder cannot be synced here"),
]

CUTS = settings().max_examples // 5  # 10, and between any two bytes under `pytest -m nightly`
NEW, NEWER = bytes(range(1, 90)), b"#" * 50


def save(path, content):
    with files.replacing(path) as file:
        for start in range(0, len(content), 40):
            file.write(content[start : start + 40])


class Saves:
    """The disk before some saves of one file, the operations they took, and after how many each had returned."""

    def __init__(self, folder, place):
        self.folder = folder
        self.path = place(folder)
        self.contents, self.operations, self.returned = [content(self.path)], [], []
        self.disk = Disk(folder, CUTS)

    def save(self, new):
        with standing_in(RecordingOs()) as recording:
            save(self.path, new)
        self.operations += recording.operations
        self.returned.append(len(self.operations))
        self.contents.append(new)

    def without(self, number):
        """The same with one operation left out."""
        fewer = copy.copy(self)
        fewer.operations = self.operations[:number] + self.operations[number + 1 :]
        fewer.returned = [r - (number < r) for r in self.returned]
        return fewer

    def wrong_states(self):
        """Cut the power before the first operation and after each one, and yield what must not be left.

        Each save may leave the content before it or its own; from when it returned until the next one starts, its own.
        """
        disk, name = copy.deepcopy(self.disk), os.path.relpath(os.path.realpath(self.path), self.folder)
        self.counted = 0
        for number in range(len(self.operations) + 1):
            if number:
                disk.apply(self.operations[number - 1])
            done = sum(r <= number for r in self.returned)
            allowed = self.contents[done : done + 1 if number in self.returned else done + 2]
            for state in disk.states():
                self.counted += 1
                if state.get(name) not in allowed:
                    yield number, state


@pytest.fixture(params=PLACES, ids=lambda place: place.__name__)
def saves(tmp_path, request):
    saves = Saves(tmp_path, request.param)
    for new in (NEW, NEWER):
        saves.save(new)
    return saves


def test_a_power_cut_at_any_moment_leaves_the_old_or_the_new_file_and_after_the_save_the_new_one(saves):
    assert list(saves.wrong_states()) == []
    assert saves.counted > 150


def test_without_any_single_fsync_a_power_cut_could_lose_the_file(saves):
    syncs = [number for number, operation in enumerate(saves.operations) if operation.name == "fsync"]
    new_folders = sum(operation.name == "mkdir" for operation in saves.operations)
    assert len(syncs) == 2 * 2 + new_folders  # the file and its folder, each time
    for number in syncs:
        assert any(saves.without(number).wrong_states()), f"fsync number {number} is not needed"


def test_a_name_taken_before_the_data_is_durable_could_lose_the_file(saves):
    names = [operation.name for operation in saves.operations]
    sync, replace = names.index("fsync", names.index("write")), names.index("replace")
    moved = saves.operations.pop(replace)
    saves.operations.insert(sync, moved)
    assert any(saves.wrong_states())


@pytest.mark.parametrize("error", [errno.EIO, None], ids=["EIO", "short write"])
@pytest.mark.parametrize("place", PLACES)
def test_neither_a_failed_save_nor_the_one_after_it_can_lose_the_file(tmp_path, place, error):
    for number, folder in numbered_folders(tmp_path):
        saves = Saves(folder, place)
        raised = False
        with standing_in(FaultyOs(number, error)) as faulty:
            try:
                save(saves.path, NEW)
            except OSError:
                raised = True
        if not faulty.reached:
            break
        saves.operations += faulty.operations
        if raised:
            saves.save(NEW)
        else:
            saves.returned.append(len(saves.operations))
            saves.contents.append(NEW)
        assert list(saves.wrong_states()) == []
    assert number > 10


def test_while_old_files_are_removed_the_newest_one_saved_can_never_be_lost(tmp_path):
    disk, newest, operations, counted = Disk(tmp_path, CUTS), {}, [], 0
    for number in range(6):
        with standing_in(RecordingOs()) as recording:
            save(tmp_path / str(number), bytes([number]) * 80)
            newest[len(operations) + len(recording.operations)] = str(number)
            if number >= 2:
                files.remove(tmp_path / str(number - 2))
        operations += recording.operations
    saved = None
    for done, operation in enumerate(operations, 1):
        disk.apply(operation)
        saved = newest.get(done, saved)
        for state in disk.states():
            counted += 1
            assert saved is None or saved in state
            assert all(state[name] == bytes([int(name)]) * 80 for name in state if name.isdigit())
    assert counted > 500


def test_the_model_knows_what_is_durable_and_what_is_not(tmp_path):
    disk = Disk(tmp_path)

    def left(*operations):
        for operation in operations:
            disk.apply(Operation(*operation))
        return [dict(state) for state in disk.states()]

    path, create = tmp_path / "a", os.O_WRONLY | os.O_CREAT
    assert left() == [{}]
    assert left(("open", (path, create), 3)) == [{}, {"a": b""}]
    written = left(("write", (3, b"1234"), 2))
    assert sorted(state.get("a", b"none") for state in written) == [
        b"",
        b"\0\0",
        b"\x002",
        b"1",
        b"1\0",
        b"12",
        b"none",
    ]
    assert left(("fsync", (3,), None)) == [{}, {"a": b"12"}]
    assert left(("open", (tmp_path, os.O_RDONLY), 4), ("fsync", (4,), OSError())) == [{}, {"a": b"12"}]
    assert left(("fsync", (4,), None)) == [{"a": b"12"}]
    moved = left(("replace", (path, tmp_path / "b"), None))
    assert moved == [{"a": b"12"}, {}, {"a": b"12", "b": b"12"}, {"b": b"12"}]
    assert left(("fsync", (4,), None)) == [{"b": b"12"}]
    assert left(("unlink", (tmp_path / "b",), None)) == [{"b": b"12"}, {}]
    made = left(("mkdir", (tmp_path / "x",), None), ("open", (tmp_path / "x" / "c", create), 5))
    assert made == [{"b": b"12"}, {"b": b"12", "x/c": b""}, {}, {"x/c": b""}]
    with pytest.raises(NotImplementedError, match="truncate"):
        left(("truncate", (path, 0), None))
