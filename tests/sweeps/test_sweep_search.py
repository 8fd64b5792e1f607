"""Searches: draws and refinement, which depend only on seed and results."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
from minidl.sweeps.search import as_search
from minidl.sweeps.trial import plan

RANGES = {"lam": dl.LogUniform(1e-5, 1e-1), "eta": dl.LogUniform(1e-3, 1), "units": [50, 100]}


@given(st.floats(1e-30, 1e30), st.floats(0, 1), st.integers(0, 100))
def test_a_draw_is_within_its_range_and_has_four_digits(low, decades, seed):
    high = low * 10 ** (6 * decades)
    value = dl.LogUniform(low, high).draw(np.random.default_rng(seed))
    assert low <= value <= high
    assert value in (low, high, float(f"{value:.4g}"))


def test_the_logarithms_of_draws_are_spread_evenly():
    rng = np.random.default_rng(0)
    logs = np.sort(np.log10([dl.LogUniform(1e-5, 1e-1).draw(rng) for _ in range(2000)]))
    uniform = np.linspace(-5, -1, 2000)
    assert np.abs(logs - uniform).max() < 4 * 1.63 / math.sqrt(2000)  # Kolmogorov and Smirnov's, at 1 %, of 4 decades


@given(st.floats(0.01, 1), st.floats(0, 1))
def test_near_a_value_the_range_is_narrower_and_within_the_old_one(share, place):
    whole = dl.LogUniform(1e-4, 1e2)
    value = 10 ** (-4 + 6 * place)
    near = whole.near(value, share)
    assert whole.low <= near.low <= value * (1 + 1e-12)
    assert value <= near.high * (1 + 1e-12) <= whole.high * (1 + 1e-9)
    assert math.log10(near.high / near.low) <= 6 * share + 1e-9
    if abs(place - 0.5) < 0.5 - share / 2:
        assert math.log10(near.high / near.low) == pytest.approx(6 * share)


def test_a_random_search_draws_each_parameter_and_more_trials_keep_those_before():
    asked = ((5, 0), (40, 0), (5, 1))
    few, many, other = (dl.RandomSearch(RANGES, trials).next_round([], seed) for trials, seed in asked)
    assert many[:5] == few
    assert not any(config in few for config in other)
    assert all(list(config) == ["lam", "eta", "units"] for config in many)
    assert {config["units"] for config in many} == {50, 100}
    assert len({config["lam"] for config in many}) == len({config["eta"] for config in many}) == 40
    assert dl.RandomSearch(RANGES, 5).next_round([[]], 0) == []


def bowl(config, seed):
    """Best at lam = 1e-3 and eta = 0.1, with some noise."""
    rng = np.random.default_rng(seed)
    distance = (math.log10(config["lam"]) + 3) ** 2 + (math.log10(config["eta"]) + 1) ** 2
    return {"val_loss": distance + 0.01 * rng.normal(), "val_accuracy": -distance}


@pytest.mark.parametrize("metric", ["val_loss", "val_accuracy"])
def test_coarse_to_fine_looks_ever_closer_around_the_best(tmp_path, metric):
    search = dl.CoarseToFine(RANGES, metric, trials=15, rounds=3, keep=2)
    result = dl.sweep(bowl, search, out=tmp_path / "a", verbose=0)
    rounds = [result.trials[start : start + 15] for start in (0, 15, 30)]
    spreads = []
    for before, after in [(rounds[0], rounds[1]), (rounds[0] + rounds[1], rounds[2])]:
        best = dl.SweepResult(before).best(metric, count=2).trials
        for trial, centre in zip(after, best * 8, strict=False):
            assert trial.config["units"] == centre.config["units"]
            spreads.append(abs(math.log10(trial.config["lam"] / centre.config["lam"])))
    assert 1 / 4 < max(spreads[:15]) <= 4 / 4 / 2 + 1e-3  # a quarter of four decades, half to each side
    assert 1 / 16 < max(spreads[15:]) <= 4 / 16 / 2 + 1e-3
    plain = dl.sweep(bowl, dl.RandomSearch(RANGES, 45), out=tmp_path / "b", verbose=0)
    reached, by_chance = (r.best("val_loss").trials[0].metrics["val_loss"] for r in (result, plain))
    assert reached < by_chance


def test_coarse_to_fine_finds_its_way_again_after_any_interruption(tmp_path):
    search = dl.CoarseToFine(RANGES, "val_loss", trials=4, rounds=3)
    sweep = partial(dl.sweep, bowl, search, verbose=0)
    whole = sweep(out=tmp_path / "whole")
    lines = (tmp_path / "whole").read_text().splitlines(keepends=True)
    for number in range(len(lines) + 1):
        (tmp_path / f"{number}").write_text("".join(lines[:number]))
        again = sweep(out=tmp_path / f"{number}")
        assert [(t.config, t.metrics) for t in again] == [(t.config, t.metrics) for t in whole]


def test_failed_trials_and_non_finite_numbers_attract_no_search(tmp_path):
    def mostly_fails(config, seed):
        if config["lam"] > 1e-3:
            raise ValueError("diverged")
        return {"val_loss": math.nan if config["lam"] > 1e-4 else config["lam"]}

    search = dl.CoarseToFine({"lam": RANGES["lam"]}, "val_loss", trials=12, rounds=2, keep=1)
    result = dl.sweep(mostly_fails, search, out=tmp_path / "a", verbose=0)
    assert len(result) == 24
    assert max(t.config["lam"] for t in result.trials[12:]) < 1e-4 * 10**0.5
    search = dl.CoarseToFine({"lam": dl.LogUniform(0.01, 0.1)}, "val_loss", trials=3)
    assert len(dl.sweep(mostly_fails, search, out=tmp_path / "b", verbose=0).failed) == 3  # and no second round


def test_a_metric_that_the_trials_do_not_have_is_named(tmp_path):
    search = dl.CoarseToFine(RANGES, "val_acuracy", trials=2)
    with pytest.raises(dl.InputError, match=r"no metric 'val_acuracy'; .* did you mean 'val_accuracy'"):
        dl.sweep(bowl, search, out=tmp_path / "a", verbose=0)


def test_configs_may_be_listed(tmp_path):
    class Two:
        def next_round(self, rounds, seed):
            return iter([{"x": 1}, {"x": 2}] if not rounds else [])

    assert dl.sweep(lambda config, seed: {}, Two(), out=tmp_path / "a", verbose=0)["x"] == [1, 2]
    assert as_search({"lam": x} for x in (1, 2)).next_round([], 0) == [{"lam": 1}, {"lam": 2}]
    assert as_search({"lam": range(2), "a": (3,)}).next_round([], 0) == [{"lam": 0, "a": 3}, {"lam": 1, "a": 3}]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dl.LogUniform(0, 1), "LogUniform: low: expected a finite number > 0, got 0"),
        (lambda: dl.LogUniform(1, 0.5), "LogUniform: high: expected a finite number >= 1, got 0.5"),
        (lambda: dl.RandomSearch({}, 3), r"RandomSearch: expected a dict such as .*, got \{\}"),
        (lambda: dl.RandomSearch({"lam": 0.1}, 3), "RandomSearch: lam: expected a sequence of at least one value"),
        (lambda: dl.CoarseToFine({"units": [1, 2]}, "loss"), "CoarseToFine: expected at least one LogUniform"),
        (lambda: dl.CoarseToFine(RANGES, "loss", mode="best"), "mode: expected 'auto', 'min' or 'max', got 'best'"),
        (lambda: dl.CoarseToFine(RANGES, "loss", rounds=0), "rounds: expected an integer >= 1, got 0"),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises(dl.InputError, match=message):
        make()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=6)


@given(st.dictionaries(names, values, max_size=5), st.integers(0, 2**40), st.randoms())
def test_the_key_of_a_config_knows_values_and_seed_but_no_order(config, seed, random):
    first = plan(config, seed)
    shuffled = list(config.items())
    random.shuffle(shuffled)
    assert first == plan(dict(shuffled), seed)
    assert first.config == config
    assert plan(config, seed + 1).key != first.key
    assert plan(config | {"more": 0}, seed).key != first.key or config.get("more", 1) == 0
    assert 0 <= first.seed < 2**32


def test_the_key_and_seed_of_a_trial_are_the_same_for_good():
    # Fixed values: if they changed, restarted sweeps of earlier versions would start from the beginning.
    assert plan({"lam": 0.1, "eta": 1, "act": "ReLU"}, 42) == (
        {"lam": 0.1, "eta": 1, "act": "ReLU"},
        "5ccb72a18b6106483fdc96d28410346f",
        546036935,
    )
