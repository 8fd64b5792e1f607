"""The summary says what the numbers show: other numbers, other sentences."""

import math
import re

import pytest

import minidl as dl
from minidl.lab_report.runs import SETTINGS, Outcome
from minidl.lab_report.summary import results_of, summarize

SMOOTH = [2.0 * 0.98**epoch + 1 for epoch in range(40)]
FLAT = [2.0] * 40
JUMPS = [3.0, 5.0, 4.0, 6.0] * 10
PUBLISHED = [setting.published for setting in SETTINGS]


def outcome(setting, accuracy, losses=FLAT, gap=0.0, weight=1.0, seed=42):
    rows = ({"loss": loss, "val_loss": loss + gap, "val_accuracy": accuracy} for loss in losses)
    return Outcome(setting, seed, dl.History(rows), "", accuracy, weight, 1.0, {})


def summary(accuracies, *, losses=FLAT, gaps=(0, 0, 0, 0), published=False, images=10_000, weights=(1, 1, 1, 1)):
    """Return the summary of four settings; `losses` are of the first one, several seeds are a list of accuracies."""
    outcomes = []
    for setting, shares, gap, weight in zip(SETTINGS, accuracies, gaps, weights, strict=True):
        curve = losses if setting is SETTINGS[0] else FLAT
        for seed, share in enumerate(shares if isinstance(shares, list) else [shares], 42):
            outcomes.append(outcome(setting, share, curve, gap, weight, seed))
    return " ".join(summarize(results_of(outcomes, images), images, published))


def says(text, *words):
    """Whether a text has these numbers and words, in this order."""
    return re.search(".*".join(map(re.escape, words)), text) is not None


@pytest.mark.parametrize(
    ("accuracies", "images", "words", "absent"),
    [
        ([0.2, 0.45, 0.40, 0.35], 10_000, ["choose", "λ = 0, η = 0.001", "45.00 %", "highest"], "cannot say"),
        (
            [0.2, 0.45, 0.40, 0.35],
            10_000,
            ["λ = 0.1, η = 0.001", "5.00 percentage points", "7.2", "lower"],
            "cannot say",
        ),
        ([0.2, 0.35, 0.40, 0.45], 10_000, ["choose", "λ = 1, η = 0.001", "45.00 %", "highest"], "cannot say"),
        ([0.2, 0.391, 0.389, 0.3], 10_000, ["0.20 percentage points", "0.3", "best 2", "cannot say"], "measurably"),
        ([0.2, 0.45, 0.40, 0.35], 100, ["best 3", "cannot say"], "measurably"),
        ([0.1, 0.102, 0.1, 0.1], 10_000, ["No setting", "better than random guessing"], "second"),
        # The spread over seeds counts as well.
        ([0.2, [0.35, 0.55], [0.3, 0.5], 0.2], 10_000, ["best 2", "cannot say"], "measurably"),
        ([0.2, [0.449, 0.451], [0.40, 0.401], 0.2], 10_000, ["4.95 percentage points"], "cannot say"),
    ],
)
def test_the_best_setting(accuracies, images, words, absent):
    text = summary(accuracies, images=images)
    assert says(text, *words)
    assert absent not in text
    assert "On the test images" not in text


def test_another_choice_by_validation_is_named():
    first, second, *others = (outcome(s, 0.4 - k / 100) for k, s in enumerate(SETTINGS))
    first.history.rows[-1]["val_accuracy"] = 0.3
    texts = summarize(results_of([first, second, *others], 10_000), 10_000, False)
    assert says(" ".join(texts), "choose", "λ = 0, η = 0.001", "39.00 %", "λ = 0, η = 0.1 is 1.00", "cannot say")


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        (JUMPS, ["never settles", "20 epochs", "1 %", "10 of 19", "3.000", "6.000"]),
        ([5.0, *FLAT[1:]], ["η = 0.1", " settles", "20 epochs", "never rises"]),
        (SMOOTH, ["η = 0.1", "still improves slowly", "2.335", "1.910"]),
        ([2.0 * 1.1**epoch for epoch in range(40)], ["diverges", "5.727", "38.53"]),
        ([*FLAT[:30], *[math.nan] * 10], ["diverges", "not stay finite"]),
        # Less than 1 % is no jump.
        ([2.0, 2.01] * 20, ["η = 0.1", " settles"]),
    ],
)
def test_what_the_curve_of_the_large_rate_does(losses, words):
    text = summary([0.2, 0.4, 0.4, 0.4], losses=losses)
    assert says(text, *words, "η = 0.001", "settles")
    assert ("too large" in text) is (words[0] in ("never settles", "diverges"))


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (0.3, ["η = 0.1", "10.00 percentage points", "14.9", "lower"]),
        (0.5, ["η = 0.1", "10.00 percentage points", "higher"]),
        (0.401, ["0.10 percentage points", "may be chance"]),
    ],
)
def test_what_the_large_rate_does_to_the_accuracy(first, words):
    assert says(summary([first, 0.4, 0.4, 0.4]), *words)


@pytest.mark.parametrize(
    ("gaps", "words"),
    [
        ((0, 0.2, 0.15, 0.06), ["shrinks", "0.200", "0.150", "0.060"]),
        ((0, 0.06, 0.15, 0.2), ["grows, against the purpose of a penalty"]),
        ((0, 0.2, 0.25, 0.199), ["hardly changes", "0.200"]),
        ((0, 0.004, 0.0, -0.005), ["hardly changes", "0.004", "0.000", "\N{MINUS SIGN}0.005"]),
        ((0, 0.2, 0.1, math.inf), ["not finite"]),
    ],
)
def test_what_the_penalty_does_to_the_gap(gaps, words):
    assert says(summary([0.2, 0.4, 0.4, 0.4], gaps=gaps), *words)


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (0.37, ["λ = 1", "3.00 percentage points", "4.4", "lower", "λ = 0"]),
        (0.43, ["λ = 1", "3.00 percentage points", "higher", "λ = 0"]),
        (0.401, ["0.10 percentage points", "may be chance"]),
    ],
)
def test_what_the_penalty_does_to_accuracy_and_weights(last, words):
    assert says(summary([0.2, 0.4, 0.4, last], weights=(9, 3, 2, 12345)), "3.000", "12,345", *words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ((0, 0.001, -0.001, 0), ["agree", "0.10 percentage points", "0.1", "λ = 0, η = 0.001"]),
        ((0, 0, -0.03, 0), ["More than 3", "λ = 0.1, η = 0.001", "3.00 percentage points", "4.4"]),
        ((0, 0.03, -0.03, 0), ["More than 3", "λ = 0, η = 0.001; λ = 0.1, η = 0.001."]),
    ],
)
def test_how_the_numbers_agree_with_the_published(changes, words):
    accuracies = [share + change for share, change in zip(PUBLISHED, changes, strict=True)]
    assert says(summary(accuracies, published=True), *words)
    assert "published" not in summary(accuracies)


def test_curves_of_few_epochs_are_not_judged():
    text = summary([0.2, 0.4, 0.4, 0.4], losses=JUMPS[:5])
    assert says(text, "too few epochs (5)")
    assert "settles" not in text


def test_the_uncertainty():
    assert says(summary([0.5] * 4), "10,000", "0.50 percentage points", "one random seed")
    assert says(summary([0.1] * 4, images=100), "100", "3.00 percentage points")
    seeds = summary([[0.3, 0.32], [0.4, 0.4], [0.4, 0.41], [0.4, 0.4]])
    assert says(seeds, "Standard deviation", "0.00 to 1.41 percentage points")
