"""The results of the settings, and `summarize`: what they mean, in sentences that are computed from them."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from minidl.lab_report.runs import Outcome, Setting
from minidl.training.describe import ENOUGH_EPOCHS, accuracy_error, compare_accuracies, minus, number, percent
from minidl.training.history import History

CLASSES = 10
# Each published accuracy was measured on as many images.
PUBLISHED_IMAGES = 10_000
# In standard errors: a smaller difference may be chance.
_REAL = 2


class Result(NamedTuple):
    """The runs of a setting, and means over its seeds."""

    setting: Setting
    runs: list[Outcome]
    accuracy: float
    # Standard error of the accuracy: of the choice of test images, and with that of the seeds.
    image_error: float
    error: float
    # Standard deviation over the seeds; 0 of one seed.
    spread: float
    val_accuracy: float
    # Validation loss above training loss.
    gap: float
    weight_norm: float

    @property
    def accuracy_bar(self) -> float:
        """What to draw as the error of the accuracy: the spread of the seeds, or else the standard error."""
        return self.spread if len(self.runs) > 1 else self.image_error

    def above(self, other: "Result") -> tuple[float, str]:
        """Compare the accuracy with that of another setting, see `compare_accuracies`."""
        return compare_accuracies(self.accuracy, self.error, other.accuracy, other.error)

    @property
    def above_published(self) -> tuple[float, str]:
        """The same for the published accuracy."""
        theirs = self.setting.published
        return compare_accuracies(self.accuracy, self.error, theirs, accuracy_error(theirs, PUBLISHED_IMAGES))


def results_of(outcomes: Iterable[Outcome], test_images: int) -> list[Result]:
    """Return the result of each setting; `test_images` is how many images a test accuracy was measured on."""
    by_setting: dict[Setting, list[Outcome]] = {}
    for outcome in outcomes:
        by_setting.setdefault(outcome.setting, []).append(outcome)
    return [_result(setting, runs, test_images) for setting, runs in by_setting.items()]


def _result(setting: Setting, runs: list[Outcome], images: int) -> Result:
    accuracies, last = [o.test_accuracy for o in runs], [o.history.rows[-1] for o in runs]
    mean = float(np.mean(accuracies))
    # An accuracy of 0 or 1 has an error, too.
    image_error = max(accuracy_error(mean, images), 1 / images)
    spread = float(np.std(accuracies, ddof=1)) if len(runs) > 1 else 0.0
    error = math.hypot(image_error, spread / math.sqrt(len(runs)))
    others = (
        [r["val_accuracy"] for r in last],
        [r["val_loss"] - r["loss"] for r in last],
        [o.weight_norm for o in runs],
    )
    return Result(setting, runs, mean, image_error, error, spread, *(float(np.mean(values)) for values in others))


def chosen(results: Iterable[Result]) -> Result:
    """Return the setting with the highest validation accuracy: test images have no part in a choice."""
    return max(results, key=lambda result: result.val_accuracy)


def penalty_group(results: Sequence[Result]) -> list[Result]:
    """Return the settings that differ in λ alone, from the smallest to the largest."""
    etas = [r.setting.eta for r in results]
    eta = max(etas, key=etas.count)
    return sorted((r for r in results if r.setting.eta == eta), key=lambda r: r.setting.lam)


def summarize(results: Sequence[Result], test_images: int, published: bool) -> list[str]:
    """Return short texts: the best setting, what η and λ do, the distance from the published report, the uncertainty.

    A difference of two accuracies counts as real from two standard errors on; of the differences from the published
    report, the largest one from three on. The error is that of independent test images, which for the same images is
    on the safe side.

    Parameters
    ----------
    results : sequence of Result
        At least two learning rates with one λ, and two λ with one learning rate.
    test_images : int
    published : bool
        Whether the images are those of the published report.
    """
    texts = [_best(results), *_learning_rate(results), _penalty(penalty_group(results))]
    return [*texts, *([_published(results)] if published else []), _uncertainty(results, test_images)]


def _best(results: Sequence[Result]) -> str:
    """Say which setting validation chooses, and whether the test images agree."""
    choice, seeds = chosen(results), len(results[0].runs)
    best, second, *_ = sorted(results, key=lambda r: (-r.accuracy, r is not choice))
    means = f", means over {seeds} seeds" if seeds > 1 else ""
    text = (
        f"We choose by validation accuracy: {choice.setting.title} ({percent(choice.val_accuracy)}; test accuracy "
        f"{percent(choice.accuracy)}{means}). Random guessing gives {100 / CLASSES:g} %."
    )
    if best.accuracy - 1 / CLASSES < _REAL * best.error:
        return f"{text} No setting is measurably better than random guessing."
    difference = best.above(second if choice is best else choice)[1]
    if choice is best:
        text += f" It also has the highest test accuracy; {second.setting.title} is second, {difference} lower."
    else:
        text += f" On the test images, {best.setting.title} is {difference} higher."
    close = sum(best.above(r)[0] < _REAL for r in results)
    verdict = f"The best {close} settings differ by less than {_REAL} standard errors: we cannot say which is better."
    return f"{text} {verdict if close > 1 else 'This difference is more than chance explains.'}"


def _learning_rate(results: Sequence[Result]) -> list[str]:
    """Say what the largest learning rate does, next to a smaller one with the same λ."""
    lam = max(results, key=lambda r: r.setting.eta).setting.lam
    large, small, *_ = sorted((r for r in results if r.setting.lam == lam), key=lambda r: -r.setting.eta)
    seed = f" (seed {large.runs[0].seed})" if len(large.runs) > 1 else ""
    names = [f"η = {r.setting.eta:g}" for r in (large, small)]
    effect = _effect(large, small, *names)
    if len(large.runs[0].history) < ENOUGH_EPOCHS:
        return [f"{effect} There are too few epochs ({len(large.runs[0].history)}) to judge the curves."]
    courses = [_course(r.runs[0].history) for r in (large, small)]
    if large.above(small)[0] <= -_REAL and courses[0].startswith(("never", "diverges")):
        effect += f" The learning rate {names[0]} is too large."
    texts = [f"At λ = {lam:g}, training with {name}{seed} {it}" for name, it in zip(names, courses, strict=True)]
    return [*texts, effect]


def _effect(a: Result, b: Result, a_name: str, b_name: str) -> str:
    """Compare two test accuracies."""
    errors, difference = a.above(b)
    if abs(errors) < _REAL:
        return f"The test accuracies with {a_name} and {b_name} differ by {difference}, which may be chance."
    more = "higher" if errors > 0 else "lower"
    return f"With {a_name} the test accuracy is {difference} {more} than with {b_name}: more than chance explains."


def _course(history: History) -> str:
    """Return what the curves do in the second half of the training, as the end of a sentence and more sentences."""
    training, validation = history["loss"], history["val_loss"]
    half = len(training) // 2
    early, late, last = training[:half], training[half:], validation[half:]
    if not all(map(math.isfinite, [*training, *validation])):
        return "diverges: the loss does not stay finite."
    if np.mean(late) > 1.5 * np.mean(early):
        means = [number(float(np.mean(losses))) for losses in (early, late)]
        return f"diverges: the mean training loss rises from {means[0]} in the first half to {means[1]} in the second."
    rises = sum(after >= 1.01 * before for before, after in pairwise(late))
    change = f"rises by 1 % or more in {rises} of {len(late) - 1} steps" if rises else "never rises by 1 % or more"
    course = "settles"
    if rises >= (len(late) - 1) / 4 and max(last) >= 1.1 * min(last):
        course = "never settles"
    elif late[-1] < 0.98 * late[0]:
        course, change = "still improves slowly", f"falls from {number(late[0])} to {number(late[-1])}"
    span = f"the validation loss is between {number(min(last))} and {number(max(last))}"
    return f"{course}: in the last {len(late)} epochs the training loss {change}, and {span}."


def _penalty(group: Sequence[Result]) -> str:
    """Say what λ does at equal η, from the smallest to the largest."""
    first, last = group[0], group[-1]
    change = last.gap - first.gap
    verdict = "hardly changes"
    if not math.isfinite(change):
        verdict = "is not finite"
    # A loss over 10,000 images has about this standard error.
    elif abs(change) >= max(0.01, 0.1 * abs(first.gap)):
        verdict = "shrinks" if change < 0 else "grows, against the purpose of a penalty"
    gaps = ", ".join(minus(f"{r.gap:.3f}") for r in group)
    names = [f"λ = {r.setting.lam:g}" for r in (last, first)]
    return (
        f"From λ = {first.setting.lam:g} to {last.setting.lam:g} (η = {first.setting.eta:g}), the gap between "
        f"validation and training loss {verdict}: {gaps}. The norm of the weights goes from {first.weight_norm:,.3f} "
        f"to {last.weight_norm:,.3f}. {_effect(last, first, *names)}"
    )


def _published(results: Sequence[Result]) -> str:
    """Say how far the test accuracies are from the published ones."""
    off = [r.setting.title for r in results if abs(r.above_published[0]) > 3]
    text = "Our test accuracies agree with the published ones."
    if off:
        text = f"More than 3 standard errors from the published test accuracy: {'; '.join(off)}."
    largest = max(results, key=lambda r: abs(r.above_published[0]))
    return f"{text} The largest difference is {largest.above_published[1]}, for {largest.setting.title}."


def _uncertainty(results: Sequence[Result], images: int) -> str:
    error, spreads = 100 * max(r.image_error for r in results), [100 * r.spread for r in results]
    text = f"With {images:,} test images, the standard error of an accuracy is at most {error:.2f} percentage points."
    if len(results[0].runs) > 1:
        return f"{text} Standard deviation over the seeds: {min(spreads):.2f} to {max(spreads):.2f} percentage points."
    return f"{text} We used one random seed; we did not measure how other initial weights change the results."
