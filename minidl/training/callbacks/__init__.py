"""Callbacks: what happens beside training, a file for each family."""

from minidl.training.callback import Callback
from minidl.training.callbacks.checkpointing import Checkpoint
from minidl.training.callbacks.figures import LearningCurves, WeightTemplates
from minidl.training.callbacks.functions import LambdaCallback
from minidl.training.callbacks.gradients import GradientMonitor
from minidl.training.callbacks.live import LiveCurves
from minidl.training.callbacks.logging import CSVLogger, JSONLLogger
from minidl.training.callbacks.patience import EarlyStopping, ReduceLROnPlateau
from minidl.training.callbacks.progress import ProgressBar
from minidl.training.callbacks.stopping import TerminateOnNaN
from minidl.training.callbacks.tensorboard import TensorBoard
from minidl.training.callbacks.timing import Timer

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
