"""Layers: differentiable functions with parameters, a file for each family."""

from minidl.layers.activations import ELU, Activation, LeakyReLU, ReLU, Sigmoid, Tanh
from minidl.layers.base import Layer
from minidl.layers.containers import Parallel, Residual, Sequential
from minidl.layers.convolution import Conv2D
from minidl.layers.dense import Dense
from minidl.layers.dropout import Dropout
from minidl.layers.normalization import BatchNorm, LayerNorm
from minidl.layers.pooling import AvgPool2D, GlobalAvgPool2D, MaxPool2D
from minidl.layers.shape import Flatten, Reshape
from minidl.layers.smooth_relus import GELU, SiLU, Softplus
from minidl.layers.softmax import LogSoftmax, Softmax

__all__ = [
    "ELU",
    "GELU",
    "Activation",
    "AvgPool2D",
    "BatchNorm",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2D",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "LogSoftmax",
    "MaxPool2D",
    "Parallel",
    "ReLU",
    "Reshape",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]
