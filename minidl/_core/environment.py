"""The environment of a run: versions, platform, processor and threads."""

import os
from contextlib import suppress

import numpy as np


def environment() -> dict[str, str]:
    """Return versions, platform, processor and threads, by name.

    Date, host and user are left out, so two runs in the same environment return equal values.
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
    """Return the number of cores that this process may use, or of all cores if the platform does not report it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def thread_limits() -> dict[str, str]:
    """Return the environment variables that limit the number of threads, by name."""
    return {name: os.environ[name] for name in sorted(os.environ) if name.endswith("_NUM_THREADS")}


def simd_features() -> list[str]:
    """Return the SIMD instruction sets that NumPy uses on this machine.

    NumPy omits the list when it is empty: on an old processor, or when the environment disables them.
    """
    return list(np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", []))


def _processor() -> str:
    """Return the processor's name from Linux, where Python's `platform` module does not report it."""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return ""
