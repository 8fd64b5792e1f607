"""A file after a power cut while it is saved, by a model of the disk; and each fsync is necessary."""

import copy
import errno
import os

import pytest
from faulty_os import Disk, FaultyOs, RecordingOs, replacing_os
from hypothesis import settings
from places import PLACES, append, content, new_file, new_folders, numbered_folders, replace

from minidl._storage import files

pytestmark = [pytest.mark.scaled, pytest.mark.skipif(os.name != "posix", reason="a folder cannot be synced here")]

CUTS = settings().max_examples // 5  # 10, and between any two bytes under `pytest -m nightly`
NEW, NEWER = bytes(range(1, 90)), b"#" * 50


class Saves:
    """The disk before some writes to one file, their operations, and the number of operations at each return."""

    def __init__(self, folder, place, write=replace):
        self.folder, self.path, self.write = folder, place(folder), write
        self.contents, self.operations, self.returned = [content(self.path)], [], []
        self.disk = Disk(folder, CUTS)

    def save(self, new):
        with replacing_os(RecordingOs()) as recording:
            self.write(self.path, new)
        self.note(recording)

    def note(self, recording):
        self.operations += recording.operations
        self.returned.append(len(self.operations))
        self.contents.append(content(self.path))

    def syncs(self):
        return [number for number, operation in enumerate(self.operations) if operation.name == "fsync"]

    def without(self, number):
        """Return the same without one operation."""
        fewer = copy.copy(self)
        fewer.operations = self.operations[:number] + self.operations[number + 1 :]
        fewer.returned = [r - (number < r) for r in self.returned]
        return fewer

    def wrong_states(self):
        """Cut the power before the first operation and after each one, and yield what must not be left.

        Each save may leave the content before it or its own; from when it returned until the next one starts, its own.
        An added line leaves all that was there before.
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
                left = state.get(name)
                kept = self.write is append and (left or b"").startswith(self.contents[done] or b"")
                if not kept and left not in allowed:
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
    syncs = saves.syncs()
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


@pytest.mark.parametrize("place", PLACES)
def test_a_power_cut_takes_no_line_that_was_added_and_without_an_fsync_it_could(tmp_path, place):
    lines = Saves(tmp_path, place, append)
    for line in ("1" * 10, "22", "3" * 20):
        lines.save(line)
    assert list(lines.wrong_states()) == []
    *folders, file, folder = lines.syncs()[:-4]
    assert len(folders) == 2 * (place is new_folders)
    needed = {number for number in lines.syncs() if any(lines.without(number).wrong_states())}
    # The name of a file that was there is durable, and from the second line on that of any is.
    assert needed == {*folders, file, *lines.syncs()[-4::2], *([folder] if place in (new_file, new_folders) else [])}


@pytest.mark.parametrize("error", [errno.EIO, None], ids=["EIO", "short write"])
@pytest.mark.parametrize("place", PLACES)
def test_neither_a_failed_save_nor_the_one_after_it_can_lose_the_file(tmp_path, place, error):
    for number, folder in numbered_folders(tmp_path):
        saves = Saves(folder, place)
        with replacing_os(FaultyOs(number, error)) as faulty:
            try:
                replace(saves.path, NEW)
            except OSError:
                saves.operations += faulty.operations
                saves.save(NEW)
            else:
                saves.note(faulty)
        if not faulty.reached:
            break
        assert list(saves.wrong_states()) == []
    assert number > 10


def test_while_old_files_are_removed_the_newest_one_saved_can_never_be_lost(tmp_path):
    disk, newest, operations, counted = Disk(tmp_path, CUTS), {}, [], 0
    for number in range(6):
        with replacing_os(RecordingOs()) as recording:
            replace(tmp_path / str(number), bytes([number]) * 80)
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
