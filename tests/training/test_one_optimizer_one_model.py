"""One optimizer serves one model: which uses are refused, that nothing changes then, and which go on working."""

import copy
import gc
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from training_runs import everything, fit, images

import minidl as dl
from minidl.training.checkpoint import checkpoint_paths

RULES = {
    "SGD": lambda: dl.SGD(0.1),
    "momentum": lambda: dl.SGD(0.1, momentum=0.9),
    "schedule": lambda: dl.SGD(dl.CosineAnnealing(0.5, steps=50)),
    "Adam": lambda: dl.Adam(0.05),
    "clipped": lambda: dl.RMSProp(0.01, clip_norm=1.0),
}
every_rule = pytest.mark.parametrize("make", RULES.values(), ids=RULES)
refused = pytest.raises(dl.InputError, match=r"of another model, at '.*Make a new one for each model")


def a_model(hidden=8, dtype=np.float32, strength=0.01):
    layers = [
        dl.Flatten(),
        dl.Dense(72, hidden, rng=1, dtype=dtype),
        dl.ReLU(),
        dl.Dense(hidden, 3, rng=2, dtype=dtype),
    ]
    return dl.Model(dl.Sequential(*layers), dl.SoftmaxCrossEntropy(), dl.L2(strength))


def a_trainer(optimizer, model=None, callbacks=()):
    return dl.Trainer(model or a_model(), optimizer, callbacks, rng=0)


def train(optimizer, model=None, epochs=2):
    trainer = a_trainer(optimizer, model)
    fit(trainer, {}, epochs)
    return trainer


def alone():
    """A model whose parameters have other paths."""
    return dl.Model(dl.Sequential(dl.Sequential(dl.Flatten(), dl.Dense(72, 3, rng=0))), dl.SoftmaxCrossEntropy())


# ---- what is refused


@every_rule
@pytest.mark.parametrize(
    "other",
    [a_model, lambda: a_model(5), lambda: a_model(dtype=np.float64), alone, lambda: copy.deepcopy(a_model())],
    ids=["same shape", "other shape", "float64", "other paths", "copy"],
)
@pytest.mark.parametrize("alive", [True, False])
def test_another_model_is_refused_and_nothing_changes(make, other, alive):
    optimizer = make()
    first = train(optimizer)
    if not alive:
        kept, first = everything(first)["slots"], None
        gc.collect()
    second = a_trainer(optimizer, other())
    before = everything(second), second.model.weights().keys()
    for _ in range(2):
        with refused:
            fit(second, {}, 2)
        assert (everything(second), second.model.weights().keys()) == before
    with refused:
        second.model.compute_gradients(images().x, images().y)
        optimizer.step(second.model.parameters)
    assert everything(second) == before[0]
    assert first is None or everything(first)["slots"] == everything(second)["slots"]
    assert alive or kept == everything(second)["slots"]


def test_the_search_over_lambda_ends_with_an_error_and_not_with_untrained_models():
    optimizer = dl.SGD(dl.CosineAnnealing(0.1, steps=6))
    trained = []
    with refused:
        for strength in (0, 0.01, 0.1):
            trained.append(train(optimizer, a_model(strength=strength)).history["accuracy"][-1])
    assert len(trained) == 1
    each = [train(dl.SGD(dl.CosineAnnealing(0.1, steps=6)), a_model(strength=0)).history["loss"] for _ in range(3)]
    assert each[0] == each[1] == each[2]


@pytest.mark.parametrize("make", [lambda: dl.SGD(dl.CosineAnnealing(0.5, 50)), lambda: dl.Adam(0.05)])
def test_cross_validation_and_seeds_in_a_loop(make, rng):
    x = rng.normal(size=(200, 5))
    data = dl.Dataset(x, x[:, :3].argmax(axis=1))

    def losses(optimizers):
        found = []
        for optimizer in optimizers:
            trainer = dl.Trainer(dl.Model(dl.Dense(5, 3, rng=0), dl.SoftmaxCrossEntropy()), optimizer, rng=0)
            found.append(trainer.fit(data, epochs=5, batch_size=20)["loss"][-1])
        return found

    shared = make()
    with refused:
        losses([shared, shared, shared])
    assert len(set(losses([make(), copy.deepcopy(make()), copy.copy(make())]))) == 1


