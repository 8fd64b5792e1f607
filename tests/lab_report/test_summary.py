"""The summary says what the numbers show: other numbers, other sentences."""

import math

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
    """Summarize the four settings; `losses` are those of the first one, and several seeds are a list of accuracies."""
    outcomes = []
    for setting, shares, gap, weight in zip(SETTINGS, accuracies, gaps, weights, strict=True):
        curve = losses if setting is SETTINGS[0] else FLAT
        for seed, share in enumerate(shares if isinstance(shares, list) else [shares], 42):
            outcomes.append(outcome(setting, share, curve, gap, weight, seed))
    return summarize(results_of(outcomes, images), images, published)


@pytest.mark.parametrize(
    ("accuracies", "images", "words", "absent"),
    [
        ([0.2, 0.45, 0.40, 0.35], 10_000, "λ = 0, η = 0.001 has the highest test accuracy, 45.00 %", "does not show"),
        (
            [0.2, 0.45, 0.40, 0.35],
            10_000,
            "next is λ = 0.1, η = 0.001, 5.00 points (7.2 standard errors) below.",
            "does not",
        ),
        ([0.2, 0.35, 0.40, 0.45], 10_000, "λ = 1, η = 0.001 has the highest test accuracy, 45.00 %", "does not show"),
        (
            [0.2, 0.391, 0.389, 0.3],
            10_000,
            "0.20 points (0.3 standard errors) below. The 2 highest lie within 2 standard errors",
            "measurably",
        ),
        ([0.2, 0.45, 0.40, 0.35], 100, "The 3 highest lie", "measurably"),
        ([0.1, 0.102, 0.1, 0.1], 10_000, "No setting is measurably better than guessing", "next"),
        # The spread over seeds counts as well.
        ([0.2, [0.35, 0.55], [0.3, 0.5], 0.2], 10_000, "The 2 highest lie", "measurably"),
        ([0.2, [0.449, 0.451], [0.40, 0.401], 0.2], 10_000, "4.95 points", "does not"),
    ],
)
def test_the_best_setting(accuracies, images, words, absent):
    text = summary(accuracies, images=images)[0]
    assert words in text
    assert absent not in text


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        (
            JUMPS,
            "never settles (last 20 epochs: training loss up by 1 % or more in 10, validation loss 3.000 to",
        ),
        ([5.0, *FLAT[1:]], "η = 0.1 settles (last 20 epochs: training loss up by 1 % or more in 0, "),
        (SMOOTH, "η = 0.1 is still falling at the end"),
        (
            [2.0 * 1.1**epoch for epoch in range(40)],
            "η = 0.1 diverges (the mean training loss was 5.727 in the first",
        ),
        (
            [*FLAT[:30], *[math.nan] * 10],
            "η = 0.1 diverges (the loss does not stay finite)",
        ),
        (JUMPS[:5], "η = 0.1 ran for too few epochs (5)"),
        # Less than 1 % is no jump.
        ([2.0, 2.01] * 20, "η = 0.1 settles"),
    ],
)
def test_what_the_curve_of_the_large_rate_does(losses, words):
    text = summary([0.2, 0.4, 0.4, 0.4], losses=losses)[1]
    assert text.startswith("η = 0.1 is too large. ") is ("never" in words or "diverges" in words)
    assert words in text
    assert "η = 0.001 settles" in text


@pytest.mark.parametrize(
    ("first", "words"),
    [(0.3, "10.00 points (14.9 standard errors) lower"), (0.5, "higher with η = 0.1"), (0.401, "within chance")],
)
def test_what_the_large_rate_does_to_the_accuracy(first, words):
    assert words in summary([first, 0.4, 0.4, 0.4])[1]


@pytest.mark.parametrize(
    ("gaps", "words"),
    [
        (
            (0, 0.2, 0.15, 0.06),
            "training loss shrinks (0.200 to 0.150 to 0.060)",
        ),
        ((0, 0.06, 0.15, 0.2), "training loss grows, against the purpose of a penalty ("),
        ((0, 0.2, 0.25, 0.199), "training loss hardly changes (0.200"),
        ((0, 0.004, 0.0, -0.005), "hardly changes (0.004 to 0.000 to \N{MINUS SIGN}0.005)"),
        ((0, 0.2, 0.1, math.inf), "is not finite"),
    ],
)
def test_what_the_penalty_does_to_the_gap(gaps, words):
    assert words in summary([0.2, 0.4, 0.4, 0.4], gaps=gaps)[2]


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (0.37, "from 40.00 % to 40.00 % to 37.00 %, a loss of 3.00 points (4.4 standard"),
        (0.43, ", a gain of 3.00 points"),
        (0.401, ", within chance: 0.10 points"),
    ],
)
def test_what_the_penalty_does_to_accuracy_and_weights(last, words):
    text = summary([0.2, 0.4, 0.4, last], weights=(9, 3, 2, 12345))[2]
    assert words in text
    assert "norm of the weights goes from 3.000 to 2.000 to 12,345." in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            (0, 0.001, -0.001, 0),
            "\N{MINUS SIGN}0.10, +0.00 points. In standard errors that is 0.0, 0.1, 0.1, 0.0; more than 3: none.",
        ),
        ((0, 0, -0.03, 0), "more than 3: λ = 0.1, η = 0.001."),
        ((0, 0.03, -0.03, 0), "more than 3: λ = 0, η = 0.001; λ = 0.1, η = 0.001."),
    ],
)
def test_how_the_numbers_agree_with_the_published(changes, words):
    accuracies = [share + change for share, change in zip(PUBLISHED, changes, strict=True)]
    texts = summary(accuracies, published=True)
    assert words in texts[3]
    assert len(texts) == 5
    assert not any("published" in text for text in summary(accuracies))


def test_the_uncertainty():
    assert "over 10,000 test images has a standard error of up to 0.50 points; there is one" in summary([0.5] * 4)[-1]
    assert "over 100 test images has a standard error of up to 3.00 points" in summary([0.1] * 4, images=100)[-1]
    seeds = summary([[0.3, 0.32], [0.4, 0.4], [0.4, 0.41], [0.4, 0.4]])[-1]
    assert "over 2 seeds the standard deviation was 0.00 to 1.41 points" in seeds
