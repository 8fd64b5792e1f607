"""environment: what the numbers of a run were computed with."""

import os
from contextlib import suppress

import numpy as np


def environment() -> dict[str, str]:
    """Return versions, platform, processor and threads, by name.

    There is no date, host or user among them: two runs in the same environment say the same.
    """
    import platform

    import matplotlib

    from minidl._core import __version__

    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    cores = usable_cores()
    limits = [f"{name}={value}" for name, value in thread_limits().items()]
    return {
        "minidl": __version__,
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "NumPy": f"{np.__version__}, BLAS: {blas.get('name', 'unknown')} {blas.get('version', '')}".rstrip(),
        "matplotlib": matplotlib.__version__,
        "platform": platform.platform(),
        "processor": _processor() or platform.processor() or platform.machine(),
        "threads": ", ".join([f"{cores} core{'' if cores == 1 else 's'}", *limits]),
    }


def usable_cores() -> int | None:
    """Return how many cores this process may use, where the platform tells, else how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def thread_limits() -> dict[str, str]:
    """Return what the environment says about numbers of threads, by the names of its variables."""
    return {name: os.environ[name] for name in sorted(os.environ) if name.endswith("_NUM_THREADS")}


def simd_features() -> list[str]:
    """Return the instruction sets for which NumPy has code of its own and which this machine can run.

    NumPy leaves the list out where it is empty: on an old processor, or where the environment disables them.
    """
    return list(np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", []))


def _processor() -> str:
    """Return what Linux calls the processor, which Python's own `platform` does not tell there."""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return ""
