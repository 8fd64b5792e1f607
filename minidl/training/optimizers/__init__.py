"""Optimizers: how a gradient changes a parameter. The base class has the loop; each rule is one formula."""

from minidl.training.optimizers import schedules
from minidl.training.optimizers.adaptive import Adagrad, Adam, AdamW, NAdam, RMSProp
from minidl.training.optimizers.base import Optimizer
from minidl.training.optimizers.schedules import *
from minidl.training.optimizers.sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "NAdam", "Optimizer", "RMSProp"]
__all__ += schedules.__all__