def test_a_rate_that_a_plateau_reduced_is_not_taken_to_the_next_model():
    plateau, optimizer = dl.ReduceLROnPlateau("loss", factor=0.5, patience=0, min_delta=10.0), dl.SGD(0.1)
    fit(a_trainer(optimizer, callbacks=[plateau]), {}, 3)
    assert optimizer.learning_rate == 0.025
    with refused:
        fit(a_trainer(optimizer, callbacks=[plateau]), {}, 3)
    assert fit(a_trainer(dl.SGD(0.1), callbacks=[plateau]), {}, 3)["learning_rate"] == [0.1, 0.1, 0.05]


def test_a_model_or_an_optimizer_that_is_swapped():
    trainer, other = train(dl.Adam(0.01)), train(dl.Adam(0.01))
    for name, value in [("model", a_model()), ("optimizer", other.optimizer)]:
        with pytest.raises(dl.InputError, match=f"{name} cannot be replaced; .*make a new Trainer"):
            setattr(trainer, name, value)
    with refused:
        fit(a_trainer(trainer.optimizer), {}, 1)
    fit(trainer, {}, 1)


def test_a_network_inside_another_one_has_other_paths():
    first = train(dl.Adam(0.01))
    outer = dl.Sequential(first.model.network, dl.Dense(3, 3, rng=0))
    with refused:
        train(first.optimizer, dl.Model(outer, dl.SoftmaxCrossEntropy()))


def test_a_rule_of_ones_own_and_a_loop_by_hand():
    class Signum(dl.Optimizer):
        def init_state(self, parameter):
            return {"mean": np.zeros_like(parameter.value)}

        def update(self, parameter, state, learning_rate):
            state["mean"] *= 0.9
            state["mean"] += parameter.grad
            parameter.value -= learning_rate * np.sign(state["mean"])

    optimizer = Signum(0.01)
    steps = 0
    with refused:
        for seed in range(2):
            model = dl.Model(dl.Sequential(dl.Flatten(), dl.Dense(72, 3, rng=seed)), dl.SoftmaxCrossEntropy())
            for x, y in images().batches(16):
                model.compute_gradients(x, y)
                optimizer.step(model.parameters)
                steps += 1
    assert optimizer.steps == steps == 3


def test_parts_of_a_model_that_are_stepped_in_turn_need_an_optimizer_each():
    # Parts with other paths cannot be told from another model; a whole that holds a known part is the same model.
    model = a_model()
    model.compute_gradients(images().x, images().y)
    parts = [{path: p for path, p in model.parameters.items() if path.startswith(part)} for part in "13"]
    optimizer = dl.Adam(0.01)
    optimizer.step(parts[0])
    for _ in range(2):
        with pytest.raises(dl.InputError, match="and for each part of a model that is stepped by itself"):
            optimizer.step(parts[1])
    assert optimizer.steps == 1
    optimizer.step(model.parameters)
    for part in parts * 2:
        optimizer.step(part)


def test_two_models_in_turn_and_in_threads():
    optimizer = dl.Adam(0.01)
    first, second = a_trainer(optimizer), a_trainer(optimizer)
    fit(first, {}, 1)
    with refused:
        fit(second, {}, 1)
    fit(first, {}, 1)
    optimizer = dl.Adam(0.01)
    trainers = [a_trainer(optimizer) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        errors = [run.exception() for run in [pool.submit(fit, trainer, {}, 3) for trainer in trainers]]
    assert sum(isinstance(error, dl.InputError) for error in errors) >= 1


def test_a_model_in_another_dtype_or_with_a_new_head_is_another_model():
    optimizer = dl.Adam(0.01)
    model = train(optimizer).model
    with refused:
        train(optimizer, model.astype(np.float64))
    body = model.network.layers[:-1]
    with pytest.raises(dl.InputError, match=r"at '3\.weight', '3\.bias';"):
        train(optimizer, dl.Model(dl.Sequential(*body, dl.Dense(8, 3, rng=9)), dl.SoftmaxCrossEntropy()))


def test_the_finder_refuses_it_as_well():
    optimizer = dl.Adam(0.01)
    train(optimizer)
    with refused:
        dl.find_learning_rate(a_trainer(optimizer), images(), steps=10)


def test_a_trial_with_an_optimizer_from_outside_fails_alone(tmp_path):
    optimizer = dl.Adam(0.01)
    result = dl.sweep(
        lambda config, seed: {"loss": train(optimizer, a_model(strength=config["strength"])).history["loss"][-1]},
        {"strength": [0.0, 0.1]},
        out=tmp_path / "out.jsonl",
        verbose=0,
    )
    assert [not trial.error for trial in result.trials] == [True, False]
    assert "Make a new one for each model" in result.trials[1].error


# ---- what goes on working


@every_rule
def test_the_same_model_goes_on(make):
    whole = train(make(), epochs=4)
    optimizer = make()
    first = train(optimizer)
    fit(first, {}, 2)
    assert everything(first) == everything(whole)
    # A second trainer, and a model made anew around the same network.
    fit(a_trainer(optimizer, first.model), {}, 1)
    with pytest.warns(UserWarning, match="by another Model"):
        fit(a_trainer(optimizer, dl.Model(first.model.network, dl.MulticlassHinge())), {}, 1)
    assert optimizer.steps == 18


@every_rule
@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda made: pickle.loads(pickle.dumps(made))])
def test_a_copy_serves_the_first_model_that_it_steps(make, copied):
    template = make()
    expected = everything(train(make()))
    for _ in range(2):
        # It shares nothing with the template, also where it is a shallow copy.
        assert everything(train(copied(template))) == expected
    trainer = train(make())
    model, optimizer = copy.deepcopy((trainer.model, trainer.optimizer))
    twin, other = a_trainer(optimizer, model), copied(trainer.optimizer)
    fit(twin, {}, 1)
    fit(trainer, {}, 1)
    assert everything(twin)["weights"] != expected["weights"]
    # A copy of a used one goes on with the model, and so with it alone.
    fit(a_trainer(other, trainer.model), {}, 1)
    with refused:
        fit(a_trainer(other), {}, 1)


