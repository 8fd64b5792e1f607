"""Callbacks: what happens beside training, a file for each family."""

from minidl.callbacks.base import Callback
from minidl.callbacks.checkpointing import Checkpoint
from minidl.callbacks.figures import LearningCurves, WeightTemplates
from minidl.callbacks.functions import LambdaCallback
from minidl.callbacks.gradients import GradientMonitor
from minidl.callbacks.live import LiveCurves
from minidl.callbacks.logging import CSVLogger, JSONLLogger
from minidl.callbacks.plateau import ReduceLROnPlateau
from minidl.callbacks.progress import ProgressBar
from minidl.callbacks.stopping import EarlyStopping, TerminateOnNaN
from minidl.callbacks.tensorboard import TensorBoard
from minidl.callbacks.timing import Timer

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
