"""The errors minidl raises on purpose: one family, so that ``except MinidlError`` catches them all.

A message names the layer or argument, what was expected, what it got, and what to do.
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
        """Put `text` before the message; an error of a user's own class is not changed."""
        if type(self).__module__ == __name__:
            self.args = (f"{text}: {self}",)


class InputError(MinidlError, ValueError):
    """An argument has the wrong type, value or range."""


class ShapeError(InputError):
    """An array has the wrong shape."""


class CallOrderError(MinidlError, RuntimeError):
    """A method was called before another call that it needs."""


class NonFiniteError(MinidlError, ArithmeticError):
    """A NaN or an infinity appeared where only finite numbers are valid."""


class DataError(MinidlError):
    """A data file is missing, damaged, or not what its name says."""


class DownloadError(MinidlError):
    """No source provided the complete, verified data."""


class CheckpointError(MinidlError):
    """A weights file or checkpoint is missing, damaged, or belongs to another model."""


class SweepError(MinidlError):
    """The executor or worker processes of a sweep failed before all trials were done."""


class GradientCheckError(MinidlError, AssertionError):
    """A gradient check did not pass; each verdict raises its own subclass of this error."""


class WrongGradientError(GradientCheckError):
    """The verdict is FAIL_VALUE: a gradient is wrong."""


class BrokenContractError(GradientCheckError):
    """The verdict is FAIL_CONTRACT: a rule other than the gradient's values is broken."""


class NondeterministicError(GradientCheckError):
    """The verdict is NONDETERMINISTIC: two calls at the same point differ."""


class StateChangedError(GradientCheckError):
    """The verdict is STATE_CHANGED: a call changed state that it must not change."""


class InconclusiveError(GradientCheckError):
    """The verdict is INCONCLUSIVE: the numerical derivatives are too uncertain to decide."""


class VacuousError(GradientCheckError):
    """The verdict is VACUOUS: no slope exceeds its error bar, so a pass would mean nothing."""
