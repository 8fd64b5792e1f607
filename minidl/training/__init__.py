"""How the cost is minimised: the trainer, optimizers, callbacks, and tools to compare and describe runs."""

from minidl.training.compare import Comparison, compare_runs
from minidl.training.describe import describe_run
from minidl.training.history import History
from minidl.training.trainer import Trainer

__all__ = ["Comparison", "History", "Trainer", "compare_runs", "describe_run"]
