"""summarize: what the numbers of the settings mean, in sentences that are computed from them."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from minidl.lab_report.runs import Outcome, Setting
from minidl.training.describe import accuracy_error, number

CLASSES = 10
# Each of them was measured on as many images.
PUBLISHED_IMAGES = 10_000
# With fewer epochs the second half of a curve is too short to be judged.
_ENOUGH_EPOCHS = 8


class _Result(NamedTuple):
    """The runs of a setting: means over its seeds."""

    setting: Setting
    runs: list[Outcome]
    accuracy: float
    # Standard error of the accuracy: of the choice of test images and of the seeds.
    error: float
    gap: float
    loss: float
    weight_norm: float


class _Difference(NamedTuple):
    """A difference of two accuracies."""

    value: float
    error: float

    @property
    def errors(self) -> float:
        """How many standard errors it is large."""
        return abs(self.value) / self.error

    def __str__(self) -> str:
        return f"{100 * abs(self.value):.2f} points ({self.errors:.1f} standard errors)"


def summarize(outcomes: Sequence[Outcome], test_images: int, published: bool) -> list[str]:
    """Return up to five short texts: the best setting, the effect of η and of λ, the published report, the uncertainty.

    A difference of two accuracies counts as real from two standard errors on, and one from the published report from
    three on. The error is that of independent test images, which for the same images is on the safe side.

    Parameters
    ----------
    outcomes : sequence of Outcome
        At least one.
    test_images : int
        How many images each test accuracy was measured on.
    published : bool
        Whether the images are those of the published report.
    """
    settings = list(dict.fromkeys(o.setting for o in outcomes))
    results = [_result([o for o in outcomes if o.setting == setting], test_images) for setting in settings]
    texts = [_best(results), _rate(results), _penalty(results)]
    texts += [_published(results)] if published else []
    return [text for text in [*texts, _uncertainty(results, test_images)] if text]


def _result(runs: list[Outcome], images: int) -> _Result:
    accuracies = [o.test_accuracy for o in runs]
    mean = float(np.mean(accuracies))
    seeds = float(np.std(accuracies, ddof=1)) / math.sqrt(len(runs)) if len(runs) > 1 else 0.0
    # An accuracy of 0 or 1 has an error, too.
    error = math.hypot(max(accuracy_error(mean, images), 1 / images), seeds)
    last = [o.history.rows[-1] for o in runs]
    gap = float(np.mean([row["val_loss"] - row["loss"] for row in last]))
    loss = float(np.mean([row["loss"] for row in last]))
    return _Result(runs[0].setting, runs, mean, error, gap, loss, float(np.mean([_norm(o) for o in runs])))


def _norm(o: Outcome) -> float:
    weights = [p.value.astype(np.float64) for p in o.model.parameters.values() if p.penalized]
    return math.sqrt(sum(float(np.sum(w * w)) for w in weights))


def _between(a: _Result, b: _Result) -> _Difference:
    return _Difference(a.accuracy - b.accuracy, math.hypot(a.error, b.error))


def _best(results: list[_Result]) -> str:
    """Say which setting is best, or between which the run does not decide."""
    best, *others = sorted(results, key=lambda r: -r.accuracy)
    share = _percent(best.accuracy)
    guess = f"guessing gets {100 / CLASSES:g} %"
    if best.accuracy - 1 / CLASSES < 2 * best.error:
        return (
            f"No setting is measurably better than guessing ({guess}): the highest test accuracy is "
            f"{share} ({best.setting.title})."
        )
    text = f"{best.setting.title} has the highest test accuracy, {share} ({guess})"
    close = [f"{r.setting.title} ({_percent(r.accuracy)})" for r in others if _between(best, r).errors < 2]
    if len(close) == 1:
        below = f"{close[0]} is only {_between(best, others[0])} below"
        return f"{text}, but {below}. This run does not show which of the two is better."
    if close:
        below = f"{_listed(close)} are less than 2 standard errors below"
        return f"{text}, but {below}. This run does not show which of the {len(close) + 1} is best."
    return f"{text}: {_between(best, others[0])} above the next, {others[0].setting.title}." if others else f"{text}."


def _rate(results: list[_Result]) -> str:
    """Say what the largest learning rate does, next to a smaller one with the same λ."""
    large = max(results, key=lambda r: r.setting.eta)
    smaller = [r for r in results if r.setting.lam == large.setting.lam and r.setting.eta < large.setting.eta]
    if not smaller:
        return ""
    small = max(smaller, key=lambda r: r.setting.eta)
    etas = [f"η = {r.setting.eta:g}" for r in (large, small)]
    difference = _between(large, small)
    effect = f"is {difference} {'higher' if difference.value > 0 else 'lower'} with {etas[0]}"
    if difference.errors < 2:
        effect = f"differs by {difference}, which is within chance"
    seed = f" (curves of seed {large.runs[0].seed})" if len(large.runs) > 1 else ""
    courses = "; ".join(f"{eta} {_course(r)}" for eta, r in zip(etas, (large, small), strict=True))
    return f"With λ = {large.setting.lam:g}{seed}, {courses}. The test accuracy {effect}."


def _course(result: _Result) -> str:
    """Return what the curves of the first seed do in the second half of the training."""
    history = result.runs[0].history
    training, validation = history["loss"], history["val_loss"]
    pairs = zip(history["epoch"], training, validation, strict=True)
    bad = [epoch for epoch, *losses in pairs if not all(map(math.isfinite, losses))]
    if bad:
        return f"diverges (the loss is not finite in {len(bad)} of {len(training)} epochs, the first being {bad[0]})"
    if len(training) < _ENOUGH_EPOCHS:
        return f"ran for too few epochs ({len(training)}) to judge its curve"
    half = len(training) // 2
    early, late = training[:half], training[half:]
    if np.mean(late) > 1.5 * np.mean(early):
        halves = f"mean {number(float(np.mean(early)))} in the first half, {number(float(np.mean(late)))} in the second"
        return f"diverges (the training loss grows: {halves})"
    rises = sum(after >= 1.01 * before for before, after in pairwise(late))
    low, high = min(validation[half:]), max(validation[half:])
    span = f"the validation loss was between {number(low)} and {number(high)}"
    rose = f"rose {'once' if rises == 1 else f'{rises} times'}" if rises else "never rose"
    jumps = f"in the last {len(late)} epochs the training loss {rose} by 1 % or more, and {span}"
    if rises >= (len(late) - 1) / 4 and high >= 1.1 * low:
        return f"never settles ({jumps})"
    if late[-1] < 0.98 * late[0]:
        return f"is still falling at the end ({jumps})"
    return f"settles ({jumps})"


def _penalty(results: list[_Result]) -> str:
    """Say what λ does at equal η, from the smallest to the largest."""
    groups = [[r for r in results if r.setting.eta == eta] for eta in {r.setting.eta: None for r in results}]
    group = sorted(max(groups, key=len), key=lambda r: r.setting.lam)
    if len(group) < 2:
        return ""
    first, last = group[0], group[-1]
    way = f"as λ goes from {' to '.join(f'{r.setting.lam:g}' for r in group)} (η = {first.setting.eta:g})"
    if not all(math.isfinite(r.gap) for r in group):
        return f"The effect of λ cannot be judged {way}: a loss is not finite."
    gaps = " to ".join(_signed(r.gap) for r in group)
    change = last.gap - first.gap
    if max(abs(first.gap), abs(last.gap)) < 0.02 * first.loss:
        gap = f"is below 2 % of the training loss {way}, with and without penalty: {gaps}"
    elif abs(change) < 0.1 * abs(first.gap):
        gap = f"hardly changes {way}: from {gaps}"
    else:
        gap = f"{'shrinks' if change < 0 else 'grows, against the purpose of a penalty,'} {way}: from {gaps}"
    difference = _between(last, first)
    effect = "within chance" if difference.errors < 2 else "a gain" if difference.value > 0 else "a loss"
    norms = " to ".join(number(r.weight_norm) for r in group)
    return (
        f"The gap between validation and training loss {gap}. The norm of the weights goes from {norms}. "
        f"The test accuracy goes from {' to '.join(_percent(r.accuracy) for r in group)}: "
        f"the change from the first to the last, {difference}, is {effect}."
    )


def _published(results: list[_Result]) -> str:
    """Say how far each test accuracy is from the published one."""
    differences = []
    for r in results:
        theirs = r.setting.published
        error = math.hypot(r.error, accuracy_error(theirs, PUBLISHED_IMAGES))
        differences.append(_Difference(r.accuracy - theirs, error))
    off = [r.setting.title for r, d in zip(results, differences, strict=True) if d.errors > 3]
    names = f"all {len(off)}" if len(off) == len(results) else _listed(off)
    verdict = f"{names} {'is' if len(off) == 1 else 'are'} off by more than 3" if off else "none is off by more than 3"
    points = ", ".join(_signed(100 * d.value, 2, plus=True) for d in differences)
    errors = ", ".join(f"{d.errors:.1f}" for d in differences)
    return (
        f"In the order of the table, the test accuracies differ from the published ones by {points} points. "
        f"In standard errors that is {errors}: {verdict}."
    )


def _uncertainty(results: list[_Result], images: int) -> str:
    error = max(accuracy_error(r.accuracy, images) for r in results)
    count = f"{images:,}" if images >= 10_000 else images
    text = f"One accuracy over {count} test images has a standard error of up to {100 * error:.2f} points"
    seeds = len(results[0].runs)
    if seeds == 1:
        return f"{text}; there is one seed, so the effect of another start and order of images is not measured."
    spreads = [100 * float(np.std([o.test_accuracy for o in r.runs], ddof=1)) for r in results if len(r.runs) > 1]
    return f"{text}; over {seeds} seeds the standard deviation was {min(spreads):.2f} to {max(spreads):.2f} points."


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _signed(value: float, decimals: int = 3, *, plus: bool = False) -> str:
    text = f"{value:{'+' if plus else ''},.{decimals}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _listed(texts: list[str]) -> str:
    """Return the texts as a list in a sentence; they have commas themselves."""
    return " and ".join(part for part in ("; ".join(texts[:-1]), *texts[-1:]) if part)
