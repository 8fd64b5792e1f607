"""NaN and infinity in training: named where they are first met, and never spread."""

import numpy as np
import pytest
from training_runs import BATCH, batch_norm_dropout_augmentation, everything, fit, images, seeded, sgd_with_momentum

import minidl as dl
from minidl.training.checkpoint import checkpoint_paths


class Bad(dl.Layer):
    """Hands on what it gets, but spoils one entry of y, or of dx or of a gradient, in one training forward."""

    saved_attributes = ("calls",)

    def __init__(self, where, call, value=np.nan):
        super().__init__()
        self.where, self.call, self.value, self.calls = where, call, value, 0
        self.gain = self.add_parameter("gain", np.ones(4), penalized=False)

    def forward(self, x, train=False):
        y = x.copy()
        if train:
            self.calls += 1
            self.keep(x)
            if self.where == "forward" and self.calls == self.call:
                y[1, 2] = self.value
        return y

    def backward(self, dy):
        self.kept()
        gradient = np.zeros(4, np.float32)
        dx = dy.copy()
        if self.calls == self.call:
            gradient[3] = self.value if self.where == "gradient" else 0
            dx[0, 1] = self.value if self.where == "backward" else dx[0, 1]
        self.gain.add_grad(gradient)
        return dx

    def __repr__(self):
        return "Bad()"  # a run that is resumed without the fault is the same run


def make(where, call, callbacks=(), value=np.nan):
    network = dl.Sequential(
        dl.Flatten(), dl.Dense(72, 4, rng=1), dl.BatchNorm(4), Bad(where, call, value), dl.Dense(4, 3, rng=2)
    )
    return dl.Trainer(dl.Model(network, dl.SoftmaxCrossEntropy()), dl.SGD(0.01, momentum=0.5), callbacks, rng=3), {}


WORDS = {
    "forward": r"epoch 2, after step 4: batch 2: logits: expected finite numbers, got nan in row 1",
    "gradient": r"epoch 2, after step 4: batch 2: the gradient of 3.gain: expected finite .* 1 .* index \(3,\): nan",
    "backward": r"epoch 2, after step 4: batch 2: the gradient of 1.weight: expected finite numbers, got .* nan",
}


@pytest.mark.parametrize("where", WORDS)
def test_the_step_that_would_spread_it_is_not_taken(tmp_path, where):
    trainer, arguments = make(where, 5, [dl.Checkpoint(tmp_path, every_steps=1)])
    with pytest.raises(dl.NonFiniteError, match=WORDS[where]), np.errstate(invalid="ignore"):
        fit(trainer, arguments)
    assert trainer.step == trainer.optimizer.steps == 4
    assert all(np.isfinite(parameter.value).all() for parameter in trainer.model.parameters.values())
    before, _ = make("nowhere", 0)
    fit(before, arguments, 1)
    assert checkpoint_paths(tmp_path)[0].name.endswith("4.safetensors")
    good, _ = make("nowhere", 0)  # the last good checkpoint can be gone on from
    fit(good, arguments, resume_from=tmp_path)
    whole, _ = make("nowhere", 0)
    fit(whole, arguments)
    assert everything(good)["weights"] == everything(whole)["weights"]


