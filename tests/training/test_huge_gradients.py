"""Gradients whose squares a dtype cannot hold: the step is refused whole, and what the rule remembers stays finite."""

import copy
import pickle

import numpy as np
import pytest

import minidl as dl

RULES = {
    "Adam": dl.Adam,
    "AdamW": dl.AdamW,
    "NAdam": dl.NAdam,
    "RMSProp": dl.RMSProp,
    "RMSProp with momentum": lambda rate, **options: dl.RMSProp(rate, momentum=0.9, **options),
    "Adagrad": dl.Adagrad,
}


def parameters(gradient, dtype=np.float32):
    """A quiet parameter, and one with a single entry of the gradient."""
    found = {"first": dl.Parameter(np.ones(3), dtype=dtype), "w": dl.Parameter(np.ones((2, 2)), dtype=dtype)}
    for parameter in found.values():
        parameter.add_grad(np.ones(parameter.value.shape, dtype))
    found["w"].grad[1, 0] = gradient
    return found


def bits(optimizer, found):
    return pickle.dumps((optimizer.steps, optimizer.state, {path: p.value for path, p in found.items()}))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rule", RULES)
def test_a_step_is_taken_whole_or_not_at_all(rule, dtype):
    huge = 1e20 if dtype is np.float32 else 1e160
    for before in (0, 3):
        optimizer = RULES[rule](0.1)
        found = parameters(1.0, dtype)
        for _ in range(before):
            optimizer.step(found)
        found["w"].grad[1, 0] = huge
        was = bits(optimizer, found)
        for _ in range(2):
            with pytest.raises(
                dl.NonFiniteError, match=rf"^the gradient of w: .*{dtype.__name__}, got 1e\+\d+ at index .1, 0"
            ):
                optimizer.step(found)
            assert bits(optimizer, found) == was
        # The next ordinary gradient is taken as if nothing had been.
        found["w"].grad[1, 0] = 1.0
        optimizer.step(found)
        assert len({*found["w"].value.ravel().tolist(), *found["first"].value.tolist()}) == 1


@pytest.mark.parametrize("rule", RULES)
def test_however_often_it_comes_what_is_remembered_stays_finite(rule):
    optimizer, found = RULES[rule](0.1), parameters(9e18)
    for _ in range(50):
        try:
            optimizer.step(found)
        except dl.NonFiniteError:
            assert rule == "Adagrad"
    assert all(np.isfinite(array).all() for array in optimizer.state["w"].values())
    before = found["w"].value.copy()
    found["w"].grad[...] = 1.0
    optimizer.step(found)
    assert (found["w"].value != before).any()


def test_squares_that_do_not_change_a_large_sum_pass_for_ever():
    optimizer, found = dl.Adagrad(0.1), parameters(1e15)
    optimizer.step(found)
    optimizer.state["w"]["total"][...] = 1.7e38
    for _ in range(100):
        optimizer.step(found)
    assert np.isfinite(optimizer.state["w"]["total"]).all()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("option", ["clip_norm", "clip_value"])
def test_clipped_gradients_are_judged_as_they_are_taken(rule, option):
    optimizer, found = RULES[rule](0.1, **{option: 1.0}), parameters(1e20)
    optimizer.step(found)
    assert np.isfinite(found["w"].value).all()
    assert found["w"].value[1, 0] < 1.0


def test_a_frozen_parameter_is_not_looked_at():
    optimizer, found = dl.Adam(0.1), parameters(1e20)
    found["w"].trainable = False
    optimizer.step(found)
    assert list(optimizer.state) == ["first"]


class Burst(dl.MeanSquaredError):
    """Squared error whose gradient is 1e20 times as large at one call."""

    def __init__(self, at):
        self.calls, self.at = 0, at

    def backward(self):
        self.calls += 1
        return super().backward() * np.float32(1e20 if self.calls == self.at else 1)


def run(nonfinite, at=3, **options):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 4))
    data = dl.Dataset(x, x[:, :1])
    model = dl.Model(dl.Dense(4, 1, rng=0), Burst(at))
    trainer = dl.Trainer(model, dl.Adam(0.05, **options), rng=0)
    return trainer, lambda epochs=6: trainer.fit(data, epochs=epochs, batch_size=10, nonfinite=nonfinite)


def test_training_ends_with_the_parameters_name():
    trainer, fit = run("raise")
    with pytest.raises(dl.NonFiniteError, match=r"epoch 1, after step 2: batch 3: the gradient of weight: .*clip"):
        fit()
    assert trainer.optimizer.steps == 2
    again = copy.deepcopy(trainer.model)
    assert all(np.isfinite(array).all() for array in again.weights().values())


@pytest.mark.parametrize("nonfinite", ["skip", "ignore"])
def test_training_leaves_the_step_out_and_goes_on_learning(nonfinite):
    trainer, fit = run(nonfinite)
    losses = fit()["loss"]
    assert trainer.skipped_steps == 1
    assert losses[-1] < 0.5 * losses[0]
    clipped, fit = run("raise", clip_norm=1.0)
    assert fit()["loss"][-1] < 0.5 * losses[0]
    assert clipped.skipped_steps == 0
