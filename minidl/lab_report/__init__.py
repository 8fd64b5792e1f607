"""The main job: a published lab report done again, by the parts of minidl; `job.py` is the program, read it first.

The report is assignment 1 of DD2424 (KTH): a one-layer softmax classifier on CIFAR-10, trained in four settings.
"""

from minidl.lab_report.job import load_data, run
from minidl.lab_report.options import add_options, settled
from minidl.lab_report.runs import BATCH_SIZE, SETTINGS

__all__ = ["BATCH_SIZE", "SETTINGS", "add_options", "load_data", "run", "settled"]
