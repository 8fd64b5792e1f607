"""Callbacks: what happens beside training, a file for each family."""

from minidl.callbacks.base import Callback
from minidl.callbacks.checkpointing import Checkpoint
from minidl.callbacks.figures import LearningCurves, WeightTemplates
from minidl.callbacks.plateau import ReduceLROnPlateau
from minidl.callbacks.progress import ProgressBar
from minidl.callbacks.stopping import EarlyStopping

__all__ = [
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "LearningCurves",
    "ProgressBar",
    "ReduceLROnPlateau",
    "WeightTemplates",
]
