"""Compare the speed of minidl with that of other libraries on the same tasks.

The contestants take turns. Each has its own process, which waits while another one works. Libraries that are not
installed are left out; `pip install torch jax keras scikit-learn` installs all.
"""

import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path

import numpy as np
from page import machine, table, times
from race import Score, race, race_of_imports, race_of_processes, ratio
from tasks import CONV, EPOCH, MLP, PREDICT, Task, disagreements, pose
from worker import EPOCHS_OF_WHOLE

import minidl as dl
from minidl.lab_report.options import count

OURS = "minidl_classes"
CONTESTANTS = {  # a file in contestants/: its name in the tables, the package it needs
    OURS: ("minidl", "minidl"),
    "numpy_same": ("NumPy, minidl's operations by hand", "numpy"),
    "numpy_float32": ("NumPy, a good loop in float32", "numpy"),
    "numpy_student": ("NumPy, a student's loop in float64", "numpy"),
    "torch_eager": ("PyTorch, eager", "torch"),
    "torch_fused": ("PyTorch, fused by hand", "torch"),
    "torch_compiled": ("PyTorch, compiled", "torch"),
    "jax_scan": ("JAX, a whole epoch in one scan", "jax"),
    "sklearn_mlp": ("scikit-learn, MLPClassifier", "sklearn"),
    "keras_jax": ("Keras 3 on JAX", "keras"),
}
DISTRIBUTIONS = {"sklearn": "scikit-learn"}
TITLES = {name: title for name, (title, _) in CONTESTANTS.items()}
LIMITS = [  # task, contestant, largest ratio, whether it is an aim beyond the limit
    ("epoch", "torch_eager", 0.75, False),
    ("epoch", "jax_scan", 0.95, False),
    ("epoch", "sklearn_mlp", 0.5, False),
    ("epoch", "torch_fused", 1.0, True),
    ("epoch", "numpy_same", 1.05, False),
    ("mlp", "torch_eager", 1.3, False),
    ("mlp", "torch_eager", 1.0, True),
    ("conv", "torch_eager", 2.0, False),
    ("conv", "torch_eager", 1.3, True),
]
IMPORT_LIMIT = 0.060  # seconds
LEGEND = (
    "The main job is [the lab report](tutorial.md): one layer from 3072 pixels to ten classes, with 10,000 training "
    "images. `minidl / other` is the median, over the rounds, of minidl's time divided by the other library's time in "
    "the same round. It can differ from the quotient of the two medians. Below 1, minidl is faster."
)
RACES = {
    "epoch": (EPOCH, "one epoch of the main job"),
    "predict": (PREDICT, "forward only with untrained weights, the classes of 10,000 rows"),
    "mlp": (MLP, "one Adam step of 3072-256-128-10, batch 100"),
    "conv": (CONV, "one step of a convolutional net, 3x3, 32-64-128, batch 100"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=count(1), default=11, help="number of timed turns (default: %(default)s)")
    parser.add_argument("--only", choices=[*RACES, "process", "import", "growth"], nargs="+", help="default: all")
    parser.add_argument("--against", choices=list(CONTESTANTS)[1:], nargs="*", help="default: all installed ones")
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the page to this file")
    options = parser.parse_args()
    wanted = list(CONTESTANTS) if options.against is None else [OURS, *options.against]
    there = [name for name in wanted if importlib.util.find_spec(CONTESTANTS[name][1])]
    missing = sorted({CONTESTANTS[name][1] for name in wanted} - {CONTESTANTS[name][1] for name in there})
    packages = sorted({DISTRIBUTIONS.get(need, need) for need in (CONTESTANTS[name][1] for name in there)})

    page: list[str] = []
    complaints: list[str] = []

    def show(text: str) -> None:
        print(text, end="\n\n", flush=True)
        page.append(text)

    def chosen(what: str) -> bool:
        return options.only is None or what in options.only

    show("# Benchmarks")
    command = f"python examples/benchmarks/run.py {' '.join(sys.argv[1:])}".strip()
    show(f"Written by `{command}`; {options.rounds} rounds, alternating.")
    show(LEGEND)
    show(machine(packages) + (f" Not installed: {', '.join(missing)}." if missing else ""))
    races: dict[str, dict[str, Score]] = {}
    for what, (task, title) in RACES.items():
        if chosen(what):
            scores = races[what] = race(pose(task), there, options.rounds)
            show(f"## {title[0].upper()}{title[1:]}")
            show(times(scores, TITLES, OURS))
            complaints += disagreements({TITLES[name]: score.result for name, score in scores.items()}, TITLES[OURS])
    if chosen("process"):
        show(f"## A whole process: start, standardize, {EPOCHS_OF_WHOLE} epochs, accuracy")
        scores = whole_processes(there, max(options.rounds // 3, 1))
        show(times(scores, TITLES, OURS))
        complaints += disagreements({TITLES[name]: score.result for name, score in scores.items()}, TITLES[OURS])
    imports: dict[str, Score] = {}
    if chosen("import"):
        imports = race_of_imports(sorted({CONTESTANTS[name][1] for name in there} - {"numpy"}), options.rounds)
        show("## Import, beyond `import numpy`")
        cells = [
            [module, f"{1e3 * score.median:.0f}", "{:.0f} to {:.0f}".format(*(1e3 * s for s in score.spread))]
            for module, score in imports.items()
        ]
        show(table(["", "median (ms)", "min to max"], cells))
    if chosen("growth"):
        show("## Growth")
        show(growth([name for name in there if name in (OURS, "torch_eager")], max(options.rounds // 3, 1)))

    rows = []
    for what, rival, most, aim in LIMITS:
        if rival in races.get(what, {}):
            found = ratio(races[what][OURS], races[what][rival])
            kind = "aim" if aim else "limit"
            rows.append([RACES[what][1], TITLES[rival], f"{found:.2f}", f"{most:.2f} ({kind})", met(found <= most)])
    if "minidl" in imports:
        seconds = imports["minidl"].median
        most_ms = f"{1e3 * IMPORT_LIMIT:.0f} ms (limit)"
        rows.append(["import", "NumPy", f"{1e3 * seconds:.0f} ms more", most_ms, met(seconds <= IMPORT_LIMIT)])
    if rows:
        show("## Targets")
        show("A limit must be met. An aim is a wish.")
        show(table(["minidl's time for", "against", "median ratio", "at most", "met"], rows))
    if options.write is not None:
        options.write.write_text("\n\n".join(page) + "\n")
    if complaints:
        sys.exit("a contestant did not do the same work:\n" + "\n".join(complaints))


def whole_processes(contestants: list[str], rounds: int) -> dict[str, Score]:
    """Race whole processes from raw pixels on disk; only contestants with the task "epoch" take part."""
    train, validation = (dl.datasets.synthetic_images(10_000, rng=seed) for seed in (1, 2))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arrays = {"x": train.x, "y": train.y, "x_val": validation.x, "y_val": validation.y}
        for name, array in {**arrays, "weight0": pose(Task("epoch", rows=100)).weights[0]}.items():
            np.save(folder / f"{name}.npy", array)
        return race_of_processes(folder, contestants, rounds)


def growth(contestants: list[str], rounds: int) -> str:
    """Race at several sizes; one size grows at a time."""
    sizes = [(f"epoch, {rows:,} rows", Task("epoch", rows=rows)) for rows in (1_000, 10_000, 50_000)]
    sizes += [(f"epoch, {classes:,} classes", Task("epoch", classes=classes)) for classes in (100, 1000)]
    mlps = [(width,) for width in (64, 256, 1024)] + [(256,) * depth for depth in (2, 4, 8)]
    for hidden in mlps:
        name = "-".join(map(str, (3072, *hidden, 10)))
        sizes.append((f"Adam step, {name}", Task("mlp", rows=100, hidden=hidden)))
    rows = []
    for name, task in sizes:
        scores = race(pose(task), contestants, rounds)
        # 2763.1 becomes 2,760: three digits, without an exponent.
        cells = [f"{float(f'{1e3 * scores[contestant].median:.3g}'):,g}" for contestant in contestants]
        ratios = [f"{ratio(scores[OURS], scores[rival]):.2f}" for rival in contestants if rival != OURS]
        rows.append([name, *cells, *ratios])
    titles = [f"{TITLES[name]} (ms)" for name in contestants]
    return table(["", *titles, *["minidl / other"] * (len(contestants) > 1)], rows)


def met(yes: bool) -> str:
    return "yes" if yes else "**no**"


if __name__ == "__main__":
    main()
