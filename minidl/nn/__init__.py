"""Layers, losses and regularizers, and models that combine them."""

from minidl.nn import initializers, metrics, regularizers
from minidl.nn.ensemble import Ensemble
from minidl.nn.initializers import *
from minidl.nn.metrics import *
from minidl.nn.model import Model
from minidl.nn.parameter import Parameter
from minidl.nn.regularizers import *

__all__ = ["Ensemble", "Model", "Parameter"]
__all__ += initializers.__all__
__all__ += metrics.__all__
__all__ += regularizers.__all__