@pytest.mark.parametrize("where", WORDS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_skip_leaves_the_step_out_and_nothing_behind(where, value):
    trainer, arguments = make(where, 5, value=value)
    with np.errstate(invalid="ignore"):
        fit(trainer, arguments, 2, nonfinite="skip")
    assert trainer.skipped_steps == 1
    assert trainer.step == 6
    assert trainer.optimizer.steps == 5

    class LeaveOut(dl.Callback):
        """What skipping should come to: the fifth batch never was."""

        def on_batch_begin(self, trainer):
            if trainer.step == 4:
                trainer._step = lambda x, y: (0.0, 0.0)

        def on_batch_end(self, trainer):
            trainer.__dict__.pop("_step", None)

    expected, _ = make("nowhere", 0, [LeaveOut()])
    fit(expected, arguments, 2)
    assert everything(trainer)["weights"] == everything(expected)["weights"]
    assert everything(trainer)["slots"] == everything(expected)["slots"]


def test_a_skipped_batch_is_told_in_the_logs():
    seen = []

    class Look(dl.Callback):
        def on_batch_end(self, trainer):
            seen.append(trainer.logs["batch_loss"])

    trainer, arguments = make("gradient", 2, [Look()])
    fit(trainer, arguments, 1, nonfinite="skip")
    assert [np.isnan(loss) for loss in seen] == [False, True, False]


def test_ignore_goes_on_whatever_comes():
    trainer, arguments = make("gradient", 2)
    with np.errstate(invalid="ignore"):
        history = fit(trainer, arguments, 2, nonfinite="ignore")
    assert np.isnan(trainer.model.parameters["3.gain"].value[3])
    assert trainer.optimizer.steps == 6
    assert len(history) == 2
    assert np.isfinite(history["loss"]).all()  # nothing reads that gain
    trainer, arguments = make("backward", 2)
    with np.errstate(invalid="ignore"):
        history = fit(trainer, arguments, 2, nonfinite="ignore")
    assert np.isnan(history["loss"]).all()
    assert np.isnan(history["val_cost"]).all()


def test_the_layer_is_named_that_makes_it(rng):
    network = dl.Sequential(
        dl.Flatten(), dl.Dense(72, 8, rng=1), dl.Sequential(dl.ReLU(), dl.Dense(8, 8, rng=1)), dl.Dense(8, 3, rng=2)
    )
    network.layers[2].layers[1].weight.value *= np.float32(1e30)
    network.layers[1].weight.value *= np.float32(1e12)
    trainer = dl.Trainer(dl.Model(network, dl.SoftmaxCrossEntropy()), dl.SGD(0.01), rng=0)
    words = r"first met in the output of layer 2.1, Dense\(8, 8\): expected finite numbers, got \d+ that are not, the f"
    with pytest.raises(dl.NonFiniteError, match=words), np.errstate(all="ignore"):
        fit(trainer, {})


def test_a_weight_that_is_nan_already_is_named():
    trainer, arguments = sgd_with_momentum()
    trainer.model.parameters["3.weight"].value[2, 1] = np.nan
    with pytest.raises(dl.NonFiniteError, match=r"first met in 3.weight: .* index \(2, 1\): nan"):
        fit(trainer, arguments)


def test_only_in_validation():
    class Fragile(dl.Activation):
        """Overflows for inputs as large as only the validation set has."""

        def function(self, x):
            with np.errstate(over="ignore"):
                return np.exp(x).astype(x.dtype)

        def derivative(self, x):
            return np.exp(x)

    network = dl.Sequential(dl.Flatten(), Fragile(), dl.Dense(72, 3, rng=1))
    trainer = dl.Trainer(dl.Model(network, dl.SoftmaxCrossEntropy()), dl.SGD(1e-3), rng=1)
    large = images(20, 1)
    large.x[3, 2, 2, 1] = 100
    arguments = {"epochs": 1, "batch_size": BATCH}
    with pytest.raises(dl.NonFiniteError, match=r"epoch 1, after step 3: logits"), np.errstate(invalid="ignore"):
        trainer.fit(images(), large, **arguments)


@pytest.mark.parametrize("value", ["stop", None, True])
def test_other_words_are_refused(value):
    trainer, arguments = sgd_with_momentum()
    with pytest.raises(dl.InputError, match="nonfinite: expected 'raise', 'skip' or 'ignore'"):
        fit(trainer, arguments, nonfinite=value)


def test_finite_runs_are_the_same_with_every_choice():
    runs = []
    for choice in ("raise", "skip", "ignore"):
        trainer, arguments = seeded(batch_norm_dropout_augmentation)
        fit(trainer, arguments, nonfinite=choice)
        runs.append(everything(trainer))
    assert runs[0] == runs[1] == runs[2]
