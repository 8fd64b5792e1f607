"""Callbacks: actions during training, one file per family."""

from minidl.training.callback import Callback
from minidl.training.callbacks.checkpointing import Checkpoint
from minidl.training.callbacks.figures import LearningCurves, WeightTemplates
from minidl.training.callbacks.functions import LambdaCallback
from minidl.training.callbacks.live import LiveCurves
from minidl.training.callbacks.logging import CSVLogger, JSONLLogger, TensorBoard
from minidl.training.callbacks.monitors import GradientMonitor, Timer
from minidl.training.callbacks.progress import ProgressBar
from minidl.training.callbacks.stopping import EarlyStopping, ReduceLROnPlateau, TerminateOnNaN

__all__ = [
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "GradientMonitor",
    "JSONLLogger",
    "LambdaCallback",
    "LearningCurves",
    "LiveCurves",
    "ProgressBar",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
    "Timer",
    "WeightTemplates",
]
