"""Optimizers: how a gradient changes a parameter. The base class owns the loop; a rule is one formula."""

from minidl.optimizers.adam import Adam, AdamW, NAdam
from minidl.optimizers.adaptive import Adagrad, RMSProp
from minidl.optimizers.base import Optimizer, State
from minidl.optimizers.sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "NAdam", "Optimizer", "RMSProp", "State"]
