"""Faults planted in what saves and resumes; each must turn the tests red.

    python tests/planted_faults.py              all of them, with a line each
    python tests/planted_faults.py NAME ...     some of them

A fault is one text of the package put in place of another, in a copy of it. The tests named beside it are run against
the copy; they must pass on the package as it is, which the suite shows, and fail on the copy.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import minidl

PACKAGE = Path(minidl.__file__).parent
TESTS = Path(__file__).parent


class Fault(NamedTuple):
    """A text of `file` that stands there once, what takes its place, and the tests that have to notice."""

    file: str
    right: str
    wrong: str
    tests: str


FILES = "test_files_faults.py test_power_loss.py test_files.py"
FAULTS = {
    # what goes to the disk
    "the file is not synced": Fault("files.py", "            os.fsync(raw.descriptor)  #", "            #", FILES),
    "the folder is not synced": Fault("files.py", "        _sync_folder(target.parent)\n", "        pass\n", FILES),
    "a new folder is not synced": Fault("files.py", "        _sync_folder(folder.parent)\n", "        pass\n", FILES),
    "the name is taken before the data is there": Fault(
        "files.py",
        "            os.fsync(raw.descriptor)  # the data must be on the disk before the name points at it\n"
        "            raw.close()\n            os.replace(part, target)\n",
        "            os.replace(part, target)\n            os.fsync(raw.descriptor)\n            raw.close()\n",
        FILES,
    ),
    "an error while writing is swallowed": Fault(
        "files.py",
        "                os.unlink(part)\n            raise\n",
        "                os.unlink(part)\n            return\n",
        FILES,
    ),
    "a failed save leaves its temporary file": Fault(
        "files.py",
        "                os.unlink(part)\n            raise\n",
        "                pass\n            raise\n",
        FILES,
    ),
    "a short write is taken for a whole one": Fault(
        "files.py",
        "return os.write(self.descriptor, data)",
        "os.write(self.descriptor, data); return len(data)",
        FILES,
    ),
    "the lock lets two in": Fault(
        "files.py", "fcntl.LOCK_EX", "fcntl.LOCK_SH", "test_files.py test_files_faults.py test_checkpoint.py"
    ),
    # what comes from the disk
    "the newest checkpoint is the oldest": Fault("checkpoint.py", ", reverse=True)", ")", "test_checkpoint.py"),
    "a later format is read": Fault(
        "checkpoint.py", "or not 1 <= int(version) <= FORMAT", "or not 1 <= int(version)", "test_checkpoint.py"
    ),
    "a damaged checkpoint begins the run anew": Fault(
        "checkpoint.py",
        '        raise CheckpointError(f"{path}: no checkpoint in it is whole',
        '        return None\n        raise CheckpointError(f"{path}: no checkpoint in it is whole',
        "test_resume.py -k newest_whole",
    ),
    "a damaged checkpoint is passed over in silence": Fault(
        "checkpoint.py",
        "        for fault in faults:\n",
        "        for fault in ():\n",
        "test_resume.py -k newest_whole",
    ),
    "a generator comes back at its beginning": Fault(
        "checkpoint.py", "    bits.state = state\n", "", "test_checkpoint.py -k every_kind"
    ),
    # what comes back
    "the optimizer's slots are forgotten": Fault(
        "resume.py", "        trainer.optimizer.state = self._slots\n", "", "test_resume.py -k killed_at_any_step"
    ),
    "Adam's count of steps is forgotten": Fault(
        "resume.py",
        "                array[...] = found\n",
        '                array[...] = found if name != "count" else 0\n',
        "test_resume.py -k killed_at_any_step",
    ),
    "the place in the schedule is forgotten": Fault(
        "resume.py",
        '        trainer.optimizer.steps = state["optimizer"]["steps"]\n',
        "",
        "test_resume.py -k killed_at_any_step",
    ),
    "the running statistics are forgotten": Fault(
        "resume.py",
        "            array[...] = self._weights[name]\n",
        "            if name in trainer.model.parameters:\n                array[...] = self._weights[name]\n",
        "test_resume.py -k killed_at_any_step",
    ),
    "a reduced learning rate is forgotten": Fault(
        "resume.py",
        "        trainer.optimizer.learning_rate = self._rate\n",
        "",
        "test_resume.py -k killed_at_any_step",
    ),
    "the seed is forgotten": Fault(
        "resume.py", '        trainer.seed = state["seed"]\n', "", "test_resume.py -k killed_at_any_step"
    ),
    "the place in the epoch is forgotten": Fault(
        "data.py",
        "range(first * batch_size, len(self), batch_size)",
        "range(0, len(self), batch_size)",
        "test_resume.py -k killed_at_any_step",
    ),
    "the history is forgotten": Fault(
        "resume.py",
        "        trainer.history.rows[:] = self._history.rows\n",
        "",
        "test_resume.py -k killed_at_any_step",
    ),
    "what is frozen is forgotten": Fault(
        "resume.py",
        "parameter.trainable = path not in self._frozen",
        "pass",
        "test_resume.py -k frozen",
    ),
    "that training was stopped is forgotten": Fault(
        "resume.py", '        trainer.stopping = trainer.stopping or state["stopping"]\n', "", "test_resume.py"
    ),
    "callbacks forget": Fault("resume.py", "        _assign(self._callbacks)\n", "", "test_resume.py"),
    "callbacks are restored before they are reset": Fault(
        "trainer.py",
        "            for callback in callbacks:\n                begun.append(callback)\n"
        "                callback.on_train_begin(self)\n            if restored is not None:\n"
        "                restored.apply()\n",
        "            if restored is not None:\n                restored.apply()\n"
        "            for callback in callbacks:\n                begun.append(callback)\n"
        "                callback.on_train_begin(self)\n            if restored is not None:\n",
        "test_resume.py",
    ),
    "the seed of a dropout layer is forgotten": Fault(
        "layers/dropout.py", '    saved_attributes = ("seed",)\n', "", "test_resume.py -k killed_at_any_step"
    ),
    "EarlyStopping forgets the best weights": Fault(
        "callbacks/stopping.py", ', "_best_weights")', ")", "test_resume.py -k killed_at_any_step"
    ),
    "a checkpoint of another run is taken": Fault(
        "resume.py", "        if faults:\n", "        if False:\n", "test_resume.py"
    ),
    "the weights change before all is checked": Fault(
        "resume.py",
        "        trainer.model.check_weights(weights, path)\n",
        "        trainer.model.check_weights(weights, path)\n"
        "        for name, array in trainer.model.weights().items():\n            array[...] = weights[name]\n",
        "test_resume.py",
    ),
    "the seconds before the interruption are forgotten": Fault(
        "trainer.py", "perf_counter() - self.epoch_seconds", "perf_counter()", "test_resume.py -k seconds"
    ),
    # when it is saved
    "the older one goes before the newer one is there": Fault(
        "callbacks/checkpointing.py",
        "        self._write(trainer, checkpoint_path(self.directory, trainer.step))\n",
        "        for old in checkpoint_paths(self.directory)[max(self.keep - 1, 0) :]:\n            remove(old)\n"
        "        self._write(trainer, checkpoint_path(self.directory, trainer.step))\n",
        "test_checkpoint.py test_resume.py",
    ),
    "it is saved before other callbacks had their turn": Fault(
        "callbacks/checkpointing.py", "    runs_last = True\n", "", "test_checkpoint.py -k turn_after"
    ),
    "a failed save is passed over": Fault(
        "callbacks/checkpointing.py",
        "            trainer.save_checkpoint(path)\n        except",
        "            with suppress(Exception):\n                trainer.save_checkpoint(path)\n        except",
        "test_checkpoint.py",
    ),
    "NaN is saved": Fault("trainer.py", "        check_weights(self.model)\n", "", "test_checkpoint.py -k nan"),
    "NaN counts as the best": Fault(
        "callbacks/monitor.py",
        "math.inf if math.isnan(value) else self.sign * value",
        "-math.inf if math.isnan(value) else self.sign * value",
        "test_stopping.py test_checkpoint.py",
    ),
    "a run is written over": Fault(
        "callbacks/checkpointing.py",
        "if there and directory not in trainer.own_directories:",
        "if False:",
        "test_checkpoint.py test_checkpoint_attacks.py",
    ),
    # signals and numbers
    "nothing is saved on SIGTERM": Fault(
        "trainer.py", '                    self._notify("on_interrupt")\n', "", "test_interrupts.py"
    ),
    "SIGTERM leaves with 0": Fault(
        "interrupts.py", "raise SystemExit(128 + self.received)", "raise SystemExit(0)", "test_interrupts.py"
    ),
    "Ctrl-C is swallowed": Fault("trainer.py", "        interrupts.deliver()\n", "", "test_interrupts.py"),
    "a second signal waits too": Fault(
        "interrupts.py",
        "        if self.received is None:\n            self.received = number\n        else:",
        "        self.received = number\n        if False:",
        "test_interrupts.py",
    ),
    "handlers stay": Fault(
        "interrupts.py",
        "    ) -> None:\n        self._restore()\n",
        "    ) -> None:\n        pass\n",
        "test_interrupts.py",
    ),
    "a gradient of NaN is used": Fault(
        "trainer.py", "                check_gradients(model)\n", "                pass\n", "test_nonfinite.py"
    ),
    "a skipped step leaves its statistics": Fault(
        "trainer.py", "                buffer[...] = statistics[path]\n", "                pass\n", "test_nonfinite.py"
    ),
    # going on
    "the best so far is forgotten": Fault(
        "callbacks/checkpointing.py",
        "        self._best = self._best_so_far()\n",
        "        self._best = math.inf\n",
        "test_checkpoint.py test_checkpoint_attacks.py",
    ),
    "two branches in one directory": Fault(
        "callbacks/checkpointing.py",
        "if there and place == directory and",
        "if False and",
        "test_checkpoint_attacks.py",
    ),
    "an epoch without a step is saved as done": Fault(
        "trainer.py", "        if self._unbegun:\n", "        if False:\n", "test_checkpoint_attacks.py"
    ),
    "what is shared is copied": Fault(
        "checkpoint.py", "if id(value) in self._places:", "if False:", "test_checkpoint_attacks.py"
    ),
    "a generator may stand anywhere": Fault(
        "checkpoint.py", "not 0 <= position <= kinds[kind] or wrong", "wrong", "test_checkpoint_attacks.py"
    ),
    # files of others
    "the digest is not compared": Fault(
        "tensorfile.py", "if digest.hexdigest() != header.digest:", "if False:", "test_tensorfile.py test_weights.py"
    ),
    "the digest is of the header alone": Fault(
        "tensorfile.py", "        digest.update(raw.data)\n", "", "test_tensorfile.py test_weights.py"
    ),
}


def apply(fault, package):
    """Put the fault into a copy of the package."""
    path = package / fault.file
    text = path.read_text()
    if text.count(fault.right) != 1:
        raise LookupError(f"{fault.file} has {text.count(fault.right)} times, not once: {fault.right!r}")
    path.write_text(text.replace(fault.right, fault.wrong))


def noticed(fault):
    """Return whether the tests fail on a copy of the package with this fault."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "minidl"
        shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
        apply(fault, package)
        names, _, selected = fault.tests.partition(" -k ")
        selected = ["-k", selected.strip("'")] if selected else []
        paths = [str(TESTS / name) for name in names.split()]
        options = ["-q", "-x", "-p", "no:cacheprovider", "-c", str(TESTS.parent / "pyproject.toml")]
        environment = {**os.environ, "PYTHONPATH": folder, "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", *options, *paths, *selected]
        answer = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, timeout=900, check=False
        )
        if answer.returncode not in (0, 1):  # 1: a test failed; anything else is no verdict
            raise RuntimeError(answer.stdout + answer.stderr)
        return answer.returncode == 1


def main(names):
    unnoticed = []
    for name in names or FAULTS:
        found = noticed(FAULTS[name])
        print(f"{'noticed' if found else 'NOT NOTICED':12}{name}", flush=True)
        unnoticed += [] if found else [name]
    print(f"{len(names or FAULTS) - len(unnoticed)} of {len(names or FAULTS)} faults turn the tests red")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
