"""Redo a published lab report: a one-layer softmax classifier on CIFAR-10, in four settings of lambda and eta.

Checks the gradient, trains, and writes report.html, report.md, results.json, results.csv, histories and
figures into one folder. With --json, standard output is what results.json holds.
"""

import argparse
import sys
from contextlib import redirect_stdout

from minidl.cli.ending import print_json
from minidl.lab_report import add_options, settled
from minidl.lab_report import run as run_job

HELP = "redo the lab report: four softmax classifiers on CIFAR-10"
EPILOG = """examples:
  minidl report                     CIFAR-10, downloaded if need be; under a minute
  minidl report --quick             seconds, no network
  minidl report --seeds 5 --out r5  mean and standard deviation over five seeds"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_options(parser)


def run(options: argparse.Namespace) -> int:
    settled(options.parser, options)
    if not options.json:
        run_job(options)
        return 0
    with redirect_stdout(sys.stderr):
        results = run_job(options)
    print_json(results)
    return 0
