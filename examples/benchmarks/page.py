"""The page of results: tables in Markdown, and a description of the machine."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from race import Score, ratio

from minidl._core.environment import environment, simd_features


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the first column is text, and the others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def times(scores: Mapping[str, Score], titles: Mapping[str, str], ours: str) -> str:
    """Return the table of a race: medians, ranges, and the ratio of minidl's time to each other time."""
    shown = sorted(scores, key=lambda name: scores[name].median)
    unit, factor = ("s", 1.0) if scores[ours].median > 1 else ("ms", 1e3)
    with_memory = any(score.megabytes for score in scores.values())
    accuracies = [name for name in ("val_accuracy", "accuracy", "loss") if name in scores[ours].result]
    what = {"val_accuracy": "validation accuracy", "accuracy": "accuracy", "loss": "loss after it"}[accuracies[0]]
    header = ["", f"median ({unit})", "min to max", "minidl / other", *["peak memory (MB)"] * with_memory, what]
    rows = []
    for name in shown:
        score = scores[name]
        low, high = score.spread
        value = score.result[accuracies[0]]
        title = f"**{titles[name]}**" if name == ours else titles[name]
        seconds = [f"{factor * score.median:.3g}", f"{factor * low:.3g} to {factor * high:.3g}"]
        memory = [f"{max(score.megabytes):.0f}"] if with_memory else []
        last = f"{100 * value:.1f} %" if accuracies[0] != "loss" else f"{value:.4f}"
        rows.append([title, *seconds, f"{ratio(scores[ours], score):.2f}", *memory, last])
    return table(header, rows)


def machine(packages: Sequence[str]) -> str:
    """Return one paragraph that lists the processor, the threads and the versions."""
    values = environment()
    wide = any(name.startswith(("AVX512", "X86_V4")) for name in simd_features())
    parts = [
        f"{datetime.now(UTC):%Y-%m-%d}",
        f"{values['processor']} {'with' if wide else 'without'} AVX-512, {values['threads']}",
        values["platform"],
        f"Python {values['Python']}",
        f"NumPy {values['NumPy']}",
        ", ".join(f"{package} {version(package)}" for package in packages),
    ]
    return "; ".join(parts) + "."
