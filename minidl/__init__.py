"""minidl: an object-oriented mini deep-learning framework on NumPy."""

from typing import TYPE_CHECKING

from minidl import datasets
from minidl.augmentation import Augmentation, Brightness, Contrast, Cutout, Mirror, RandomCrop, Shift
from minidl.callbacks import (
    Callback,
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    GradientMonitor,
    JSONLLogger,
    LambdaCallback,
    LearningCurves,
    LiveCurves,
    ProgressBar,
    ReduceLROnPlateau,
    TensorBoard,
    TerminateOnNaN,
    Timer,
    WeightTemplates,
)
from minidl.data import Dataset, Standardizer
from minidl.describe import describe_run
from minidl.ensemble import Ensemble
from minidl.errors import (
    CallOrderError,
    CheckpointError,
    DataError,
    DownloadError,
    GradientCheckError,
    InputError,
    MinidlError,
    NonFiniteError,
    ShapeError,
    SweepError,
)
from minidl.history import History
from minidl.images import images_from_rows, rows_from_images
from minidl.initializers import Constant, He, Initializer, LeCun, Normal, Orthogonal, Uniform, Xavier, Zeros
from minidl.layers import (
    ELU,
    GELU,
    Activation,
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Layer,
    LayerNorm,
    LeakyReLU,
    LogSoftmax,
    MaxPool2D,
    Parallel,
    ReLU,
    Reshape,
    Residual,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from minidl.losses import (
    BinaryCrossEntropy,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    MulticlassHinge,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
)
from minidl.metrics import (
    accuracy,
    confusion_matrix,
    mean_true_class_probability,
    most_confused,
    per_class_accuracy,
    top_k_accuracy,
    true_class_probabilities,
)
from minidl.model import Model
from minidl.optimizers import SGD, Adagrad, Adam, AdamW, NAdam, Optimizer, RMSProp
from minidl.parameter import Parameter
from minidl.regularizers import L1, L2, ElasticNet, Regularizer
from minidl.schedules import (
    ConstantRate,
    CosineAnnealing,
    CosineAnnealingWarmRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LinearWarmup,
    OneCycle,
    PiecewiseConstant,
    Schedule,
    StepDecay,
    TriangularCycle,
)
from minidl.splits import train_validation_split
from minidl.trainer import Trainer

if TYPE_CHECKING:  # see __getattr__
    from minidl import plotting
    from minidl.comparison import Comparison, compare_runs
    from minidl.diagnostics import (
        LearningRateResult,
        OverfitResult,
        SanityReport,
        UnitReport,
        dead_units,
        find_learning_rate,
        overfit_tiny,
        sanity_check,
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
    from minidl.report import Report
    from minidl.sweeps import CoarseToFine, LogUniform, RandomSearch, SweepResult, sweep

__version__ = "0.1.0"

__all__ = [
    "ELU",
    "GELU",
    "L1",
    "L2",
    "SGD",
    "Activation",
    "Adagrad",
    "Adam",
    "AdamW",
    "Augmentation",
    "AvgPool2D",
    "BatchNorm",
    "BinaryCrossEntropy",
    "Brightness",
    "CSVLogger",
    "CallOrderError",
    "Callback",
    "Checkpoint",
    "CheckpointError",
    "CoarseToFine",
    "Comparison",
    "Constant",
    "ConstantRate",
    "Contrast",
    "Conv2D",
    "CosineAnnealing",
    "CosineAnnealingWarmRestarts",
    "Cutout",
    "DataError",
    "Dataset",
    "Dense",
    "DownloadError",
    "Dropout",
    "EarlyStopping",
    "ElasticNet",
    "Ensemble",
    "ExponentialDecay",
    "Finding",
    "Flatten",
    "ForeignLayer",
    "GlobalAvgPool2D",
    "GradientCheckError",
    "GradientMonitor",
    "GradientReport",
    "He",
    "History",
    "Huber",
    "Initializer",
    "InputError",
    "InverseTimeDecay",
    "JSONLLogger",
    "LambdaCallback",
    "Layer",
    "LayerNorm",
    "LeCun",
    "LeakyReLU",
    "LearningCurves",
    "LearningRateResult",
    "LinearWarmup",
    "LiveCurves",
    "LogSoftmax",
    "LogUniform",
    "Loss",
    "MaxPool2D",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "MinidlError",
    "Mirror",
    "Model",
    "MulticlassHinge",
    "NAdam",
    "NonFiniteError",
    "Normal",
    "OneCycle",
    "Optimizer",
    "Orthogonal",
    "OverfitResult",
    "Parallel",
    "Parameter",
    "PiecewiseConstant",
    "ProgressBar",
    "RMSProp",
    "RandomCrop",
    "RandomSearch",
    "ReLU",
    "ReduceLROnPlateau",
    "Regularizer",
    "Report",
    "Reshape",
    "Residual",
    "SanityReport",
    "Schedule",
    "Sequential",
    "ShapeError",
    "Shift",
    "SiLU",
    "Sigmoid",
    "SigmoidCrossEntropy",
    "Softmax",
    "SoftmaxCrossEntropy",
    "Softplus",
    "Standardizer",
    "StepDecay",
    "SweepError",
    "SweepResult",
    "Tanh",
    "TensorBoard",
    "TerminateOnNaN",
    "Timer",
    "Trainer",
    "TriangularCycle",
    "Uniform",
    "UnitReport",
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
    "compare_runs",
    "confusion_matrix",
    "datasets",
    "dead_units",
    "describe_run",
    "find_learning_rate",
    "images_from_rows",
    "mean_true_class_probability",
    "most_confused",
    "numerical_gradient",
    "overfit_tiny",
    "per_class_accuracy",
    "plotting",
    "relative_error",
    "rows_from_images",
    "sanity_check",
    "sweep",
    "top_k_accuracy",
    "train_validation_split",
    "true_class_probabilities",
]

_WHEN_NEEDED: dict[str, list[str]] = {
    "comparison": ["Comparison", "compare_runs"],
    "diagnostics": [
        "LearningRateResult",
        "OverfitResult",
        "SanityReport",
        "UnitReport",
        "dead_units",
        "find_learning_rate",
        "overfit_tiny",
        "sanity_check",
    ],
    "gradcheck": [
        "Finding",
        "ForeignLayer",
        "GradientReport",
        "Verdict",
        "check_function",
        "check_layer",
        "check_loss",
        "check_model",
        "check_regularizer",
        "numerical_gradient",
        "relative_error",
    ],
    "report": ["Report"],
    "sweeps": ["CoarseToFine", "LogUniform", "RandomSearch", "SweepResult", "sweep"],
    "plotting": [],
}


if not TYPE_CHECKING:  # a type checker would take every name, also a misspelt one

    def __getattr__(name: str) -> object:
        """Import what not every program needs when it is first asked for, so that ``import minidl`` stays quick."""
        home = next((module for module, names in _WHEN_NEEDED.items() if name in (module, *names)), None)
        if name in ("sklearn", "testing"):  # they need other packages
            raise AttributeError(f"minidl.{name} has to be imported by itself: import minidl.{name}")
        if home is None:
            from minidl.spelling import nearest

            meant = nearest(name, __all__, 1)
            raise AttributeError(f"minidl has no {name!r}{f'; did you mean {meant[0]!r}?' if meant else ''}")
        from importlib import import_module

        module = import_module(f"minidl.{home}")
        return module if name == home else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
