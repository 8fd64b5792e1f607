"""Arguments that fit refuses before the first step, when nothing has changed; and drop_last."""

import os
import threading

import numpy as np
import pytest
from training_runs import Death, DieAt, Spy

import minidl as dl

LONG = "n" * 260


def rows(n):
    x = np.random.default_rng(n).normal(size=(n, 5)).astype(np.float32)
    return dl.Dataset(x, (x[:, 0] > 0).astype(int))


def images(n):
    x = np.random.default_rng(n).normal(size=(n, 4, 4, 3)).astype(np.float32)
    return dl.Dataset(x, np.arange(n) % 2)


def model(*layers, loss=None):
    return dl.Model(dl.Sequential(*layers), loss or dl.SoftmaxCrossEntropy())


def normalized():
    return model(dl.Dense(5, 8, rng=0), dl.BatchNorm(8), dl.ReLU(), dl.Dropout(0.1, rng=2), dl.Dense(8, 2, rng=1))


def linear(loss=None):
    return model(dl.Dense(5, 2, rng=0), loss=loss)


def trained(network, data, *callbacks, validation=None, **options):
    trainer = dl.Trainer(network, dl.SGD(0.1, momentum=0.9), callbacks, rng=0)
    trainer.fit(data, validation, **{"epochs": 2, "batch_size": 32, **options})
    return trainer


def refused(words, network, data, *callbacks, error=dl.InputError, validation=None, **options):
    """Check twice that training is refused and changes nothing."""
    begun = dl.LambdaCallback(on_epoch_begin=lambda trainer: pytest.fail("training has begun"))
    trainer = dl.Trainer(network, dl.SGD(0.1, momentum=0.9), [*callbacks, begun], rng=0)

    def state():
        seeds = [layer.seed for layer in network.network.layers if isinstance(layer, dl.Dropout)]
        weights = {name: array.tobytes() for name, array in network.weights().items()}
        return trainer.step, trainer.epoch, len(trainer.history), len(trainer.optimizer.state), seeds, weights

    before = state()
    for _ in range(2):
        with pytest.raises(error, match=words):
            trainer.fit(data, validation, **{"epochs": 2, "batch_size": 32, **options})
        assert state() == before


# ---- the last batch


class Block(dl.Layer):
    """Hides a layer that mixes rows, as a user's class may."""

    def __init__(self):
        super().__init__()
        self.norm = self.add_layer("norm", dl.BatchNorm(5))

    def forward(self, x, train=False):
        return self.norm.forward(x, train)

    def backward(self, dy):
        return self.norm.backward(dy)


class Fours(dl.Flatten):
    batch_independent = False

    def forward(self, x, train=False):
        if train and len(x) % 4:
            raise dl.InputError("expected a multiple of 4 rows")
        return super().forward(x, train)


ONE_LEFT = (
    r"^Trainer.fit: 161 rows in batches of 32 leave 1 row .*drop_last=True: layer .*BatchNorm\(.*at least 2 values"
)


@pytest.mark.parametrize(
    "network",
    [
        normalized,
        lambda: normalized().astype(np.float64),
        lambda: model(Block(), dl.Dense(5, 2, rng=0)),
        lambda: model(dl.Residual(dl.Sequential(dl.BatchNorm(5))), dl.Dense(5, 2, rng=0)),
        lambda: model(dl.Parallel(dl.Dense(5, 2, rng=0), dl.BatchNorm(5)), dl.Dense(7, 2, rng=0)),
    ],
)
def test_a_last_batch_of_one_row_is_refused_for_a_layer_that_mixes_rows(network):
    refused(ONE_LEFT, network(), rows(161))
    for drop_last in (True, "merge"):
        assert trained(network(), rows(161), drop_last=drop_last).step == 10


def test_batches_that_are_all_too_small():
    words = r"^Trainer.fit: a batch has 1 row; choose a larger batch_size, or pass more rows: layer 1: BatchNorm"
    refused(words, normalized(), rows(161), batch_size=1)
    refused(words, normalized(), rows(1))
    refused(words, normalized(), rows(1), drop_last="merge")
    refused("162 rows in batches of 32 leave 2 .*: layer 0: expected a multiple of 4", model(Fours()), rows(162))


def test_one_image_has_enough_values_per_channel():
    for batch_size in (1, 32):
        convolution = dl.Conv2D(3, 4, 3, padding="same", rng=0), dl.BatchNorm(4)
        trained(model(*convolution, dl.Flatten(), dl.Dense(64, 2, rng=1)), images(33), epochs=1, batch_size=batch_size)
    pooled = model(dl.GlobalAvgPool2D(), dl.BatchNorm(3), dl.Dense(3, 2, rng=1))
    refused("33 rows in batches of 32 leave 1 row for the last batch", pooled, images(33))


def test_a_single_row_is_allowed_if_rows_do_not_mix():
    for network in (linear(), model(dl.LayerNorm(5), dl.Dropout(0.5, rng=0), dl.Dense(5, 2, rng=0))):
        assert trained(network, rows(161)).step == 12


