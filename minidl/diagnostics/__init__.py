"""Diagnostics: sanity checks before training, a learning rate finder, and a search for dead units."""

from minidl.diagnostics.items import SanityItem
from minidl.diagnostics.overfit import OverfitResult, overfit_tiny
from minidl.diagnostics.rates import LearningRateResult, find_learning_rate
from minidl.diagnostics.sanity import SanityReport, sanity_check
from minidl.diagnostics.units import LayerUnits, UnitReport, dead_units

__all__ = [
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
]
