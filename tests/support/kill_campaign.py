"""Kill training again and again, resume it, and see whether it ends as if nothing had happened.

    python tests/support/kill_campaign.py operations RUN MOMENTS at every file operation of a run, before or after it
    python tests/support/kill_campaign.py random RUN KILLS SEED  at random instants, several times in one run

prints one line of JSON. Each attempt is a child forked from this process: forking is safe as long as BLAS has no
threads, so this is to be started with OPENBLAS_NUM_THREADS=1.
"""

# Imported here, since otherwise each child imports them when it trains.
import concurrent.futures.thread  # noqa: F401
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy.ma  # noqa: F401
from faulty_os import WRITING, FaultyOs, exit_status_of, in_child, start_child
from training_runs import RUNS, everything, fit, seeded, undisturbed

import minidl as dl
from minidl.training.checkpoint import checkpoint_paths


def attempt(run, directory, answer, epochs, **checkpointing):
    """In a child: train to the end, going on from what is in `directory`, and write what came out to `answer`."""
    # Each attempt draws seeds of its own where the program gives none; only a checkpoint can bring the first ones back.
    make = seeded if not checkpoint_paths(directory) else lambda run, callbacks: run(callbacks)
    trainer, arguments = make(run, [dl.Checkpoint(directory, **checkpointing)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(trainer, arguments, epochs=epochs, resume_from=directory)
    unfinished = answer.with_suffix(".unfinished")
    unfinished.write_text(digest(everything(trainer)))
    os.replace(unfinished, answer)


def digest(parts):
    return hashlib.sha256(repr(sorted(parts.items())).encode()).hexdigest()


def at_every_operation(run, *moments):
    """Kill before or after each operation on files once, and return how often, and how often the end was another."""
    expected = digest(undisturbed(run, epochs=2))
    kills = different = number = 0
    while True:
        number += 1
        for moment in moments:
            with tempfile.TemporaryDirectory() as folder:
                answer = Path(folder) / "answer"
                work = partial(attempt, run, Path(folder) / "run", answer, 2, every_steps=2, keep=1)
                status = in_child(work, FaultyOs(number, kill=moment, watched=WRITING))
                if status == 0:
                    return {"kills": kills, "different": different}
                assert status == -signal.SIGKILL, status
                kills += 1
                assert in_child(work) == 0
                different += answer.read_text() != expected


def at_random_instants(run, wanted, seed):
    """Kill at random instants until that was done so often, and return the counts; a run may be killed many times."""
    rng, expected, start = random.Random(seed), digest(undisturbed(run, epochs=3)), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        assert in_child(partial(attempt, run, Path(folder) / "run", Path(folder) / "answer", 3, every_steps=1)) == 0
    seconds = time.perf_counter() - start
    kills = different = runs = longest = 0
    while kills < wanted:
        runs += 1
        with tempfile.TemporaryDirectory() as folder:
            answer, chain = Path(folder) / "answer", 0
            while not answer.exists():
                after = rng.uniform(0, 1.1 * seconds) if chain < 10 else None  # at last it may end in peace
                child = start_child(partial(attempt, run, Path(folder) / "run", answer, 3, every_steps=1))
                if after is not None:
                    time.sleep(after)
                    os.kill(child, signal.SIGKILL)
                status = exit_status_of(child)
                assert status in (0, -signal.SIGKILL), status
                chain += status != 0
            kills, longest = kills + chain, max(longest, chain)
            different += answer.read_text() != expected
    return {"kills": kills, "runs": runs, "longest_chain": longest, "different": different}


if __name__ == "__main__":
    kind, name, *more = sys.argv[1:]
    if kind == "operations":
        counts = at_every_operation(RUNS[name], *more)
    else:
        counts = at_random_instants(RUNS[name], *map(int, more))
    print(json.dumps(counts))
