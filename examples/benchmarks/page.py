"""The page of results: tables in Markdown, and the machine they were measured on."""

import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from race import Score, ratio


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the first column is text, the others numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def times(scores: Mapping[str, Score], titles: Mapping[str, str], ours: str) -> str:
    """Return the table of a race: medians, spread, and our time as a ratio to each."""
    shown = sorted(scores, key=lambda name: scores[name].median)
    unit, factor = ("s", 1.0) if scores[ours].median > 1 else ("ms", 1e3)
    with_memory = any(score.megabytes for score in scores.values())
    accuracies = [name for name in ("val_accuracy", "accuracy", "loss") if name in scores[ours].result]
    what = {"val_accuracy": "validation accuracy", "accuracy": "accuracy", "loss": "loss after it"}[accuracies[0]]
    header = ["", f"median ({unit})", "min to max", "minidl / it", *["peak memory (MB)"] * with_memory, what]
    rows = []
    for name in shown:
        score = scores[name]
        low, high = score.spread
        value = score.result[accuracies[0]]
        rows.append(
            [
                f"**{titles[name]}**" if name == ours else titles[name],
                f"{factor * score.median:.3g}",
                f"{factor * low:.3g} to {factor * high:.3g}",
                f"{ratio(scores[ours], score):.2f}",
                *[f"{max(score.megabytes):.0f}" for _ in range(with_memory)],
                f"{value:.1%}" if accuracies[0] != "loss" else f"{value:.4f}",
            ]
        )
    return table(header, rows)


def machine(packages: Sequence[str]) -> str:
    """Return one paragraph on processor, memory and versions."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    parts = [
        f"{datetime.now(UTC):%Y-%m-%d}",
        f"{_processor()}, {len(os.sched_getaffinity(0))} cores" if hasattr(os, "sched_getaffinity") else _processor(),
        f"{platform.system()} {platform.machine()}",
        f"Python {sys.version.split()[0]}",
        f"BLAS of NumPy: {blas['name']} {blas['version']}",
        ", ".join(f"{package} {version(package)}" for package in packages),
    ]
    threads = {name: value for name, value in os.environ.items() if name.endswith("_NUM_THREADS")}
    return "; ".join(parts + [f"{name}={value}" for name, value in threads.items()]) + "."


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown processor")
    flags = next((line for line in lines if line.startswith("flags")), "")
    return name + (" with AVX-512" if "avx512f" in flags else " without AVX-512" if flags else "")
