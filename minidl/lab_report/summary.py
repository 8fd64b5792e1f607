"""summarize: what the numbers of the settings mean, in sentences that are computed from them."""

import math
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from minidl.lab_report.runs import Outcome, Setting
from minidl.training.describe import accuracy_error, minus, number
from minidl.training.history import History
from minidl.training.run_sections import percent

CLASSES = 10
# Each of them was measured on as many images.
PUBLISHED_IMAGES = 10_000
# With fewer epochs the second half of a curve is too short to be judged.
_ENOUGH_EPOCHS = 8


class _Result(NamedTuple):
    """The runs of a setting, and means over its seeds."""

    setting: Setting
    runs: list[Outcome]
    accuracy: float
    # Standard error of the accuracy: of the choice of test images and of the seeds.
    error: float
    # Validation loss above training loss.
    gap: float
    weight_norm: float


def summarize(outcomes: Sequence[Outcome], test_images: int, published: bool) -> list[str]:
    """Return short texts: the best setting, what η and λ do, the distance from the published report, the uncertainty.

    A difference of two accuracies counts as real from two standard errors on, and one from the published report from
    three on. The error is that of independent test images, which for the same images is on the safe side.

    Parameters
    ----------
    outcomes : sequence of Outcome
        At least two learning rates with one λ, and two λ with one learning rate.
    test_images : int
        How many images each test accuracy was measured on.
    published : bool
        Whether the images are those of the published report.
    """
    settings = dict.fromkeys(o.setting for o in outcomes)
    results = [_result([o for o in outcomes if o.setting == setting], test_images) for setting in settings]
    return [
        *(_best(results), _learning_rate(results), _penalty(results)),
        *([_published(results)] if published else []),
        _uncertainty(results, test_images),
    ]


def _result(runs: list[Outcome], images: int) -> _Result:
    accuracies = [o.test_accuracy for o in runs]
    # An accuracy of 0 or 1 has an error, too.
    error = max(accuracy_error(float(np.mean(accuracies)), images), 1 / images)
    last = [o.history.rows[-1] for o in runs]
    gap = np.mean([row["val_loss"] - row["loss"] for row in last])
    weights = [[p.value.astype(float).ravel() for p in o.model.parameters.values() if p.penalized] for o in runs]
    norm = np.mean([np.linalg.norm(np.concatenate(arrays)) for arrays in weights])
    error = math.hypot(error, spread(accuracies) / math.sqrt(len(runs)))
    return _Result(runs[0].setting, runs, float(np.mean(accuracies)), error, float(gap), float(norm))


