"""An optimizer belongs to one model: which uses are refused, that nothing changes then, and which uses are allowed."""

import copy
import gc
import pickle

import numpy as np
import pytest
from training_runs import everything, fit, images

import minidl as dl
from minidl.training.checkpoint import checkpoint_paths

RULES = {
    "schedule": lambda: dl.SGD(dl.CosineAnnealing(0.5, steps=50), momentum=0.9),
    "Adam": lambda: dl.Adam(0.05),
    "clipped": lambda: dl.RMSProp(0.01, clip_norm=1.0),
}
every_rule = pytest.mark.parametrize("make", RULES.values(), ids=RULES)
refused = pytest.raises(dl.InputError, match=r"another one .*'.*Make a new optimizer")


def model_of(*layers):
    return dl.Model(dl.Sequential(*layers), dl.SoftmaxCrossEntropy(), dl.L2(0.01))


def a_model(hidden=8):
    return model_of(dl.Flatten(), dl.Dense(72, hidden, rng=1), dl.ReLU(), dl.Dense(hidden, 3, rng=2))


def a_trainer(optimizer, model=None, callbacks=()):
    return dl.Trainer(model or a_model(), optimizer, callbacks, rng=0)


def train(optimizer, model=None, epochs=2):
    trainer = a_trainer(optimizer, model)
    fit(trainer, {}, epochs)
    return trainer


# ---- refused uses

# Each function makes another model from the first one.
OTHERS = {
    "same shape": lambda first: a_model(),
    "other shape": lambda first: a_model(5),
    "float64": lambda first: first.astype(np.float64),
    "other paths": lambda first: model_of(dl.Sequential(dl.Flatten(), dl.Dense(72, 3, rng=0))),
    "copy": copy.deepcopy,
    "new head": lambda first: model_of(*first.network.layers[:-1], dl.Dense(8, 3, rng=9)),
    "within another network": lambda first: model_of(first.network, dl.Dense(3, 3, rng=0)),
}


@every_rule
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("alive", [True, False])
def test_another_model_is_refused_and_nothing_changes(make, other, alive):
    optimizer = make()
    first = train(optimizer)
    second, slots = a_trainer(optimizer, OTHERS[other](first.model)), everything(first)["slots"]
    if not alive:
        first = None
        gc.collect()
    before = everything(second), second.model.weights().keys()
    for _ in range(2):
        with refused:
            fit(second, {}, 2)
        assert (everything(second), second.model.weights().keys()) == before
    with refused:
        dl.find_learning_rate(second, images(), steps=10)
    with refused:
        second.model.compute_gradients(images().x, images().y)
        optimizer.step(second.model.parameters)
    assert everything(second) == before[0]
    assert everything(second)["slots"] == slots


def test_a_swapped_model_or_optimizer():
    trainer, other = train(dl.Adam(0.01)), train(dl.Adam(0.01))
    for name, value in [("model", a_model()), ("optimizer", other.optimizer)]:
        with pytest.raises(dl.InputError, match=f"{name} cannot be replaced; .*make a new Trainer"):
            setattr(trainer, name, value)
    with refused:
        fit(a_trainer(trainer.optimizer), {}, 1)
    fit(trainer, {}, 1)


def test_the_refusal_names_what_is_foreign():
    first = train(dl.Adam(0.01))
    with pytest.raises(dl.InputError, match=r"at '3\.weight', '3\.bias'"):
        train(first.optimizer, OTHERS["new head"](first.model))


def test_each_part_of_a_model_needs_its_own_optimizer():
    # Parts with other paths look like another model; a whole with a known part is the same model.
    model, optimizer = a_model(), dl.Adam(0.01)
    model.compute_gradients(images().x, images().y)
    parts = [{path: p for path, p in model.parameters.items() if path.startswith(part)} for part in "13"]
    optimizer.step(parts[0])
    with pytest.raises(dl.InputError, match="and for each part that you train separately"):
        optimizer.step(parts[1])
    assert optimizer.steps == 1
    optimizer.step(model.parameters)
    for part in parts * 2:
        optimizer.step(part)


# ---- allowed uses


@every_rule
def test_the_same_model_can_continue(make):
    whole = train(make(), epochs=4)
    optimizer = make()
    first = train(optimizer)
    fit(first, {}, 2)
    assert everything(first) == everything(whole)
    # A second trainer, and a new model with the same network.
    fit(a_trainer(optimizer, first.model), {}, 1)
    with pytest.warns(UserWarning, match="by another Model"):
        fit(a_trainer(optimizer, dl.Model(first.model.network, dl.MulticlassHinge())), {}, 1)
    assert optimizer.steps == 18


