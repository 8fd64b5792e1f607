"""Options, data and the exit status of the examples that use all of CIFAR-10."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import minidl as dl
from minidl.cli.ending import exit_status
from minidl.lab_report.options import count

Splits = tuple[dl.Dataset, dl.Dataset, dl.Dataset]


def options_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Return a parser with the common options; `name` is the name of the folder in runs/."""
    parser = argparse.ArgumentParser(description=description)
    kinds = ["auto", "cifar10", "synthetic"]
    auto = "auto: CIFAR-10; with --quick synthetic images"
    parser.add_argument("--dataset", choices=kinds, default="auto", help=auto)
    parser.add_argument(
        "--data-dir", help="folder or archive that contains CIFAR-10 (default: the cache, then a download)"
    )
    parser.add_argument("--out", type=Path, help=f"output folder (default: runs/{name})")
    parser.add_argument("--seed", type=count(0), default=42, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="few images and few epochs; takes seconds")
    parser.set_defaults(name=name)
    return parser


def parse(parser: argparse.ArgumentParser, arguments: list[str] | None) -> argparse.Namespace:
    options = parser.parse_args(arguments)
    if options.data_dir is not None and options.dataset == "synthetic":
        parser.error("argument --data-dir: the synthetic images are drawn, not read; drop it or --dataset synthetic")
    # A separate folder, because a quick run must not overwrite real results.
    options.out = options.out or Path("runs") / (options.name + "_quick" * options.quick)
    return options


def load(options: argparse.Namespace) -> Splits:
    """Return 49,000 training, 1,000 validation and 10,000 test images, uint8 (n, 3072); few with --quick."""
    if options.dataset == "synthetic" or (options.dataset == "auto" and options.quick and options.data_dir is None):
        train, validation, test = (dl.datasets.synthetic_images(n, rng=n) for n in (2000, 200, 500))
    else:
        train, validation, test = dl.datasets.load_cifar10_split(data_dir=options.data_dir)
        if options.quick:
            train, validation, test = train[:2000], validation[:200], test[:500]
    print(f"Data: {train.name} ({train.source}); {len(train)} training, {len(validation)} validation, {len(test)} test")
    return train, validation, test


def run(main: Callable[[], None]) -> None:
    """Call `main`; on an error, print one sentence and exit."""
    sys.exit(exit_status(main))
