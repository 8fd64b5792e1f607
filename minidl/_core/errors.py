"""The errors minidl raises on purpose: one family, so that ``except MinidlError`` catches them all.

A message names the layer or argument, what was expected, what came, and what to do.
"""

__all__ = [
    "BrokenContractError",
    "CallOrderError",
    "CheckpointError",
    "DataError",
    "DownloadError",
    "GradientCheckError",
    "InconclusiveError",
    "InputError",
    "MinidlError",
    "NonFiniteError",
    "NondeterministicError",
    "ShapeError",
    "StateChangedError",
    "SweepError",
    "VacuousError",
    "WrongGradientError",
]


class MinidlError(Exception):
    """Base class of every error that minidl raises on purpose."""

    def with_context(self, text: str) -> None:
        """Put `text` before the message; an error of a class of a user's own stays as it is."""
        if type(self).__module__ == __name__:
            self.args = (f"{text}: {self}",)


class InputError(MinidlError, ValueError):
    """An argument has the wrong type, value or range."""


class ShapeError(InputError):
    """An array has the wrong shape for where it was handed in."""


class CallOrderError(MinidlError, RuntimeError):
    """A method was called before the call that it depends on."""


class NonFiniteError(MinidlError, ArithmeticError):
    """A NaN or an infinity turned up where only finite numbers make sense."""


class DataError(MinidlError):
    """A data file is missing, damaged, or not what its name says."""


class DownloadError(MinidlError):
    """No source delivered the whole, verified data."""


class CheckpointError(MinidlError):
    """A file of weights is missing, damaged, or of another model."""


class SweepError(MinidlError):
    """What runs the trials of a sweep broke down before all were done."""


class GradientCheckError(MinidlError, AssertionError):
    """A gradient report was asked to be ok, and was not; each verdict raises its own kind of this error."""


class WrongGradientError(GradientCheckError):
    """The verdict is FAIL_VALUE: a gradient is wrong."""


class BrokenContractError(GradientCheckError):
    """The verdict is FAIL_CONTRACT: a rule is broken, whatever the values."""


class NondeterministicError(GradientCheckError):
    """The verdict is NONDETERMINISTIC: two calls at the same point differ."""


class StateChangedError(GradientCheckError):
    """The verdict is STATE_CHANGED: a call changed state that it must leave alone."""


class InconclusiveError(GradientCheckError):
    """The verdict is INCONCLUSIVE: the numerical derivatives are too uncertain to decide."""


class VacuousError(GradientCheckError):
    """The verdict is VACUOUS: no slope exceeds its error bar, so a pass would mean nothing."""
