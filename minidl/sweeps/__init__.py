"""Sweeps: a function called with many configs, in one process, in many, or on many machines; each config only once."""

from minidl.sweeps.result import SweepResult
from minidl.sweeps.running import sweep
from minidl.sweeps.search import CoarseToFine, LogUniform, RandomSearch
from minidl.sweeps.trial import Trial

__all__ = ["CoarseToFine", "LogUniform", "RandomSearch", "SweepResult", "Trial", "sweep"]