def test_a_copied_trainer_goes_on_as_the_original():
    trainer = train(dl.Adam(0.01))
    twins = [copy.deepcopy(trainer), pickle.loads(pickle.dumps(trainer)), trainer]
    for twin in twins:
        fit(twin, {}, 1)
    assert everything(twins[0]) == everything(twins[1]) == everything(twins[2])


def test_a_checkpoint_replaces_the_state_so_the_model_may_be_another(tmp_path):
    optimizer = dl.Adam(0.01)
    first = a_trainer(optimizer, callbacks=[dl.Checkpoint(tmp_path, every_steps=2, keep=9)])
    fit(first, {}, 3)
    expected = everything(first)
    second = a_trainer(optimizer)
    fit(second, {}, 3, resume_from=checkpoint_paths(tmp_path)[-1])
    assert everything(second) == expected
    fit(second, {}, 1)
    with refused:
        fit(a_trainer(optimizer, first.model), {}, 1)


def test_a_state_that_is_put_in_place_of_the_old_one_may_be_of_another_model():
    used = train(dl.Adam(0.01)).optimizer
    used.state, used.steps = {}, 0
    assert everything(train(used)) == everything(train(dl.Adam(0.01)))
    other = dl.Adam(0.01)
    other.state = copy.deepcopy(used.state)
    for model in (a_model(5), a_model(dtype=np.float64)):
        with pytest.raises(dl.ShapeError, match=r"remembers parameters of other shapes or dtypes: at '1\.weight'"):
            train(other, model)
    with refused:
        train(other, alone())


def test_freezing_in_parts_and_growing():
    optimizer = dl.Adam(0.01)
    model = a_model()
    body, head = model.network.layers[1], model.network.layers[3]
    body.freeze()
    trainer = train(optimizer, model)
    body.unfreeze()
    head.freeze()
    fit(trainer, {}, 1)
    head.unfreeze()
    fit(trainer, {}, 1)
    grown = dl.Sequential(*model.network.layers, dl.Dense(3, 3, rng=3))
    assert sorted(train(optimizer, dl.Model(grown, dl.SoftmaxCrossEntropy())).optimizer.state) == [
        f"{i}.{name}" for i in (1, 3, 4) for name in ("bias", "weight")
    ]
    # And without its new end.
    fit(trainer, {}, 1)


def test_a_fit_that_never_took_a_step_leaves_the_optimizer_free():
    optimizer = dl.Adam(0.01)
    fit(a_trainer(optimizer), {}, 0)
    spoilt = a_model()
    spoilt.parameters["1.weight"].value[0, 0] = np.nan
    with pytest.raises(dl.NonFiniteError):
        train(optimizer, spoilt)
    assert everything(train(optimizer)) == everything(train(dl.Adam(0.01)))


def test_diagnostics_leave_it_free_and_serve_in_the_middle_of_training():
    trainer = a_trainer(dl.Adam(0.01))
    for _ in range(2):
        dl.sanity_check(trainer, images())
        dl.find_learning_rate(trainer, images(), steps=10)
        fit(trainer, {}, 1)
    assert trainer.optimizer.steps == 6
