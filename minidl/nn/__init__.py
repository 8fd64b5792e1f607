"""What is minimised: layers, losses and regularizers, joined to a model."""

from minidl.nn.ensemble import Ensemble
from minidl.nn.initializers import Constant, He, Initializer, LeCun, Normal, Orthogonal, Uniform, Xavier, Zeros
from minidl.nn.metrics import (
    accuracy,
    confusion_matrix,
    mean_true_class_probability,
    most_confused,
    per_class_accuracy,
    top_k_accuracy,
    true_class_probabilities,
)
from minidl.nn.model import Model
from minidl.nn.parameter import Parameter
from minidl.nn.regularizers import L1, L2, ElasticNet, Regularizer

__all__ = [
    "L1",
    "L2",
    "Constant",
    "ElasticNet",
    "Ensemble",
    "He",
    "Initializer",
    "LeCun",
    "Model",
    "Normal",
    "Orthogonal",
    "Parameter",
    "Regularizer",
    "Uniform",
    "Xavier",
    "Zeros",
    "accuracy",
    "confusion_matrix",
    "mean_true_class_probability",
    "most_confused",
    "per_class_accuracy",
    "top_k_accuracy",
    "true_class_probabilities",
]
