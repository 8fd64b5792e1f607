"""minidl: an object-oriented mini deep-learning framework on NumPy."""

from minidl import datasets
from minidl.callbacks import Callback, LearningCurves, ProgressBar, WeightTemplates
from minidl.data import Dataset, Standardizer
from minidl.describe import describe_run
from minidl.errors import (
    CallOrderError,
    DataError,
    DownloadError,
    GradientCheckError,
    InputError,
    MinidlError,
    NonFiniteError,
    ShapeError,
)
from minidl.gradcheck import (
    Finding,
    ForeignLayer,
    GradientReport,
    Verdict,
    check_function,
    check_layer,
    check_loss,
    check_model,
    check_regularizer,
    numerical_gradient,
    relative_error,
)
from minidl.history import History
from minidl.initializers import Constant, He, Initializer, Normal, Uniform, Xavier, Zeros
from minidl.layers import Dense, Layer, ReLU, Sequential
from minidl.losses import Loss, SoftmaxCrossEntropy
from minidl.metrics import accuracy
from minidl.model import Model
from minidl.optimizers import SGD, Optimizer
from minidl.parameter import Parameter
from minidl.regularizers import L1, L2, ElasticNet, Regularizer
from minidl.report import Report
from minidl.trainer import Trainer

__version__ = "0.1.0"

__all__ = [
    "L1",
    "L2",
    "SGD",
    "CallOrderError",
    "Callback",
    "Constant",
    "DataError",
    "Dataset",
    "Dense",
    "DownloadError",
    "ElasticNet",
    "Finding",
    "ForeignLayer",
    "GradientCheckError",
    "GradientReport",
    "He",
    "History",
    "Initializer",
    "InputError",
    "Layer",
    "LearningCurves",
    "Loss",
    "MinidlError",
    "Model",
    "NonFiniteError",
    "Normal",
    "Optimizer",
    "Parameter",
    "ProgressBar",
    "ReLU",
    "Regularizer",
    "Report",
    "Sequential",
    "ShapeError",
    "SoftmaxCrossEntropy",
    "Standardizer",
    "Trainer",
    "Uniform",
    "Verdict",
    "WeightTemplates",
    "Xavier",
    "Zeros",
    "accuracy",
    "check_function",
    "check_layer",
    "check_loss",
    "check_model",
    "check_regularizer",
    "datasets",
    "describe_run",
    "numerical_gradient",
    "relative_error",
]
