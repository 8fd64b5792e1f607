"""Sweeps: a function tried on many configs, on one process, many, or many machines, and never twice on the same one."""

from minidl.sweeps.result import SweepResult
from minidl.sweeps.running import sweep
from minidl.sweeps.search import CoarseToFine, LogUniform, RandomSearch
from minidl.sweeps.trial import Trial

__all__ = ["CoarseToFine", "LogUniform", "RandomSearch", "SweepResult", "Trial", "sweep"]
