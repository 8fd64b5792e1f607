"""Measure the time of a checkpoint after every epoch of the main job."""

import argparse
import statistics
import tempfile
from pathlib import Path
from time import perf_counter

from contestants.minidl_classes import softmax_model
from page import machine
from tasks import BATCH, EPOCH, LEARNING_RATE, pose

import minidl as dl
from minidl.lab_report.options import count


class Saves(dl.Callback):
    """A callback that runs a Checkpoint after each epoch and measures its time."""

    def __init__(self, checkpoint: dl.Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.seconds: list[float] = []

    def on_epoch_end(self, trainer: dl.Trainer) -> None:
        start = perf_counter()
        self.checkpoint.on_epoch_end(trainer)
        self.seconds.append(perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--epochs", type=count(3), default=40, help="default: %(default)s; the first two are not counted"
    )
    options = parser.parse_args()
    problem = pose(EPOCH)
    train, validation = dl.Dataset(problem.x, problem.y), dl.Dataset(problem.x_val, problem.y_val)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # on a disk; /tmp may be memory
        saves = Saves(dl.Checkpoint(folder))
        trainer = dl.Trainer(softmax_model(problem), dl.SGD(LEARNING_RATE), [saves], rng=0)
        history = trainer.fit(train, validation, epochs=options.epochs, batch_size=BATCH)
        once = saves.seconds[0] - statistics.median(saves.seconds[2:])
    epoch, save = (statistics.median(seconds[2:]) for seconds in (history["seconds"], saves.seconds))
    print(machine(["minidl", "numpy"]))
    print(f"an epoch {1e3 * epoch:.1f} ms, a checkpoint {1e3 * save:.2f} ms: {100 * save / epoch:.1f} % of it")
    print(f"the first one {1e3 * once:.1f} ms more, once per run: it computes a digest of the data")


if __name__ == "__main__":
    main()
