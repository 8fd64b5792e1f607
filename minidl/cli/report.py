"""Redo a published lab report: a one-layer softmax classifier on CIFAR-10, in four settings of lambda and eta.

Checks the gradient, trains, and writes report.html, report.md, results.json, results.csv, histories and
figures into one folder. With --json, standard output is what results.json holds.

examples:
  minidl report                     CIFAR-10, downloaded if need be; under a minute
  minidl report --quick             seconds, no network
  minidl report --seeds 5 --out r5  mean and standard deviation over five seeds
"""

import argparse

from minidl.cli.ending import CommandResult
from minidl.lab_report import add_options as add_arguments
from minidl.lab_report import run as run_job
from minidl.lab_report import settled

__all__ = ["HELP", "add_arguments", "run"]

HELP = "redo the lab report: four softmax classifiers on CIFAR-10"


def run(options: argparse.Namespace) -> CommandResult:
    return CommandResult(run_job(settled(options.parser, options)))
