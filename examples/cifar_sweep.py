"""Run the four settings of the lab report as a sweep: in this process, in several processes, with Dask or with MPI.

Each finished setting is a line of sweep.jsonl in the --out folder. A restarted program runs only the missing settings.

    python examples/cifar_sweep.py --engine processes --workers 4
    python examples/cifar_sweep.py --engine dask --workers 4
    python examples/cifar_sweep.py --engine dask --scheduler tcp://10.0.0.1:8786
    mpirun -n 5 python -m mpi4py.futures examples/cifar_sweep.py --engine mpi

`--engine processes` and Dask limit each worker to one thread for linear algebra. With the other engines, set
OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1 yourself; then all engines give the same bits.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import cifar_sweep_trial
from cifar_common import options_parser, parse, run

import minidl as dl
from minidl._core.tables import text_table
from minidl.lab_report import SETTINGS
from minidl.lab_report.options import count


def main(arguments: list[str] | None = None) -> None:
    parser = options_parser("cifar_sweep", "The report's four settings as a sweep.")
    parser.add_argument("--engine", choices=["serial", "processes", "dask", "mpi"], default="serial")
    workers = "number of processes, also of a local Dask cluster (default: %(default)s)"
    parser.add_argument("--workers", type=count(1), default=2, help=workers)
    parser.add_argument("--scheduler", metavar="ADDRESS", help="address of the scheduler of a running Dask cluster")
    parser.add_argument("--epochs", type=count(1), help="default: 40, with --quick 5")
    options = parse(parser, arguments)
    drawn = options.dataset == "synthetic" or (options.dataset == "auto" and options.quick and options.data_dir is None)
    fixed = {
        "dataset": "synthetic" if drawn else "cifar10",
        "images": 2000 if options.quick else 10_000,
        "epochs": options.epochs or (5 if options.quick else 40),
        "seed": options.seed,
    }
    space = [{"lam": setting.lam, "eta": setting.eta} | fixed for setting in SETTINGS]
    data, *_ = cifar_sweep_trial.load(
        fixed["dataset"], fixed["images"], options.data_dir
    )  # download once, before the workers start
    print(f"Data: {data.name} ({data.source}); {len(data)} training images")

    trial = partial(cifar_sweep_trial.train, data_dir=options.data_dir)
    with engine(options) as where:
        result = dl.sweep(trial, space, out=options.out / "sweep.jsonl", seed=options.seed, **where)
    for failed in result.failed:
        print(f"failed: {failed}")
    columns = ["lam", "eta", "val_accuracy", "test_accuracy"]
    print(text_table(columns, zip(*(result[name] for name in columns), strict=True)))
    figure = dl.plotting.plot_sweep(result, "lam", "test_accuracy", by="eta", title=data.name)
    png, _ = dl.plotting.save_figure(figure, options.out / "sweep")
    print(f"Figure: {png}")


@contextmanager
def engine(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Start the engine, and yield the arguments that `sweep` needs to use it."""
    if options.engine == "serial":
        yield {}
    elif options.engine == "processes":
        yield {"workers": options.workers}
    elif options.engine == "mpi":
        from mpi4py.futures import MPIPoolExecutor

        with MPIPoolExecutor() as executor:
            yield {"executor": executor}
    else:
        import distributed

        dask: Any = distributed  # its types are not complete
        local = {"host": "127.0.0.1", "dashboard_address": None}  # other machines cannot reach it
        cluster = options.scheduler or dask.LocalCluster(n_workers=options.workers, threads_per_worker=1, **local)
        with nullcontext() if options.scheduler else cluster, dask.Client(cluster) as client:
            client.upload_file(cifar_sweep_trial.__file__)
            yield {"executor": client.get_executor(pure=False)}


if __name__ == "__main__":
    run(main)
