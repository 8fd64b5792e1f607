"""Callbacks: what happens beside training, a file for each family."""

from minidl.callbacks.base import Callback
from minidl.callbacks.figures import LearningCurves, WeightTemplates
from minidl.callbacks.plateau import ReduceLROnPlateau
from minidl.callbacks.progress import ProgressBar

__all__ = ["Callback", "LearningCurves", "ProgressBar", "ReduceLROnPlateau", "WeightTemplates"]
