"""Functions that sweeps try: at the top level of a module, so that every kind of worker can import them."""

import asyncio
import concurrent.futures
import ctypes
import json
import multiprocessing
import os
import signal
import struct
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

import minidl as dl


def trials_of(result):
    """Return what must not depend on who did the trials, and when."""
    return [(t.config, t.key, t.seed, t.metrics, t.ok) for t in result]


def rows(path):
    """Return the lines of a sweep's file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def noisy(config, seed):
    """A number that depends on the config and, by every bit, on the seed."""
    rng = np.random.default_rng(seed)
    return {"value": config["x"] ** 2 + float(rng.normal()), "draw": int(rng.integers(2**40))}


def train(config, seed):
    """Validation numbers of a small net after two epochs."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 8)).astype(np.float32)
    data = dl.Dataset(x, (x[:, 0] > 0).astype(int) + (x[:, 1] > 0))
    model = dl.Model(dl.Dense(8, 3, rng=seed), dl.SoftmaxCrossEntropy(), dl.L2(config["lam"]))
    trainer = dl.Trainer(model, dl.SGD(config["eta"]), rng=seed)
    last = trainer.fit(data[:80], data[80:], epochs=2, batch_size=20).rows[-1]
    return {name: last[name] for name in ("cost", "val_loss", "val_accuracy")}


def odd_ones_fail(config, seed):
    if config["x"] % 2:
        raise ValueError(f"x is {config['x']}")
    return noisy(config, seed)


def killed_once(config, seed):
    """As `noisy`, but the first time that x is 2 the process is killed."""
    flag = Path(config["folder"]) / "was here"
    if config["x"] == 2 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return noisy(config, seed)


def killed_always(config, seed):
    if config["x"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return noisy(config, seed)


def leaves(config, seed):
    """Ends its process with an exit status that says nothing to Python."""
    if config["x"] == 2:
        os._exit(3)
    return noisy(config, seed)


class OwnError(BaseException):
    """As some libraries have them, to pass every ``except Exception``."""


WHATEVER = {
    "digits": lambda: {"a": 10**5000},
    "-digits": lambda: {"a": 1, "b": -(10**5000)},
    "overflow": lambda: {"a": 1 << 1023},
    "inside": lambda: {"a": [10**5000]},
    "bare": lambda: 10**5000,
    "message": lambda: thrown(ValueError(10**5000)),
    "GeneratorExit": lambda: thrown(GeneratorExit("planted")),
    "CancelledError": lambda: thrown(asyncio.CancelledError("planted")),
    "futures.CancelledError": lambda: thrown(concurrent.futures.CancelledError("planted")),
    "BrokenExecutor": lambda: thrown(concurrent.futures.BrokenExecutor("planted")),
    "OwnError": lambda: thrown(OwnError("planted")),
    "SystemExit": lambda: thrown(SystemExit(3)),
    "group": lambda: thrown(BaseExceptionGroup("planted", [GeneratorExit()])),
    "largest": lambda: {"a": (1 << 1023) - 1},
    "long": lambda: {"a": np.longdouble(0.5), "b" * 100_000: 1},
}


def thrown(error):
    raise error


def whatever(config, seed):
    """Return, or raise, one of the above."""
    return WHATEVER[config["x"]]()


def counted(config, seed):
    """As `noisy`, and a file for each call."""
    (Path(config["folder"]) / f"{config['x']}-{time.time_ns()}").touch()
    return noisy(config, seed)


def threads_of_blas(config, seed):
    """How many threads BLAS takes here, by threadpoolctl."""
    from threadpoolctl import threadpool_info

    counts = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {"threads": max(counts), "pools": len(counts), "verbose": int(os.environ.get("MINIDL_VERBOSE", 1))}


def waits(config, seed):
    """As `noisy`, but where x is not 0 it takes a minute, and says so by a file."""
    if config["x"] != 0:
        Path(config["folder"], f"waits {os.getpid()}").touch()
        time.sleep(60)
    return noisy(config, seed)


def leaves_a_helper(config, seed):
    """As `noisy`, but where x is 1 it starts a process that lives for five minutes, and may be killed then."""
    if config["x"] == 1:
        pid = HELPERS[config["how"]]()
        Path(config["folder"], "helper").write_text(f"{pid}")
        if config["torn"]:
            # The beginning of a message of a thousand bytes.
            os.write(multiprocessing.current_process()._args[0].fileno(), struct.pack("!i", 1000))
        if config["killed"]:
            os.kill(os.getpid(), signal.SIGKILL)
    return noisy(config, seed)


def forked():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
        pid = os.fork()
    if pid == 0:
        time.sleep(300)
        os._exit(0)
    return pid


def by_the_shell():
    """Not as `subprocess` does it, which closes all files first."""
    with tempfile.TemporaryDirectory() as folder:
        os.system(f"sleep 300 & echo $! > {folder}/pid")
        return int(Path(folder, "pid").read_text())


def forked_behind_pythons_back():
    """As libraries in C do it. The GIL is held meanwhile, so that the child has it too."""
    c = ctypes.PyDLL(None)
    pid = c.fork()
    if pid == 0:
        c.sleep(300)
        os._exit(0)
    return pid


HELPERS = {f.__name__: f for f in (forked, forked_behind_pythons_back, by_the_shell)}
