"""Layers: differentiable functions with parameters, one file per family."""

from minidl.nn.layers import activations
from minidl.nn.layers.activations import *
from minidl.nn.layers.base import Layer
from minidl.nn.layers.containers import Parallel, Residual, Sequential
from minidl.nn.layers.convolution import Conv2D
from minidl.nn.layers.dense import Dense
from minidl.nn.layers.dropout import Dropout
from minidl.nn.layers.normalization import BatchNorm, LayerNorm
from minidl.nn.layers.pooling import AvgPool2D, GlobalAvgPool2D, MaxPool2D
from minidl.nn.layers.shape import Flatten, Reshape
from minidl.nn.layers.softmax import LogSoftmax, Softmax

__all__ = [
    "AvgPool2D",
    "BatchNorm",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2D",
    "Layer",
    "LayerNorm",
    "LogSoftmax",
    "MaxPool2D",
    "Parallel",
    "Reshape",
    "Residual",
    "Sequential",
    "Softmax",
]
__all__ += activations.__all__
