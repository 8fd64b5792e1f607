"""describe_run: one run in plain English, computed from what was measured; and how its numbers are written."""

import math
from collections.abc import Sequence

from minidl.training.history import History

# A curve of fewer epochs is too short to be judged.
ENOUGH_EPOCHS = 8


def describe_run(history: History) -> str:
    """Return a short paragraph on one run; it leaves out each statement whose numbers the history lacks.

    - The first and the last training cost, and how smoothly it changed. A step leads from one epoch to the next, if
      both costs are finite. The paragraph counts the steps that raised the cost by 1 % or more, and names the
      largest. A cost is not stable if they are at least a quarter of all steps, the largest raised it by 10 % or more,
      and there are at least eight epochs.
    - Loss and accuracy after the last epoch, in training and in validation.
    - The epoch with the lowest validation loss, and the last validation loss.
    - The share of the penalty (cost - loss) in the final training cost.

    Parameters
    ----------
    history : History

    Returns
    -------
    str
        One paragraph; if the history has no epochs, it says only that.
    """
    if len(history) == 0:
        return "No epoch was finished."
    columns = {name: history[name] for name in history.columns}
    names = ("cost", "loss", "val_loss", "accuracy", "val_accuracy")
    costs, losses, val_losses, *accuracies = (columns.get(name, []) for name in names)
    gaps = [_gap("loss", losses, val_losses), _gap("accuracy", *accuracies)]
    lowest, penalty = _lowest(columns["epoch"], val_losses), _penalty(costs, losses)
    sentences = [*_smoothness(columns["epoch"], costs), *gaps, lowest, penalty]
    return " ".join(sentence for sentence in sentences if sentence)


def accuracy_error(share: float, rows: int) -> float:
    """Return the standard error of an accuracy measured on `rows` rows, sqrt(share (1 - share) / rows).

    The difference of two accuracies on different rows has the standard error ``hypot(a, b)`` of their standard errors a
    and b; on the same rows it is smaller.
    """
    return math.sqrt(share * (1 - share) / rows)


def compare_accuracies(a: float, a_error: float, b: float, b_error: float) -> tuple[float, str]:
    """Return how far `a` is above `b` in standard errors, and the size of the difference as a text."""
    errors = (a - b) / (math.hypot(a_error, b_error) or 1)
    return errors, f"{100 * abs(a - b):.2f} percentage points ({abs(errors):.1f} standard errors)"


def _smoothness(epochs: Sequence[float], costs: Sequence[float]) -> list[str]:
    """Describe how the training cost changed from the first epoch to the last."""
    # A cost may be NaN or infinite, or missing.
    bad = [epoch for epoch, cost in zip(epochs, costs, strict=False) if not math.isfinite(cost)]
    if len(bad) == len(costs):
        return ["The training cost is not finite in any epoch."] if bad else []
    if len(costs) == 1:
        return [f"The training cost after the only epoch was {number(costs[0])}."]
    change = f"From epoch {epochs[0]} to {epochs[-1]} the training cost went from {_from_to(costs[0], costs[-1])}."
    if bad:
        change = f"The training cost is not finite in {len(bad)} of {len(costs)} epochs, first in epoch {bad[0]}."
    steps = [step for step in zip(costs[:-1], costs[1:], epochs[1:], strict=True) if all(map(math.isfinite, step))]
    rises = [
        (after - before, before, after, epoch) for before, after, epoch in steps if after > before + 0.01 * abs(before)
    ]
    if not steps:
        return [change]
    if not rises:
        slightly = any(after > before for before, after, _ in steps)
        return [change, "It sometimes rose, but always by less than 1 %." if slightly else "It never rose."]
    rise, before, after, epoch = max(rises)
    unstable = len(costs) >= ENOUGH_EPOCHS and len(rises) >= len(steps) / 4 and rise >= 0.1 * abs(before)
    rose = f"rose by 1 % or more in {len(rises)} of {len(steps)} steps, most in epoch {epoch}"
    return [change, f"{'The cost was not stable: it' if unstable else 'It'} {rose}, from {_from_to(before, after)}."]


def _gap(quantity: str, training: Sequence[float], validation: Sequence[float]) -> str:
    """Compare training and validation after the last epoch."""
    if not training or not validation:
        return ""
    a, b = training[-1], validation[-1]
    if not (math.isfinite(a) and math.isfinite(b)):
        return f"At the end the {'validation' if math.isfinite(a) else 'training'} {quantity} is not finite."
    training_text, validation_text = map(percent if quantity == "accuracy" else number, (a, b))
    return (
        f"At the end the training {quantity} was {training_text} and the validation {quantity} was {validation_text}."
    )


def _lowest(epochs: Sequence[float], losses: Sequence[float]) -> str:
    """Say when the validation loss was lowest, and where it ended."""
    finite = [(loss, -position) for position, loss in enumerate(losses) if math.isfinite(loss)]
    if len(finite) < 2:
        return ""
    # Of equal losses, the latest counts.
    best, position = min(finite)
    sentence = f"The validation loss was lowest after epoch {epochs[-position]} ({number(best)})"
    if -position == len(losses) - 1:
        return f"{sentence}, the last one."
    return f"{sentence} and ended at {number(losses[-1])}." if math.isfinite(losses[-1]) else f"{sentence}."


def _penalty(costs: Sequence[float], losses: Sequence[float]) -> str:
    """Say what the penalty adds to the loss."""
    if not costs or not losses:
        return ""
    if costs == losses and all(map(math.isfinite, costs)):
        return "The penalty is zero, so the cost equals the loss."
    penalty = costs[-1] - losses[-1]
    if not 0 < penalty < costs[-1]:
        return ""
    share = percent(penalty / costs[-1], digits=1)
    return f"The penalty is {share} of the final training cost of {number(costs[-1])}."


def percent(share: float, error: float | None = None, digits: int = 2) -> str:
    """Return a share as a text, with its error if there is one, such as "39.10 ± 0.49 %"."""
    bar = "" if error is None else f" ± {100 * error:.{digits}f}"
    return f"{100 * share:.{digits}f}{bar} %"


def number(value: float) -> str:
    """Return four significant digits, with thousands separators and a real minus sign."""
    return minus(f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:#.4g}".rstrip("."))


def minus(text: str) -> str:
    """Return a number's text with a real minus sign before it."""
    return "\N{MINUS SIGN}" + text[1:] if text.startswith("-") else text


def _from_to(before: float, after: float) -> str:
    return f"{number(before)} to {number(after)}"
