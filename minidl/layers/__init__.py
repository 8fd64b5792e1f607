"""Layers: differentiable functions with parameters, a file for each family."""

from minidl.layers.activations import ReLU
from minidl.layers.base import Layer
from minidl.layers.containers import Sequential
from minidl.layers.dense import Dense

__all__ = ["Dense", "Layer", "ReLU", "Sequential"]
