"""Reproduce a published lab report: a one-layer softmax classifier on CIFAR-10, with four pairs of lambda and eta.

The report is assignment 1 of DD2424 (KTH): standardize the pixels, check the gradient, train with mini-batches, plot
the curves and the weights, and compare test accuracies. All results go into one folder; start with its report.html. See
`python examples/cifar_softmax.py --help` for the options.

The code is in minidl/lab_report/job.py. `minidl report` runs the same code without this file.
"""

import argparse
import sys
from collections.abc import Sequence

from minidl.cli.ending import exit_status
from minidl.lab_report import add_options, run, settled


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Reproduce the lab report: a one-layer softmax classifier on CIFAR-10."
    )
    add_options(parser)
    return settled(parser, parser.parse_args(arguments))


def main(arguments: Sequence[str] | None = None) -> int:
    run(parse(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
