"""Redo a published lab report: a one-layer softmax classifier on CIFAR-10, in four settings of lambda and eta.

The report is assignment 1 of DD2424 (KTH): standardize the pixels, check the gradient, train with mini-batches, draw
the curves and the weights as pictures, and compare test accuracies. Everything is written into one folder, report.html
first of all. Run `python examples/cifar_softmax.py --help` for the options.

The job itself is a part of the package, so that `minidl report` does the same where there are no examples. It is
written as any program of yours would be: read minidl/lab_report/job.py.
"""

import argparse
import sys
from collections.abc import Sequence

from minidl.cli.ending import ended
from minidl.lab_report import add_options, run, settled


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Redo the lab report: one-layer softmax classifier on CIFAR-10.")
    add_options(parser)
    return settled(parser, parser.parse_args(arguments))


def main(arguments: Sequence[str] | None = None) -> int:
    run(parse(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(ended(main))
