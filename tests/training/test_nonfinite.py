"""NaN and infinity in training: the error names where they first appear, and they never spread."""

import numpy as np
import pytest
from training_runs import BATCH, at, batch_norm_dropout_augmentation, everything, fit, images, seeded, usual_run

import minidl as dl
from minidl.training.checkpoint import checkpoint_paths


class Bad(dl.Layer):
    """Passes x on, but changes one entry of y, of dx or of a gradient, in one training forward or backward."""

    saved_attributes = ("calls",)

    def __init__(self, where, call, value):
        super().__init__()
        self.where, self.call, self.value, self.calls = where, call, value, 0
        self.gain = self.add_parameter("gain", np.ones(4), penalized=False)

    def spoiled(self, where, array, place):
        array = array.copy()
        if self.where == where and self.calls == self.call:
            array[place] = self.value
        return array

    def forward(self, x, train=False):
        self.calls += train
        if train:
            self.keep()
        return self.spoiled("forward" if train else "", x, (1, 2))

    def backward(self, dy):
        self.kept()
        self.gain.add_grad(self.spoiled("gradient", np.zeros(4, np.float32), 3))
        return self.spoiled("backward", dy, (0, 1))

    def __repr__(self):
        return "Bad()"  # a run that is resumed without the fault is the same run


def make(where="nowhere", call=0, *callbacks, value=np.nan, clip_norm=None):
    # The changed entry enters the running statistics.
    layers = dl.Flatten(), dl.Dense(72, 4, rng=1), Bad(where, call, value), dl.BatchNorm(4), dl.Dense(4, 3, rng=2)
    optimizer = dl.SGD(0.01, momentum=0.5, clip_norm=clip_norm)
    return dl.Trainer(dl.Model(dl.Sequential(*layers), dl.SoftmaxCrossEntropy()), optimizer, callbacks, rng=3)


WORDS = {
    "forward": r"epoch 2, after step 4: batch 2: logits: expected finite numbers, got nan in row 0",
    "gradient": r"epoch 2, after step 4: batch 2: the gradient of 2.gain: expected finite .* 1 .* index \(3,\): nan",
    "backward": r"epoch 2, after step 4: batch 2: the gradient of 1.weight: expected finite numbers, got .* nan",
}


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(invalid="ignore"):
        yield


@pytest.mark.parametrize("where", WORDS)
def test_a_step_with_nan_is_not_taken(tmp_path, where):
    trainer = make(where, 5, dl.Checkpoint(tmp_path, every_steps=1))
    with pytest.raises(dl.NonFiniteError, match=WORDS[where]) as raised:
        fit(trainer, {})
    assert "running" not in str(raised.value)
    assert trainer.step == trainer.optimizer.steps == 4
    assert all(np.isfinite(array).all() for array in trainer.model.weights().values())
    trainer.model.evaluate(trainer.train_data)
    assert checkpoint_paths(tmp_path)[0].name.endswith("4.safetensors")
    good, whole = make(), make()  # the last good checkpoint can be gone on from
    fit(good, {}, resume_from=tmp_path)
    fit(whole, {})
    assert everything(good)["weights"] == everything(whole)["weights"]


# The expected result of skipping: training without the fifth batch.
LEAVE_OUT = (
    at("on_batch_begin", 4, lambda trainer: setattr(trainer, "_step", lambda x, y: (0.0, 0.0))),
    at("on_batch_end", 5, lambda trainer: vars(trainer).pop("_step")),
)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", WORDS)
def test_a_skipped_step_changes_nothing(where, value, clip_norm):
    losses = []
    look = dl.LambdaCallback(on_batch_end=lambda trainer: losses.append(trainer.logs["batch_loss"]))
    trainer = make(where, 5, look, value=value, clip_norm=clip_norm)
    fit(trainer, {}, 2, nonfinite="skip")
    assert (trainer.skipped_steps, trainer.step, trainer.optimizer.steps) == (1, 6, 5)
    assert np.isnan(losses).tolist() == [False] * 4 + [True, False]
    expected = make("nowhere", 0, *LEAVE_OUT, clip_norm=clip_norm)
    fit(expected, {}, 2)
    assert everything(trainer)["weights"] == everything(expected)["weights"]
    assert everything(trainer)["slots"] == everything(expected)["slots"]


@pytest.mark.parametrize("where", ["gradient", "backward"])
def test_clipping_by_the_norm_does_not_end_a_run_with_skip_or_ignore(where):
    trainer = make(where, 5, clip_norm=1.0)
    fit(trainer, {}, nonfinite="ignore")
    assert trainer.skipped_steps == 1


def test_ignore_never_ends_training(tmp_path):
    trainer = make("gradient", 2)
    history = fit(trainer, {}, 2, nonfinite="ignore")
    assert np.isnan(trainer.model.parameters["2.gain"].value[3])
    assert trainer.optimizer.steps == 6
    assert np.isfinite(history["loss"]).all()  # nothing reads that gain
    follow = dl.EarlyStopping("accuracy"), dl.Checkpoint(tmp_path, monitor="val_loss")
    with pytest.warns(UserWarning, match="did not save"):
        history = fit(make("backward", 2, *follow), {}, 2, nonfinite="ignore")
    assert len(history) == 2
    assert np.isnan([history[name] for name in ("loss", "accuracy", "val_cost", "val_accuracy", "val_loss")]).all()


def test_the_layer_that_first_returns_nan_is_named():
    inner = dl.Sequential(dl.ReLU(), dl.Dense(8, 8, rng=1))
    network = dl.Sequential(dl.Flatten(), dl.Dense(72, 8, rng=1), inner, dl.Dense(8, 3, rng=2))
    inner.layers[1].weight.value *= np.float32(1e30)
    network.layers[1].weight.value *= np.float32(1e12)
    trainer = dl.Trainer(dl.Model(network, dl.SoftmaxCrossEntropy()), dl.SGD(0.01), rng=0)
    words = r"first occurred in the output of layer 2.1, Dense\(8, 8\): expected finite numbers, got \d+ not finite"
    with pytest.raises(dl.NonFiniteError, match=words), np.errstate(all="ignore"):
        fit(trainer, {})


def test_a_weight_that_is_nan_already_is_named():
    trainer, arguments = usual_run()
    trainer.model.parameters["3.weight"].value[2, 1] = np.nan
    with pytest.raises(dl.NonFiniteError, match=r"first occurred in 3.weight: .* index \(2, 1\): nan"):
        fit(trainer, arguments)


def test_only_in_validation():
    trainer, _ = usual_run()
    large = images(20, 1)
    large.x[3] = 3e38
    with pytest.raises(dl.NonFiniteError, match="epoch 1, after step 3: logits"), np.errstate(all="ignore"):
        trainer.fit(images(), large, epochs=1, batch_size=BATCH)


def test_finite_runs_are_the_same_with_every_choice():
    runs = []
    for choice in ("raise", "skip", "ignore"):
        trainer, arguments = seeded(batch_norm_dropout_augmentation)
        fit(trainer, arguments, nonfinite=choice)
        runs.append(everything(trainer))
    assert runs[0] == runs[1] == runs[2]