def spread(values: Sequence[float]) -> float:
    """Return the standard deviation of one of `values`, 0 if it is the only one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _compared(a: _Result, b: _Result) -> tuple[float, str]:
    """Return the difference of two accuracies in standard errors, and its size as a text."""
    difference = a.accuracy - b.accuracy
    errors = difference / math.hypot(a.error, b.error)
    return errors, f"{100 * abs(difference):.2f} points ({abs(errors):.1f} standard errors)"


def _best(results: list[_Result]) -> str:
    """Say which setting is best, or that the run does not decide."""
    best, second, *_ = sorted(results, key=lambda r: -r.accuracy)
    highest = f"highest test accuracy, {percent(best.accuracy)} (guessing gets {100 / CLASSES:g} %)"
    if best.accuracy - 1 / CLASSES < 2 * best.error:
        return f"No setting is measurably better than guessing: {best.setting.title} has the {highest}."
    below = f"the next is {second.setting.title}, {_compared(best, second)[1]} below"
    text = f"{best.setting.title} has the {highest}; {below}."
    if (close := sum(_compared(best, r)[0] < 2 for r in results)) > 1:
        text += f" The {close} highest lie within 2 standard errors: the run does not show which of them is best."
    return text


def _learning_rate(results: list[_Result]) -> str:
    """Say what the largest learning rate does, next to a smaller one with the same λ."""
    lam = max(results, key=lambda r: r.setting.eta).setting.lam
    large, small, *_ = sorted((r for r in results if r.setting.lam == lam), key=lambda r: -r.setting.eta)
    errors, difference = _compared(large, small)
    effect = f"differs by {difference}, which is within chance"
    if abs(errors) >= 2:
        effect = f"is {difference} {'higher' if errors > 0 else 'lower'} with η = {large.setting.eta:g}"
    seed = f" (curves of seed {large.runs[0].seed})" if len(large.runs) > 1 else ""
    courses = [f"η = {r.setting.eta:g} {_course(r.runs[0].history)}" for r in (large, small)]
    verdict = (
        f"η = {large.setting.eta:g} is too large. " if errors <= -2 and re.search("never|diverges", courses[0]) else ""
    )
    return f"{verdict}With λ = {lam:g}{seed}, {'; '.join(courses)}. The test accuracy {effect}."


def _course(history: History) -> str:
    """Return what the curves do in the second half of the training."""
    training, validation = history["loss"], history["val_loss"]
    half = len(training) // 2
    early, late, last = training[:half], training[half:], validation[half:]
    if not all(map(math.isfinite, [*training, *validation])):
        return "diverges (the loss does not stay finite)"
    if len(training) < _ENOUGH_EPOCHS:
        return f"ran for too few epochs ({len(training)}) to judge its curve"
    if np.mean(late) > 1.5 * np.mean(early):
        means = [number(float(np.mean(losses))) for losses in (early, late)]
        return f"diverges (the mean training loss was {means[0]} in the first half and {means[1]} in the second)"
    rises = sum(after >= 1.01 * before for before, after in pairwise(late))
    course = "is still falling at the end" if late[-1] < 0.98 * late[0] else "settles"
    if rises >= (len(late) - 1) / 4 and max(last) >= 1.1 * min(last):
        course = "never settles"
    span = f"validation loss {number(min(last))} to {number(max(last))}"
    return f"{course} (last {len(late)} epochs: training loss up by 1 % or more in {rises}, {span})"


def _penalty(results: list[_Result]) -> str:
    """Say what λ does at equal η, from the smallest to the largest."""
    etas = [r.setting.eta for r in results]
    eta = max(etas, key=etas.count)
    group = sorted((r for r in results if r.setting.eta == eta), key=lambda r: r.setting.lam)
    first, *_, last = group
    change = last.gap - first.gap
    # A loss over 10,000 images has about this standard error.
    verdict = "hardly changes"
    if not math.isfinite(change):
        verdict = "is not finite"
    elif abs(change) >= max(0.01, 0.1 * abs(first.gap)):
        verdict = "shrinks" if change < 0 else "grows, against the purpose of a penalty"
    errors, difference = _compared(last, first)
    effect = (
        f"within chance: {difference}" if abs(errors) < 2 else f"a {'gain' if errors > 0 else 'loss'} of {difference}"
    )
    lams, accuracies = _way(f"{r.setting.lam:g}" for r in group), _way(percent(r.accuracy) for r in group)
    gaps, norms = _way(minus(f"{r.gap:.3f}") for r in group), _way(number(r.weight_norm) for r in group)
    return (
        f"As λ goes from {lams} (η = {eta:g}), the gap between validation and training loss {verdict} ({gaps}), and "
        f"the norm of the weights goes from {norms}. The test accuracy goes from {accuracies}, {effect} in all."
    )


def _published(results: list[_Result]) -> str:
    """Say how far each test accuracy is from the published one."""
    theirs = [r.setting.published for r in results]
    changes = [r.accuracy - p for r, p in zip(results, theirs, strict=True)]
    own = [math.hypot(r.error, accuracy_error(p, PUBLISHED_IMAGES)) for r, p in zip(results, theirs, strict=True)]
    errors = [abs(change) / error for change, error in zip(changes, own, strict=True)]
    off = [r.setting.title for r, size in zip(results, errors, strict=True) if size > 3]
    return (
        f"In the order of the table, the test accuracies differ from the published ones by "
        f"{', '.join(minus(f'{100 * change:+.2f}') for change in changes)} points. In standard errors that is "
        f"{', '.join(f'{size:.1f}' for size in errors)}; more than 3: {'; '.join(off) or 'none'}."
    )


def _uncertainty(results: list[_Result], images: int) -> str:
    error = max(accuracy_error(r.accuracy, images) for r in results)
    text = f"One accuracy over {images:,} test images has a standard error of up to {100 * error:.2f} points"
    seeds = max(len(r.runs) for r in results)
    if seeds == 1:
        return f"{text}; there is one seed, so the effect of another start and order of images is not measured."
    spreads = [100 * spread([o.test_accuracy for o in r.runs]) for r in results]
    return f"{text}; over {seeds} seeds the standard deviation was {min(spreads):.2f} to {max(spreads):.2f} points."


def _way(texts: Iterable[str]) -> str:
    return " to ".join(texts)
