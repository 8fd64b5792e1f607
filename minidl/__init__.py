"""minidl: an object-oriented mini deep-learning framework on NumPy."""

from typing import TYPE_CHECKING

from minidl import data, nn, training
from minidl._core import __version__ as __version__
from minidl._core import errors
from minidl._core.errors import *
from minidl.data import *
from minidl.data import datasets as datasets
from minidl.data.augmentation import *
from minidl.nn import *
from minidl.nn import layers, losses
from minidl.nn.initializers import *
from minidl.nn.layers import *
from minidl.nn.layers.activations import *
from minidl.nn.losses import *
from minidl.nn.metrics import *
from minidl.nn.regularizers import *
from minidl.training import *
from minidl.training import callbacks, optimizers
from minidl.training.callbacks import *
from minidl.training.optimizers import *
from minidl.training.optimizers.schedules import *

if TYPE_CHECKING:
    from minidl import plotting as plotting
    from minidl.diagnostics import *
    from minidl.gradcheck import *
    from minidl.report import *
    from minidl.sweeps import *
    from minidl.training.run_report import *

# These names are imported on first use, to keep `import minidl` fast.
_LAZY = {
    "diagnostics": [
        "LayerUnits",
        "LearningRateResult",
        "OverfitResult",
        "SanityItem",
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
        "check_hessian_product",
        "check_layer",
        "check_loss",
        "check_model",
        "check_regularizer",
        "check_row_gradients",
        "numerical_gradient",
        "relative_error",
    ],
    "report": ["Link", "Report"],
    "sweeps": ["CoarseToFine", "LogUniform", "RandomSearch", "SweepResult", "Trial", "sweep"],
    "plotting": [],
    "training.run_report": ["report_runs"],
}

__all__ = ["datasets", "plotting"]
for _part in (errors, data, nn, layers, losses, training, callbacks, optimizers):
    __all__ += _part.__all__
__all__ += [name for names in _LAZY.values() for name in names]


# Hidden from type checkers: with __getattr__ they would accept every name, misspelt ones too.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        home = next((module for module, names in _LAZY.items() if name in (module, *names)), None)
        if name in ("sklearn", "testing"):
            raise AttributeError(f"minidl.{name} needs optional packages; import it explicitly: import minidl.{name}")
        if home is None:
            from minidl._core.foreign_names import public

            raise AttributeError(f"minidl has no {name!r}{public(name, __all__)}")
        from importlib import import_module

        module = import_module(f"minidl.{home}")
        return module if name == home else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
