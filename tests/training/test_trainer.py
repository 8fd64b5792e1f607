import subprocess
import sys

import numpy as np
import pytest

from minidl import (
    L2,
    SGD,
    BatchNorm,
    Callback,
    CallOrderError,
    Dataset,
    Dense,
    InputError,
    Model,
    NonFiniteError,
    Normal,
    ReLU,
    Sequential,
    ShapeError,
    SoftmaxCrossEntropy,
    Trainer,
)


def blobs(n=60, seed=0):
    """Three well-separated clouds in the plane."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return Dataset(rng.normal(size=(n, 2)) + 4 * np.stack([np.cos(2 * y), np.sin(2 * y)], axis=1), y)


def make(callbacks=(), rng=0, learning_rate=0.1, regularizer=None):
    network = Sequential(Dense(2, 8, rng=0), ReLU(), Dense(8, 3, rng=1))
    return Trainer(Model(network, SoftmaxCrossEntropy(), regularizer), SGD(learning_rate), callbacks, rng)


def weights(trainer):
    return b"".join(p.value.tobytes() for p in trainer.model.parameters.values())


class Diary(Callback):
    """Writes down every moment it is called at."""

    def __init__(self, name="", pages=None):
        self.name = name
        self.pages = [] if pages is None else pages

    def on_train_begin(self, trainer):
        self.pages.append(f"{self.name}train begin")

    def on_train_end(self, trainer):
        self.pages.append(f"{self.name}train end")

    def on_epoch_begin(self, trainer):
        self.pages.append(f"{self.name}epoch {trainer.epoch} begin")

    def on_epoch_end(self, trainer):
        self.pages.append(f"{self.name}epoch {trainer.epoch} end")

    def on_batch_begin(self, trainer):
        self.pages.append(f"{self.name}batch begin")

    def on_batch_end(self, trainer):
        self.pages.append(f"{self.name}step {trainer.step} end")


def test_two_layers_learn_what_they_can():
    trainer = make()
    history = trainer.fit(blobs(), blobs(seed=1), epochs=20, batch_size=10)
    assert history["accuracy"][-1] > 0.95
    assert history["val_accuracy"][-1] > 0.95
    assert history["loss"][-1] < history["loss"][0]


def test_a_row_of_the_history_is_measured_after_its_epoch_on_whole_sets():
    train, validation = blobs(), blobs(31, seed=1)
    trainer = make(regularizer=L2(0.1))
    history = trainer.fit(train, validation, epochs=1, batch_size=7)
    expected = trainer.model.evaluate(train) | {
        f"val_{name}": value for name, value in trainer.model.evaluate(validation).items()
    }
    row = history.rows[0]
    assert {name: row[name] for name in expected} == expected
    assert row["epoch"] == 1
    assert row["learning_rate"] == 0.1
    assert row["seconds"] > 0
    assert row["cost"] > row["loss"]


def test_every_training_row_is_used_once_an_epoch_and_in_another_order_each_time():
    seen = []

    class Spy(Dense):
        def forward(self, x, train=False):
            if train:
                seen.append(x[:, 0].tolist())
            return super().forward(x, train)

    data = Dataset(np.arange(10.0)[:, None], np.zeros(10, int))
    Trainer(Model(Spy(1, 2), SoftmaxCrossEntropy()), SGD(1e-6), rng=0).fit(data, epochs=2, batch_size=4)
    first, second = np.concatenate(seen[:3]).tolist(), np.concatenate(seen[3:]).tolist()
    assert [len(batch) for batch in seen] == [4, 4, 2] * 2
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_a_step_is_the_formula_on_the_batch():
    data = blobs(20)
    trainer = make()
    reference = make().model
    trainer.fit(data, epochs=1, batch_size=100)
    reference.compute_gradients(data.x, data.y)
    for path, p in reference.parameters.items():
        expected = p.value - 0.1 * p.grad
        np.testing.assert_allclose(trainer.model.parameters[path].value, expected, atol=1e-6)  # the shuffle's rounding


def test_moments_come_in_order_and_callbacks_in_list_order():
    pages = []
    make([Diary("a ", pages), Diary("b ", pages)]).fit(blobs(4), epochs=1, batch_size=2)
    one = ["train begin", "epoch 1 begin", "batch begin", "step 1 end", "batch begin", "step 2 end", "epoch 1 end",
           "train end"]  # fmt: skip
    assert pages == [f"{name} {page}" for page in one for name in "ab"]


def test_batch_logs_are_the_cost_and_loss_before_the_step():
    class Check(Callback):
        def on_batch_begin(self, trainer):
            self.expected = trainer.model.evaluate(data)

        def on_batch_end(self, trainer):
            self.got = dict(trainer.logs)

    data, check = blobs(), Check()
    make([check], regularizer=L2(0.1)).fit(data, epochs=1, batch_size=len(data))
    assert check.got == {
        "batch_cost": pytest.approx(check.expected["cost"], rel=1e-6),
        "batch_loss": pytest.approx(check.expected["loss"], rel=1e-6),
    }


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not():
    runs = [make(rng=seed) for seed in (3, 3, 4)]
    for trainer in runs:
        trainer.fit(blobs(), epochs=2, batch_size=7)
    assert weights(runs[0]) == weights(runs[1]) != weights(runs[2])


def test_two_calls_of_fit_are_one_long_one():
    once, twice = make(), make()
    once.fit(blobs(), epochs=5, batch_size=7)
    twice.fit(blobs(), epochs=2, batch_size=7)
    history = twice.fit(blobs(), epochs=3, batch_size=7)
    assert weights(once) == weights(twice)
    assert history["epoch"] == [1, 2, 3, 4, 5]
    assert history["loss"] == once.history["loss"]


def test_a_callback_that_draws_random_numbers_changes_nothing():
    class Noisy(Callback):
        def on_batch_end(self, trainer):
            np.random.default_rng().random()
            trainer.model.evaluate(trainer.train_data)

    quiet, noisy = make(), make([Noisy()])
    quiet.fit(blobs(), epochs=2, batch_size=7)
    noisy.fit(blobs(), epochs=2, batch_size=7)
    assert weights(quiet) == weights(noisy)


PROGRAM = """
import hashlib, minidl as dl
data = dl.Dataset([[float(i % 7), float(i % 5)] for i in range(50)], [i % 3 for i in range(50)])
network = dl.Sequential(dl.Dense(2, 8, rng=0), dl.ReLU(), dl.Dense(8, 3, rng=1))
trainer = dl.Trainer(dl.Model(network, dl.SoftmaxCrossEntropy(), dl.L2(0.01)), dl.SGD(0.1), rng=42)
trainer.fit(data, epochs=3, batch_size=8)
print(hashlib.sha256(b"".join(p.value.tobytes() for p in trainer.model.parameters.values())).hexdigest())
"""


def test_two_fresh_processes_end_on_the_same_bits():
    digests = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    ]
    assert digests[0] == digests[1]
    assert len(digests[0].strip()) == 64


def test_stop_ends_after_the_running_step_and_the_epoch_is_recorded():
    class Stop(Callback):
        def on_batch_end(self, trainer):
            if trainer.step == 5:
                trainer.stop()

    trainer = make([Stop()])
    history = trainer.fit(blobs(40), epochs=10, batch_size=10)
    assert trainer.step == 5
    assert history["epoch"] == [1, 2]
    assert len(trainer.fit(blobs(40), epochs=1, batch_size=10)) == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_whatever_ends_training_every_callback_is_torn_down_and_the_history_stays(error):
    class Fail(Callback):
        def on_batch_end(self, trainer):
            if trainer.step == 7:
                raise error("at step 7")

        def on_train_end(self, trainer):
            raise ValueError("and again while cleaning up")

    diary = Diary()
    trainer = make([Fail(), diary])
    with pytest.raises(ValueError, match="cleaning up") as caught:
        trainer.fit(blobs(40), epochs=10, batch_size=10)
    assert isinstance(caught.value.__context__, error)
    assert diary.pages[-1] == "train end"
    assert trainer.history["epoch"] == [1]
    trainer.callbacks = []
    trainer.fit(blobs(40), epochs=1, batch_size=10)  # usable afterwards


def test_zero_epochs_do_nothing():
    trainer = make()
    before = weights(trainer)
    assert len(trainer.fit(blobs(), epochs=0, batch_size=3)) == 0
    assert weights(trainer) == before


def test_without_the_training_metrics_the_validation_stays():
    history = make().fit(blobs(), blobs(seed=1), epochs=1, batch_size=10, train_metrics=False)
    assert set(history.rows[0]) == {"epoch", "val_cost", "val_loss", "val_accuracy", "learning_rate", "seconds"}


def test_without_validation_there_are_no_validation_columns():
    assert not any(c.startswith("val_") for c in make().fit(blobs(), epochs=1, batch_size=10).columns)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"train": (np.zeros((1, 2)), [0])}, r"to be a Dataset, got tuple of ndarray of shape \(1, 2\), \[0\]; put "),
        ({"train": np.zeros((9, 2))}, r"train to be a Dataset, got ndarray of shape \(9, 2\); .*: dl.Dataset\(x, y\)$"),
        ({"train": Dataset(np.zeros((0, 2)), [])}, "at least one row"),
        ({"validation": Dataset(np.zeros((0, 2)), [])}, "expected validation to have at least one row"),
        ({"epochs": -1}, "epochs: expected an integer >= 0"),
        ({"epochs": 1.5}, "epochs: expected an integer >= 0"),
        ({"batch_size": 0}, "batch_size: expected an integer >= 1"),
        ({"train": Dataset(np.zeros((2, 2)), [0, 3])}, r"labels in 0..2, got 3"),
        ({"train": Dataset(np.zeros((2, 2)), [0, -1])}, r"labels in 0..2, got -1"),
        ({"train": Dataset(np.zeros((2, 3)), [0, 1])}, r"layer 0: Dense\(2, 8\): expected x of shape \(n, 2\)"),
        ({"train": Dataset(np.zeros((2, 2)), [[0], [1]])}, r"targets of shape \(2,\), got \(2, 1\)"),
    ],
)
def test_what_cannot_be_trained_is_refused_and_no_weight_moves(arguments, words):
    trainer = make()
    before = weights(trainer)
    with pytest.raises(InputError, match=words):
        trainer.fit(**{"train": blobs(), "epochs": 1, "batch_size": 2} | arguments)
    assert weights(trainer) == before


def test_inputs_that_are_not_finite_are_named_before_training():
    x = np.zeros((4, 2))
    x[2, 1] = np.inf
    for arguments in ({"train": Dataset(x, [0] * 4)}, {"train": blobs(), "validation": Dataset(x, [0] * 4)}):
        with pytest.raises(NonFiniteError, match=r"(train|validation).x: .* index \(2, 1\): inf"):
            make().fit(**arguments, epochs=1, batch_size=2)


def test_a_wrong_label_is_found_before_the_first_step_with_its_row():
    data, wrong = blobs(40), blobs(40)
    wrong.y[33] = 7
    for name, sets in [("train", (wrong, data)), ("validation", (data, wrong))]:
        trainer = make()
        before = weights(trainer)
        with pytest.raises(InputError, match=rf"{name}: .*labels in 0..2, got 7 in row 33"):
            trainer.fit(*sets, epochs=1, batch_size=4)
        assert weights(trainer) == before
        assert trainer.epoch == 0


def test_only_what_has_begun_is_torn_down_and_the_first_error_is_the_one_shown():
    class Fail(Diary):
        def on_train_begin(self, trainer):
            super().on_train_begin(trainer)
            raise RuntimeError("cannot begin")

    pages = []
    trainer = make([Diary("a ", pages), Fail("b ", pages), Diary("c ", pages)])
    with pytest.raises(RuntimeError, match="cannot begin"):
        trainer.fit(blobs(), epochs=1, batch_size=10)
    assert pages == ["a train begin", "b train begin", "a train end", "b train end"]


def test_the_history_tells_the_learning_rate_and_numbers_the_rows():
    history = make(learning_rate=0.025).fit(blobs(), epochs=2, batch_size=10)
    assert history["learning_rate"] == [0.025, 0.025]
    assert [row["epoch"] for row in history] == [1, 2]


def test_a_run_that_diverges_says_where():
    words = r"epoch \d+, after step \d+: batch \d+: logits.* first met in the output of layer 2"
    with pytest.raises(NonFiniteError, match=words), np.errstate(all="ignore"):
        make(learning_rate=1e30).fit(blobs(), epochs=50, batch_size=10)


def test_a_step_that_is_refused_says_where_and_keeps_its_class():
    model = Model(Sequential(Dense(2, 3), BatchNorm(3)), SoftmaxCrossEntropy())
    words = r"^epoch 1, after step 4: layer 1: BatchNorm\(3.*; choose a batch_size that leaves no single row"
    with pytest.raises(InputError, match=words):
        Trainer(model, SGD(0.1)).fit(blobs(41), epochs=1, batch_size=10)
    optimizer = SGD(0.1, momentum=0.9)
    Trainer(model, optimizer).fit(blobs(40), epochs=1, batch_size=10)
    other = Model(Dense(2, 3), SoftmaxCrossEntropy())
    optimizer.state = {"weight": optimizer.state["0.bias"]}
    with pytest.raises(ShapeError, match=r"^epoch 1, after step 0: SGD\(0.1, momentum=0.9\): .* of other shapes"):
        Trainer(other, optimizer).fit(blobs(40), epochs=1, batch_size=10)


def test_fit_inside_fit_is_refused():
    class Again(Callback):
        def on_epoch_end(self, trainer):
            trainer.fit(blobs(), epochs=1, batch_size=2)

    with pytest.raises(CallOrderError, match="already running"):
        make([Again()]).fit(blobs(), epochs=1, batch_size=10)


def test_parts_in_the_wrong_place_are_named():
    model = make().model
    with pytest.raises(InputError, match="expected optimizer to be an Optimizer, got 0"):
        Trainer(model, 0.1)
    with pytest.raises(InputError, match="expected callbacks to be a Sequence, got"):
        Trainer(model, SGD(0.1), Diary())
    with pytest.raises(InputError, match="expected model to be a Model"):
        Trainer(SGD(0.1), model)
    with pytest.raises(InputError, match=r"expected callbacks\[0\] to be a Callback, got <class .*; write Diary\(\)$"):
        Trainer(model, SGD(0.1), [Diary])


def test_the_seed_may_be_a_generator_or_nothing():
    assert make(rng=np.random.default_rng(5)).seed == make(rng=np.random.default_rng(5)).seed
    assert make(rng=None).seed != make(rng=None).seed
    with pytest.raises(InputError, match="rng: expected"):
        make(rng=-1)


def test_the_penalty_shrinks_the_weights():
    def size(strength):
        network = Dense(2, 3, weight_init=Normal(0.1), rng=0)
        trainer = Trainer(Model(network, SoftmaxCrossEntropy(), L2(strength)), SGD(0.1), rng=0)
        trainer.fit(blobs(), epochs=10, batch_size=10)
        return float((network.weight.value**2).sum())

    assert size(1.0) < size(0.1) < size(0.0)


def test_a_validation_set_of_another_width_is_named():
    model = Model(Sequential(Dense(2, 2, rng=0)), SoftmaxCrossEntropy())
    train, validation = Dataset([[0.0, 1.0]], [0]), Dataset([[0.0, 1.0, 2.0]], [0])
    with pytest.raises(ShapeError, match=r"Trainer\.fit: validation, its first row: layer 0"):
        Trainer(model, SGD(0.1)).fit(train, validation, epochs=1, batch_size=1)