def test_a_network_that_cannot_be_copied_is_refused_at_the_batch_itself():
    norm = dl.BatchNorm(5)
    vars(norm)["lock"] = threading.Lock()
    with pytest.raises(dl.InputError, match=r"epoch 1, after step 5: layer 0: .*at least 2 values per feature"):
        trained(model(norm, dl.Dense(5, 2, rng=0)), rows(161))


# ---- drop_last


@pytest.mark.parametrize(
    ("n", "drop_last", "sizes"),
    [
        (10, False, [4, 4, 2]),
        (10, True, [4, 4]),
        (10, "merge", [4, 4, 2]),
        (9, True, [4, 4]),
        (9, "merge", [4, 5]),
        (8, True, [4, 4]),
        (8, "merge", [4, 4]),
        (3, False, [3]),
        (1, "merge", [1]),
    ],
)
def test_rows_per_step(n, drop_last, sizes, tmp_path):
    spy, timer = Spy(), dl.Timer()
    with open(tmp_path / "bar", "w") as file:
        parts = model(spy, dl.Dense(5, 2, rng=0)), rows(n), timer, dl.ProgressBar(1, file)
        trainer = trained(*parts, epochs=3, batch_size=4, drop_last=drop_last)
    assert [len(x) for x in spy.seen[True]] == 3 * sizes
    assert (trainer.batches_per_epoch, trainer.rows_per_epoch) == (len(sizes), sum(sizes))
    assert trainer.step == 3 * len(sizes)
    seconds = np.add(timer.seconds["steps"], timer.seconds["between"])
    assert timer.rows_per_second == pytest.approx(sum(sizes) / seconds)


def test_each_epoch_leaves_out_different_rows():
    batches, rows_of_epochs = [], []

    class Labels(dl.MeanSquaredError):
        def forward(self, outputs, targets):
            batches.append(targets.ravel().tolist())
            return super().forward(outputs, targets)

    data = dl.Dataset(np.zeros((10, 1), np.float32), np.arange(10.0)[:, None])
    trainer = dl.Trainer(model(dl.Dense(1, 1, rng=0), loss=Labels()), dl.SGD(1e-9), rng=0)
    for _ in range(2):
        trainer.fit(data, epochs=1, batch_size=4, drop_last=True, train_metrics=False)
        # Before the first step the loss gets other rows.
        rows_of_epochs.append({row for batch in batches[-2:] for row in batch})
    assert [len(s) for s in rows_of_epochs] == [8, 8]
    assert rows_of_epochs[0] != rows_of_epochs[1]


@pytest.mark.parametrize("step", range(1, 9))
@pytest.mark.parametrize(("n", "drop_last", "augment"), [(19, True, [dl.Mirror()]), (17, "merge", []), (18, True, [])])
def test_a_run_resumes_in_the_middle_of_an_epoch(tmp_path, step, n, drop_last, augment):
    def run(*callbacks, **options):
        convolution = dl.Conv2D(3, 2, 3, padding="same", rng=0), dl.BatchNorm(2)
        network = model(*convolution, dl.Flatten(), dl.Dense(32, 2, rng=1))
        options = {"epochs": 3, "batch_size": 6, "drop_last": drop_last, "augment": augment} | options
        return trained(network, images(n), *callbacks, **options)

    whole = run()
    with pytest.raises(Death):
        run(dl.Checkpoint(tmp_path, every_steps=1), DieAt(step))
    resumed = run(dl.Checkpoint(tmp_path), resume_from=tmp_path)
    assert resumed.step == whole.step == 9
    for name, array in whole.model.weights().items():
        assert array.tobytes() == resumed.model.weights()[name].tobytes()
    with pytest.raises(dl.CheckpointError, match=f"drop_last was {drop_last!r}, now False"):
        run(resume_from=tmp_path, drop_last=False)


def test_dropping_every_batch_and_invalid_values_are_refused():
    words = "batch_size: expected <= 31 with drop_last=True, got 32"
    refused(words, linear(), rows(31), drop_last=True)
    for wrong in (1, 0, None, "drop", [True]):
        refused("drop_last: expected True, False or 'merge', got", linear(), rows(31), drop_last=wrong)


# ---- files

