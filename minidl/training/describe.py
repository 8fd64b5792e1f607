"""describe_run: one run in plain English, computed from what was measured."""

import math
from collections.abc import Sequence

from minidl.training.history import History


def describe_run(history: History) -> str:
    """Return a short paragraph on one run; it leaves out each statement whose numbers the history lacks.

    - How smooth training was. A step is a pair of successive epochs with finite training costs. If a step raised the
      cost by 1 % or more, the paragraph says how many steps went up, and the largest rise; otherwise it does not count
      the rises. The cost is called spiky if at least a quarter of the steps went up and the largest rise is at least
      10 % of the cost before it.
    - The difference between training and validation after the last epoch, in loss and in accuracy.
    - The epoch with the lowest validation loss, and how far above that value it ended.
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


def _smoothness(epochs: Sequence[float], costs: Sequence[float]) -> list[str]:
    """Describe how the training cost changed from the first epoch to the last."""
    # A cost may be NaN or infinite, or missing.
    bad = [epoch for epoch, cost in zip(epochs, costs, strict=False) if not math.isfinite(cost)]
    if len(bad) == len(costs):
        return ["The training cost is not finite in any epoch."] if bad else []
    if len(costs) == 1:
        return [f"The training cost after the only epoch was {number(costs[0])}."]
    change = f"From epoch {epochs[0]} to {epochs[-1]} the training cost went {_from_to(costs[0], costs[-1])}."
    if bad:
        change = f"The training cost is not finite in {len(bad)} of {len(costs)} epochs, first in epoch {bad[0]}."
    steps = [step for step in zip(costs[:-1], costs[1:], epochs[1:], strict=True) if all(map(math.isfinite, step))]
    rises = [(after - before, before, after, epoch) for before, after, epoch in steps if after > before]
    subject = "Elsewhere it" if bad else "It"
    if not rises:
        return [change, f"{subject} never rose from one epoch to the next."] if steps else [change]
    rise, before, after, epoch = max(rises)
    if 0 <= rise < 0.01 * before:
        return [change, f"No {'other ' if bad else ''}epoch raised it by 1 % or more."]
    spiky = len(rises) >= len(steps) / 4 and 0 < 0.1 * before <= rise
    return [
        change,
        f"{subject} {'was spiky: it ' if spiky else ''}rose in {len(rises)} of {len(steps)} "
        f"step{'' if len(steps) == 1 else 's'} from one epoch to the next, most in epoch {epoch}, "
        f"by {_rise(before, after)} ({_from_to(before, after)}).",
    ]


def _gap(quantity: str, training: Sequence[float], validation: Sequence[float]) -> str:
    """Compare training and validation after the last epoch."""
    if not training or not validation:
        return ""
    a, b = training[-1], validation[-1]
    if not (math.isfinite(a) and math.isfinite(b)):
        return f"At the end the {'validation' if math.isfinite(a) else 'training'} {quantity} is not finite."
    if quantity == "accuracy":
        texts, difference = [percent(a), percent(b)], f"{abs(100 * (b - a)):.2f} percentage points"
    else:
        texts, difference = [number(a), number(b)], _with_digits_of(max(a, b, key=abs), abs(b - a))
    compared = "equal in all digits shown" if texts[0] == texts[1] else f"{difference} {'higher' if b > a else 'lower'}"
    return f"At the end the {quantity} was {texts[0]} in training and {texts[1]} in validation ({compared})."


def _lowest(epochs: Sequence[float], losses: Sequence[float]) -> str:
    """Say when the validation loss was lowest, and whether it rose from there."""
    finite = [(loss, -position) for position, loss in enumerate(losses) if math.isfinite(loss)]
    if len(finite) < 2:
        return ""
    # Of equal losses, the latest counts.
    best, position = min(finite)
    sentence = f"The validation loss was lowest after epoch {epochs[-position]} ({number(best)})"
    if -position == len(losses) - 1:
        return f"{sentence}, the last one."
    if not math.isfinite(losses[-1]):
        return f"{sentence}."
    return f"{sentence} and ended {_rise(best, losses[-1])} higher."


def _penalty(costs: Sequence[float], losses: Sequence[float]) -> str:
    """Say what the penalty adds to the loss."""
    if not costs or not losses:
        return ""
    if costs == losses and all(math.isfinite(cost) for cost in costs):
        return "Cost and loss are equal throughout: the penalty is zero."
    penalty = costs[-1] - losses[-1]
    if not math.isfinite(penalty) or penalty <= 0 or costs[-1] <= 0:
        return ""
    share = _percent(penalty / costs[-1])
    size = _with_digits_of(costs[-1], penalty)
    return f"The penalty is {share} ({size}) of the final training cost of {number(costs[-1])}."


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


def _with_digits_of(whole: float, part: float) -> str:
    """Return `part` with the decimals that `number` gives `whole`, or with more if these would all be 0."""
    decimals = len(number(whole).partition(".")[2])
    usual = 1e-3 <= abs(whole) < 1e9 and part >= 10.0**-decimals
    return f"{part:,.{decimals}f}" if usual else f"{part:.3g}"


def _from_to(before: float, after: float) -> str:
    return f"from {number(before)} to {number(after)}"


def _rise(before: float, after: float) -> str:
    """Return by how much `after` is above `before`: relative if `before` is positive, else absolute."""
    if before <= 0:
        return f"{after - before:.3g}"
    factor = after / before
    if factor < 10:
        return _percent(factor - 1)
    return f"a factor of {factor:,.0f}" if factor < 1e6 else f"a factor of {factor:.1e}"


def _percent(share: float) -> str:
    return percent(share, digits=1) if share >= 0.001 else "less than 0.1 %"