@every_rule
@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda made: pickle.loads(pickle.dumps(made))])
def test_a_copy_belongs_to_the_first_model_that_it_trains(make, copied):
    template = make()
    expected = everything(train(make()))
    for _ in range(2):
        # It shares nothing with the template, even if it is a shallow copy.
        assert everything(train(copied(template))) == expected
    trainer = train(make())
    other = copied(trainer.optimizer)
    # A copy of a used optimizer can continue with the model, and then only with it.
    fit(a_trainer(other, trainer.model), {}, 1)
    with refused:
        fit(a_trainer(other), {}, 1)


def test_a_copied_trainer_continues_like_the_original():
    trainer = train(dl.Adam(0.01))
    twins = [copy.deepcopy(trainer), pickle.loads(pickle.dumps(trainer)), trainer]
    for twin in twins:
        fit(twin, {}, 1)
    assert everything(twins[0]) == everything(twins[1]) == everything(twins[2])


def test_a_checkpoint_replaces_the_state_so_the_model_may_be_another(tmp_path):
    optimizer = dl.Adam(0.01)
    first = a_trainer(optimizer, callbacks=[dl.Checkpoint(tmp_path, every_steps=2, keep=9)])
    second = a_trainer(optimizer)
    fit(first, {}, 3)
    expected = everything(first)
    fit(second, {}, 3, resume_from=checkpoint_paths(tmp_path)[-1])
    assert everything(second) == expected
    fit(second, {}, 1)
    with refused:
        fit(a_trainer(optimizer, first.model), {}, 1)


def test_an_assigned_state_may_be_of_another_model():
    used = train(dl.Adam(0.01)).optimizer
    used.state, used.steps = {}, 0
    assert everything(train(used)) == everything(train(dl.Adam(0.01)))
    other = dl.Adam(0.01)
    other.state = copy.deepcopy(used.state)
    for model in (a_model(5), a_model().astype(np.float64)):
        with pytest.raises(dl.ShapeError, match=r"expected .* at '1\.weight', got"):
            train(other, model)
    with refused:
        train(other, OTHERS["other paths"](None))


def test_a_model_may_be_frozen_in_part_and_grow():
    optimizer, model = dl.Adam(0.01), a_model()
    body, head = model.network.layers[1], model.network.layers[3]
    body.freeze()
    trainer = train(optimizer, model)
    body.unfreeze()
    head.freeze()
    fit(trainer, {}, 1)
    head.unfreeze()
    train(optimizer, model_of(*model.network.layers, dl.Dense(3, 3, rng=3)))
    assert sorted(optimizer.state) == [f"{i}.{name}" for i in (1, 3, 4) for name in ("bias", "weight")]
    # The model without its new end is still the same model.
    fit(trainer, {}, 1)


def test_a_frozen_parameter_counts_as_new_until_it_is_trained():
    body, head = (dl.Parameter(np.ones(2), name=name) for name in ("body", "head"))
    body.trainable = False
    optimizer = dl.Adam(0.1)
    for _ in range(2):
        optimizer.step({"body": body, "head": head})
    other = dl.Parameter(np.ones(2), name="other")
    other.add_grad(np.ones(2))
    optimizer.step({"body": other, "head": head})
    assert optimizer.steps == 3
    assert (other.value < 1).all()
    # From here on the optimizer has trained it.
    with refused:
        optimizer.step({"body": body, "head": head})
    optimizer.step({"head": head, "body": other})
    assert optimizer.steps == 4


def test_a_run_without_a_step_does_not_bind_the_optimizer():
    optimizer, spoilt = dl.Adam(0.01), a_model()
    fit(a_trainer(optimizer), {}, 0)
    dl.sanity_check(a_trainer(optimizer), images())
    dl.find_learning_rate(a_trainer(optimizer), images(), steps=10)
    spoilt.parameters["1.weight"].value[0, 0] = np.nan
    with pytest.raises(dl.NonFiniteError):
        train(optimizer, spoilt)
    trainer = train(optimizer)
    assert everything(trainer) == everything(train(dl.Adam(0.01)))
    # They also work in the middle of training.
    dl.sanity_check(trainer, images())
    dl.find_learning_rate(trainer, images(), steps=10)
    fit(trainer, {}, 1)
    assert optimizer.steps == 9