TOO_LONG = "too long; choose a shorter name"
UNWRITABLE = {
    f"n.csv: expected a file .*{TOO_LONG}": lambda folder: dl.CSVLogger(folder / f"{LONG}.csv"),
    f"/n+: expected a file .*{TOO_LONG}": lambda folder: dl.JSONLLogger(folder / "made" / LONG),
    "expected a file .*this is a folder or a device": dl.CSVLogger,
    "null: expected a file .*this is a folder or a device": lambda folder: dl.CSVLogger(os.devnull),
    "file: expected a folder": lambda folder: dl.CSVLogger(folder / "file" / "log.csv"),
    "cannot write the page .*too long": lambda folder: dl.LiveCurves(folder / f"{LONG}.html"),
    f"ncost.png: expected a file .*{TOO_LONG}": lambda folder: dl.LearningCurves(folder, prefix=LONG),
    f"n: expected a folder .*{TOO_LONG}": lambda folder: dl.LearningCurves(folder / LONG),
    "loss.svg: expected a file .*this is a folder": lambda folder: dl.LearningCurves(folder / "taken"),
    "nweights.png: expected a file .*too long": lambda folder: dl.WeightTemplates(folder, prefix=LONG[:247]),
    f"nn: expected a folder .*{TOO_LONG}": lambda folder: dl.Checkpoint(folder / LONG),
    "best.safetensors: expected a file .*this is a folder": lambda folder: dl.Checkpoint(folder / "taken"),
}


@pytest.mark.parametrize("words", UNWRITABLE)
def test_a_file_that_cannot_be_written(tmp_path, words):
    (tmp_path / "file").write_text("")
    (tmp_path / "taken" / "loss.svg").mkdir(parents=True)
    (tmp_path / "taken" / "best.safetensors").mkdir()
    refused(words, linear(), rows(20), UNWRITABLE[words](tmp_path))


def test_names_of_the_largest_length_are_accepted(tmp_path):
    table, page = dl.CSVLogger(tmp_path / f"{'c' * 251}.csv"), dl.LiveCurves(tmp_path / f"{'h' * 250}.html")
    trained(linear(), rows(20), table, page, dl.LearningCurves(tmp_path, prefix="p" * 247))
    assert len(os.listdir(tmp_path)) == 6


# ---- monitors


@pytest.mark.parametrize("follow", [dl.EarlyStopping, dl.ReduceLROnPlateau])
def test_a_monitor_that_no_column_can_have(follow):
    refused("no 'val_loss'; pass validation data to fit$", linear(), rows(20), follow("val_loss"))
    words = "no 'val_los'; pass validation data to fit; the nearest names are val_loss"
    refused(words, linear(), rows(20), follow("val_los"))
    refused("no 'val_los'; the nearest names are val_loss", linear(), rows(20), follow("val_los"), validation=rows(9))
    refused("no 'loss'; the nearest names are", linear(), rows(20), follow("loss"), train_metrics=False)


# ---- losses and metrics


class Square(dl.Loss):
    """A user's loss: the mean of the outputs, with the metrics of a function."""

    def __init__(self, measured, forward=None):
        self.measured, self.own = measured, forward

    def forward(self, outputs, targets):
        self.keep(outputs)
        return self.own(outputs) if self.own else float((outputs**2).mean())

    def backward(self):
        (outputs,) = self.kept()
        return 2 * outputs / outputs.size

    def metrics(self, outputs, targets):
        return self.measured(outputs, targets)


def returning(metrics):
    return Square(lambda outputs, targets: metrics)


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (returning({"f1": np.ones(3)}), r"metrics: expected a number for 'f1', got array"),
        (returning({"f1": [0.5, 0.5]}), r"expected a number for 'f1', got \[0.5"),
        (returning({"f1": "0.5"}), "expected a number for 'f1', got '0.5'"),
        (returning(None), r"metrics: expected its result to be a Mapping, got None"),
        (returning({"loss": 1.0}), "already has a column 'loss'; choose another name"),
        (returning({"seconds": 1.0}), "already has a column 'seconds'"),
        (returning({"a\nb": 1.0}), "expected a column name of printable text"),
        (Square(None, lambda outputs: outputs.mean(axis=1)), "expected it to return a float, got ndarray"),
        (Square(None, lambda outputs: None), "expected it to return a float, got NoneType"),
    ],
)
def test_a_loss_or_metric_that_cannot_serve(loss, words):
    refused(words, linear(loss), rows(20))
    refused(words, linear(loss), rows(20), validation=rows(9), train_metrics=False)


def test_an_error_of_a_metric_itself_comes_before_the_first_step():
    hit = Square(lambda outputs, targets: {"hit": outputs[np.arange(len(targets)), targets].mean()})
    refused("index 2 is out of", linear(hit), dl.Dataset(rows(20).x, np.arange(20) % 3), error=IndexError)


@pytest.mark.parametrize("metrics", [{"right": np.True_}, {"mean": np.array(0.5)}, {"mean": 1.0, "nan": np.nan}, {}])
def test_correct_metrics_do_not_warn(metrics):
    assert len(trained(linear(returning(metrics)), rows(20), validation=rows(9), batch_size=5).history) == 2


def test_weights_with_nan_are_reported_by_the_step():
    network = linear()
    network.parameters["0.weight"].value[0, 0] = np.nan
    history = trained(network, rows(20), nonfinite="ignore").history
    assert history.columns[:4] == ["epoch", "loss", "cost", "accuracy"]
    with pytest.raises(dl.NonFiniteError, match="epoch 1, after step 0: batch 1: "):
        trained(network, rows(20))
