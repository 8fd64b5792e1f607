"""Whatever writes a file leaves the old one or the new one, both whole, at any operation that fails."""

import errno
import itertools

import pytest
from faulty_os import TAKES_SPACE, WRITING, FaultyOs, standing_in

import minidl as dl


def history(loss):
    return dl.History([{"loss": loss, "cost": 2.0}, {"loss": 0.5, "cost": 1.0}])


def report(title):
    page = dl.Report(title)
    return page.heading("One").paragraph("One paragraph.")


def model(seed):
    return dl.Model(dl.Dense(3, 2, rng=seed), dl.SoftmaxCrossEntropy())


WRITERS = {
    "history.csv": lambda path, which: history(which).to_csv(path),
    "history.json": lambda path, which: history(which).to_json(path),
    "report": lambda path, which: report(str(which)).write(path.parent),
    "weights.safetensors": lambda path, which: model(which).save_weights(path),
    "figure": lambda path, which: dl.plotting.save_figure(dl.plotting.plot_curves(history(which), "loss"), path),
}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("name", WRITERS)
def test_the_old_one_or_the_new_one(tmp_path, name, error):
    if name == "figure" and error == errno.EIO:
        pytest.skip("drawing it once more for each operation would take half a minute; it has the same way to the disk")
    write, watched = WRITERS[name], TAKES_SPACE if error == errno.ENOSPC else WRITING
    for which in (1, 2):
        (tmp_path / str(which)).mkdir()
        write(tmp_path / str(which) / name, which)
    old, new = (contents(tmp_path / str(which)) for which in (1, 2))
    assert old.keys() == new.keys()
    refused = 0
    for number in itertools.count(1):
        folder = tmp_path / f"at {number}"
        folder.mkdir()
        write(folder / name, 1)
        with standing_in(FaultyOs(number, error, watched=watched)) as faulty:
            try:
                write(folder / name, 2)
                done = True
            except OSError:
                done = False
        if not faulty.reached:
            break
        refused += not done
        found = contents(folder)
        assert found.keys() == old.keys()  # and nothing besides
        assert all(found[file] in (old[file], new[file]) for file in found)
        assert not done or found == new
    assert refused >= 3
