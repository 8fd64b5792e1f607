"""Kinks, ties, waves, rounding: what the checker makes of a gradient that is right beside the point alone."""

import numpy as np
import pytest
from function_layer import function_layer

import minidl as dl
from minidl import Verdict

POINT = np.array([0.0, 1.0, -2.0])


def sorting(dy, x):
    gradient = np.zeros_like(x)
    gradient[np.argsort(x, kind="stable")] = dy
    return gradient


def hidden_layer(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(4, 6)), rng.normal(size=(6, 3))
    f = lambda x: np.maximum(x @ first, 0) @ second  # noqa: E731
    return f, lambda dy, x: ((dy @ second.T) * (x @ first > 0)) @ first.T


@pytest.mark.parametrize("seed", range(20))
def test_many_kinks_at_one_point_are_never_called_wrong(seed):
    f, vjp = hidden_layer(seed)
    x = np.random.default_rng(seed).normal(size=(3, 4))
    x[1] = 0
    assert dl.check_function(f, vjp, x).verdict in (Verdict.PASS_SUBGRADIENT, Verdict.INCONCLUSIVE)
    wrong = dl.check_function(f, lambda dy, x: vjp(dy, x) * 1.001, x)
    assert wrong.verdict is Verdict.FAIL_VALUE


@pytest.mark.parametrize(
    ("f", "vjp", "x"),
    [
        (np.sort, sorting, np.array([1.0, 1.0, 1.0, 2.0])),
        (lambda x: np.sort(x)[-2:], lambda dy, x: sorting(np.array([0, 0, *dy]), x), np.array([1.0, 1.0, 1.0, 1.0])),
    ],
)
def test_a_choice_among_the_slopes_nearby_passes(f, vjp, x):
    assert dl.check_function(f, vjp, x).verdict is Verdict.PASS_SUBGRADIENT


@pytest.mark.parametrize("distance", [1e-3, 1e-4, 3e-5, 1e-5, 1e-6, 1e-7, 1e-8, 1e-12])
def test_however_near_a_kink_is_a_right_gradient_is_never_called_wrong(distance, rng):
    for _ in range(20):
        x = rng.uniform(0.5, 1.0, (2, 4)) * rng.choice([-1.0, 1.0], (2, 4))
        x[0, :2] *= distance
        assert dl.check_layer(dl.ReLU(), x).verdict is not Verdict.FAIL_VALUE


def test_a_wrong_choice_at_a_kink_is_no_pass_inside_a_network_either(rng):
    assert dl.check_layer(dl.ReLU(), POINT[None]).verdict is Verdict.PASS_SUBGRADIENT
    wrong = function_layer(lambda x: np.maximum(x, 0), lambda dy, x: dy * ((x > 0) + 2.0 * (x == 0)))
    report = dl.check_layer(wrong, POINT[None])
    assert report.verdict is Verdict.FAIL_VALUE
    assert report.findings[0].index == (0, 0)
    assert "the slopes of both sides of this kink" in report.findings[0].reason
    x = rng.normal(size=(16, 16))
    x[0, :7] = 0
    assert not dl.check_layer(dl.Sequential(wrong), x).ok
    assert not dl.check_layer(dl.Sequential(wrong, dl.Dense(16, 2, rng=0)), x).ok


@pytest.mark.parametrize(
    ("f", "vjp", "x"),
    [
        (np.max, lambda dy, x: dy * (x == x.max()), np.array([1.0, 1.0, 0.5])),  # all that tie get it
        (lambda x: np.maximum(x, 0), lambda dy, x: dy * ((x > 0) + 5.0 * (x == 0)), POINT),
        (np.abs, lambda dy, x: dy * np.where(x == 0, 2, np.sign(x)), POINT),
        (np.sinh, lambda dy, x: dy * np.cosh(x) * (x != 0), POINT),  # no kink at all
    ],
)
def test_what_is_no_slope_nearby_fails_and_says_that_it_is_right_beside(f, vjp, x):
    report = dl.check_function(f, vjp, x)
    assert report.verdict is Verdict.FAIL_VALUE
    assert any("right at nearby points" in note for note in report.notes)


def test_rounding_of_the_gradient_itself_is_no_fault():
    for c in (1e4, 1e6, 1e8, 1e9):
        for seed in range(5):
            x = np.random.default_rng(seed).normal(size=6)
            inside = dl.check_function(
                lambda x, c=c: np.var(c + x), lambda dy, x, c=c: dy * 2 * ((c + x) - (c + x).mean()) / len(x), x
            )
            outside = dl.check_function(np.var, lambda dy, x: dy * 2 * (x - x.mean()) / len(x), c + x)
            assert inside.verdict is not Verdict.FAIL_VALUE, inside
            assert outside.verdict is not Verdict.FAIL_VALUE, outside


@pytest.mark.parametrize("frequency", np.geomspace(1e3, 1e8, 11))
def test_waves_shorter_than_the_steps_are_not_called_wrong(frequency, rng):
    x = rng.uniform(-2, 2, 5)
    report = dl.check_function(lambda x: np.sin(frequency * x), lambda dy, x: dy * frequency * np.cos(frequency * x), x)
    assert report.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)


def test_a_tensor_that_has_no_slope_is_named_and_does_not_count():
    report = dl.check_function(lambda a, b: 2 * a, lambda dy, a, b: (2 * dy, 0 * b), POINT, np.array([1.0, 2.0]))
    assert report.verdict is Verdict.PASS
    assert report.resolution < 1e-10
    assert "argument 1" in str(report)
    assert "no slope exceeds its error bar" in str(report)


@pytest.mark.parametrize("choice", [0.0, 1.0])
def test_either_end_of_a_kink_passes_however_large_its_bars_are(choice):
    steep = lambda x: np.maximum(x, 0) + 1024 * x**2  # noqa: E731
    report = dl.check_function(steep, lambda dy, x: dy * np.where(x == 0, choice, (x > 0) + 2048 * x), POINT[:1])
    assert report.verdict is Verdict.PASS_SUBGRADIENT


def test_what_is_off_within_the_bars_could_hide_more():
    def resolution(error):
        return dl.check_function(np.sinh, lambda dy, x: (1 + error) * dy * np.cosh(x), POINT).resolution

    assert resolution(resolution(0) / 2) > 1.2 * resolution(0)


@pytest.mark.parametrize("offset", [0.0, 100.0, 1e4])
@pytest.mark.parametrize("name", ["tanh", "squares", "var", "sort", "ce"])
def test_what_the_resolution_promises_to_see_is_seen(name, offset):
    f, vjp = {
        "tanh": (lambda x: np.tanh(x - offset), lambda dy, x: dy * (1 - np.tanh(x - offset) ** 2)),
        "squares": (lambda x: x * x, lambda dy, x: 2 * dy * x),
        "var": (np.var, lambda dy, x: dy * 2 * (x - x.mean()) / len(x)),
        "sort": (np.sort, sorting),
        "ce": (
            lambda x: np.log(np.exp(x - x.max()).sum()) + x.max() - x[0],
            lambda dy, x: dy * (np.exp(x - x.max()) / np.exp(x - x.max()).sum() - (np.arange(len(x)) == 0)),
        ),
    }[name]
    for seed in range(5):
        x = offset + np.random.default_rng(seed).normal(size=6)
        right = dl.check_function(f, vjp, x)
        assert right.ok
        assert right.resolution < 1e-6
        wrong = dl.check_function(f, lambda dy, x, right=right: (1 + 3 * right.resolution) * vjp(dy, x), x)
        assert wrong.verdict is Verdict.FAIL_VALUE, (right, wrong)
