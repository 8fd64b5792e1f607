"""What fit refuses before the first step and before anything changes; and drop_last."""

import os
import threading

import numpy as np
import pytest
from training_runs import Death, DieAt

import minidl as dl

LONG = "n" * 260


def rows(n, features=5, dtype=np.float32):
    x = np.random.default_rng(n).normal(size=(n, features)).astype(dtype)
    return dl.Dataset(x, (x[:, 0] > 0).astype(int))


def images(n):
    x = np.random.default_rng(n).normal(size=(n, 4, 4, 3)).astype(np.float32)
    return dl.Dataset(x, np.arange(n) % 2)


def model(*layers, loss=None):
    return dl.Model(dl.Sequential(*layers), loss or dl.SoftmaxCrossEntropy())


def normalized():
    return model(dl.Dense(5, 8, rng=0), dl.BatchNorm(8), dl.ReLU(), dl.Dropout(0.1, rng=2), dl.Dense(8, 2, rng=1))


def linear(loss=None, outputs=2):
    return model(dl.Dense(5, outputs, rng=0), loss=loss)


def begun(trainer):
    pytest.fail("training has begun")


def refused(words, network, data, *callbacks, error=dl.InputError, validation=None, **options):
    """Do it twice; nothing changes."""
    trainer = dl.Trainer(
        network, dl.SGD(0.1, momentum=0.9), [*callbacks, dl.LambdaCallback(on_epoch_begin=begun)], rng=0
    )
    before = {name: array.copy() for name, array in network.weights().items()}
    seeds = [layer.seed for layer in network.network.layers if isinstance(layer, dl.Dropout)]
    for _ in range(2):
        with pytest.raises(error, match=words):
            trainer.fit(data, validation, **{"epochs": 2, "batch_size": 32, **options})
        assert (trainer.step, trainer.epoch, len(trainer.history), trainer.optimizer.state) == (0, 0, 0, {})
        assert all((before[name] == array).all() for name, array in network.weights().items())
        assert seeds == [layer.seed for layer in network.network.layers if isinstance(layer, dl.Dropout)]


# ---- the last batch


class Block(dl.Layer):
    """Hides a layer that mixes rows, as a class of a user's own may."""

    def __init__(self):
        super().__init__()
        self.norm = self.add_layer("norm", dl.BatchNorm(5))

    def forward(self, x, train=False):
        return self.norm.forward(x, train)

    def backward(self, dy):
        return self.norm.backward(dy)


class Fours(dl.Layer):
    batch_independent = False

    def forward(self, x, train=False):
        if train and len(x) % 4:
            raise dl.InputError("expected a multiple of 4 rows")
        if train:
            self.keep()
        return x

    def backward(self, dy):
        self.kept()
        return dy


ONE_LEFT = (
    r"^Trainer.fit: 161 rows in batches of 32 leave 1 row for the last batch; choose another batch_size, or leave it "
    r"out by drop_last=True: layer .*BatchNorm\(.*expected at least 2 values per feature in training, got x of shape "
    r"\(1, \d\)"
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
def test_a_single_row_left_for_a_layer_that_mixes_rows(network):
    refused(ONE_LEFT, network(), rows(161))
    for drop_last in (True, "merge"):
        trainer = dl.Trainer(network(), dl.SGD(0.1), rng=0)
        assert len(trainer.fit(rows(161), epochs=2, batch_size=32, drop_last=drop_last)) == 2
        assert trainer.step == 10


def test_batches_that_are_all_too_small():
    words = r"^Trainer.fit: a batch has 1 row; choose a larger batch_size, or give more rows: layer 1: BatchNorm"
    refused(words, normalized(), rows(161), batch_size=1)
    refused(words, normalized(), rows(1))
    refused(words, normalized(), rows(1), drop_last="merge")
    refused(
        "162 rows in batches of 32 leave 2 rows .*: layer 0: expected a multiple of 4", model(Fours()), rows(162, 2)
    )


def test_one_image_has_many_values_for_a_channel():
    convolution = [dl.Conv2D(3, 4, 3, padding="same", rng=0), dl.BatchNorm(4)]
    for batch_size in (1, 32):
        trainer = dl.Trainer(model(*convolution, dl.Flatten(), dl.Dense(64, 2, rng=1)), dl.SGD(0.1), rng=0)
        assert len(trainer.fit(images(33), epochs=1, batch_size=batch_size)) == 1
    pooled = model(dl.GlobalAvgPool2D(), dl.BatchNorm(3), dl.Dense(3, 2, rng=1))
    refused("33 rows in batches of 32 leave 1 row for the last batch", pooled, images(33))


def test_a_single_row_is_fine_where_rows_do_not_mix():
    for network in (linear(), model(dl.LayerNorm(5), dl.Dropout(0.5, rng=0), dl.Dense(5, 2, rng=0))):
        assert len(dl.Trainer(network, dl.SGD(0.1), rng=0).fit(rows(161), epochs=1, batch_size=32)) == 1


def test_asking_changes_no_bit_of_a_run():
    def run(check):
        network = normalized()
        trainer = dl.Trainer(network, dl.Adam(0.01), rng=0)
        network.network.layers[3].seed = 5
        if check:
            with pytest.raises(dl.InputError, match="drop_last=True"):
                trainer.fit(rows(161), epochs=2, batch_size=32)
        trainer.fit(rows(161), epochs=2, batch_size=40, drop_last=True)
        trainer.fit(rows(161), epochs=2, batch_size=40, drop_last=True)
        return [array.tobytes() for array in network.weights().values()]

    assert run(True) == run(False)


def test_a_network_that_cannot_be_copied_is_refused_at_the_batch_itself():
    norm = dl.BatchNorm(5)
    vars(norm)["lock"] = threading.Lock()
    trainer = dl.Trainer(model(norm, dl.Dense(5, 2, rng=0)), dl.SGD(0.1), rng=0)
    with pytest.raises(dl.InputError, match=r"epoch 1, after step 5: layer 0: .*at least 2 values per feature"):
        trainer.fit(rows(161), epochs=1, batch_size=32)


# ---- drop_last


class Sizes(dl.Callback):
    """Notes how many rows each step has, by a look at what the network is given."""

    def __init__(self, layer):
        self.sizes, forward = [], layer.forward

        def counting(x, train=False):
            if train:
                self.sizes.append(len(x))
            return forward(x, train)

        vars(layer)["forward"] = counting


@pytest.mark.parametrize(
    ("n", "drop_last", "sizes"),
    [
        (10, False, [4, 4, 2]),
        (10, True, [4, 4]),
        (10, "merge", [4, 4, 2]),
        (9, False, [4, 4, 1]),
        (9, True, [4, 4]),
        (9, "merge", [4, 5]),
        (8, True, [4, 4]),
        (8, "merge", [4, 4]),
        (5, "merge", [5]),
        (3, "merge", [3]),
        (3, False, [3]),
        (1, "merge", [1]),
    ],
)
def test_how_many_rows_a_step_has(n, drop_last, sizes):
    network = linear()
    look = Sizes(network.network.layers[0])
    timer = dl.Timer()
    trainer = dl.Trainer(network, dl.SGD(0.1), [look, timer], rng=0)
    trainer.fit(rows(n), epochs=3, batch_size=4, drop_last=drop_last)
    assert look.sizes == 3 * sizes
    assert trainer.batches_per_epoch == len(sizes)
    assert trainer.step == 3 * len(sizes)
    assert trainer.rows_per_epoch == sum(sizes)
    for got, steps, between in zip(
        timer.rows_per_second, timer.seconds["steps"], timer.seconds["between"], strict=True
    ):
        assert got == pytest.approx(sum(sizes) / (steps + between))


def test_an_epoch_leaves_out_rows_of_its_own():
    seen = [set(), set()]

    class Labels(dl.MeanSquaredError):
        def forward(self, outputs, targets):
            batches.append(targets.ravel().tolist())
            return super().forward(outputs, targets)

    batches = []
    network = model(dl.Dense(1, 1, rng=0), loss=Labels())
    trainer = dl.Trainer(network, dl.SGD(1e-9), rng=0)
    data = dl.Dataset(np.zeros((10, 1), np.float32), np.arange(10.0)[:, None])
    for epoch in range(2):
        trainer.fit(data, epochs=1, batch_size=4, drop_last=True, train_metrics=False)
        # Before the first step the loss is tried on other rows.
        seen[epoch] = {row for batch in batches[-2:] for row in batch}
    assert [len(s) for s in seen] == [8, 8]
    assert seen[0] != seen[1]


@pytest.mark.parametrize("step", range(1, 9))
@pytest.mark.parametrize(
    ("n", "drop_last", "options"), [(19, True, {"augment": [dl.Mirror()]}), (17, "merge", {}), (18, True, {})]
)
def test_it_is_resumed_in_the_middle_of_an_epoch(tmp_path, step, n, drop_last, options):
    def run(*callbacks, drop_last=drop_last, **more):
        network = model(
            dl.Conv2D(3, 2, 3, padding="same", rng=0), dl.BatchNorm(2), dl.Flatten(), dl.Dense(32, 2, rng=1)
        )
        trainer = dl.Trainer(network, dl.Adam(dl.CosineAnnealing(0.1, steps=9)), callbacks, rng=0)
        trainer.fit(images(n), epochs=3, batch_size=6, drop_last=drop_last, **options, **more)
        return trainer

    whole = run()
    with pytest.raises(Death):
        run(dl.Checkpoint(tmp_path, every_steps=1), DieAt(step))
    resumed = run(dl.Checkpoint(tmp_path), resume_from=tmp_path)
    assert (resumed.step, whole.step) == (9, 9) if drop_last is True else (resumed.step == whole.step)
    for name, array in whole.model.weights().items():
        assert array.tobytes() == resumed.model.weights()[name].tobytes()
    with pytest.raises(dl.CheckpointError, match=f"drop_last was {drop_last!r} and is False"):
        run(resume_from=tmp_path, drop_last=False)


def test_the_bar_counts_the_batches_that_are_left(tmp_path):
    with open(tmp_path / "bar", "w") as file:
        trainer = dl.Trainer(linear(), dl.SGD(0.1), [dl.ProgressBar(2, file)], rng=0)
        trainer.fit(rows(10), epochs=2, batch_size=4, drop_last=True)
    assert len((tmp_path / "bar").read_text().splitlines()) == 2


def test_dropping_all_and_other_values_are_refused():
    words = r"drop_last=True would leave out all 31 rows, since a batch has 32; choose a smaller batch_size"
    refused(words, linear(), rows(31), drop_last=True)
    for wrong in (1, 0, None, "drop", [True]):
        refused("drop_last: expected True, False or 'merge', got", linear(), rows(31), drop_last=wrong)


# ---- files


@pytest.mark.parametrize(
    ("callback", "words"),
    [
        (
            lambda folder: dl.CSVLogger(folder / f"{LONG}.csv"),
            "n.csv: expected a file .*too long; choose a shorter name",
        ),
        (lambda folder: dl.JSONLLogger(folder / "made" / LONG), "n: expected a file .*too long; choose a shorter name"),
        (lambda folder: dl.CSVLogger(folder), "expected a file .*this is a folder or a device"),
        (lambda folder: dl.CSVLogger(os.devnull), "expected a file .*this is a folder or a device"),
        (lambda folder: dl.CSVLogger(folder / "file" / "log.csv"), "file: expected a folder"),
        (lambda folder: dl.LiveCurves(folder / f"{LONG}.html"), "cannot write the page .*too long"),
        (
            lambda folder: dl.LearningCurves(folder, prefix=LONG),
            "ncost.png: expected a file .*too long; choose a shorter",
        ),
        (lambda folder: dl.LearningCurves(folder / LONG), "n: expected a folder .*too long; choose a shorter name"),
        (lambda folder: dl.LearningCurves(folder / "taken"), "loss.svg: expected a file .*this is a folder"),
        (lambda folder: dl.WeightTemplates(folder, prefix=LONG[:247]), "nweights.png: expected a file .*too long"),
        (lambda folder: dl.Checkpoint(folder / LONG), "n: expected a folder .*too long; choose a shorter name"),
        (lambda folder: dl.Checkpoint(folder / "taken"), "best.safetensors: expected a file .*this is a folder"),
    ],
)
def test_a_file_that_cannot_be_written(tmp_path, callback, words):
    (tmp_path / "file").write_text("")
    (tmp_path / "taken" / "loss.svg").mkdir(parents=True)
    (tmp_path / "taken" / "best.safetensors").mkdir()
    refused(words, linear(), rows(20), callback(tmp_path))


def test_names_that_just_fit_are_taken(tmp_path):
    callbacks = [
        dl.CSVLogger(tmp_path / f"{'c' * 251}.csv"),
        dl.LiveCurves(tmp_path / f"{'h' * 250}.html"),
        dl.LearningCurves(tmp_path, prefix="p" * 247),
    ]
    dl.Trainer(linear(), dl.SGD(0.1), callbacks, rng=0).fit(rows(20), epochs=1, batch_size=5)
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
    """A loss of a user's own; `metrics` returns what it is given."""

    measured = staticmethod(lambda outputs, targets: {"mae": abs(outputs).mean()})

    def forward(self, outputs, targets):
        self.keep(outputs)
        return float((outputs**2).mean())

    def backward(self):
        (outputs,) = self.kept()
        return 2 * outputs / outputs.size

    def metrics(self, outputs, targets):
        return self.measured(outputs, targets)


def measuring(function, **methods):
    return type("Mine", (Square,), {"measured": staticmethod(function), **methods})()


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (
            lambda: measuring(lambda o, t: {"f1": np.ones(3)}),
            r"Mine\(\)\.metrics: expected a number for 'f1', got array",
        ),
        (lambda: measuring(lambda o, t: {"f1": [0.5, 0.5]}), "expected a number for 'f1', got \\[0.5"),
        (lambda: measuring(lambda o, t: {"f1": "0.5"}), "expected a number for 'f1', got '0.5'"),
        (
            lambda: measuring(lambda o, t: None),
            r"Mine\(\)\.metrics: expected what it returns to be a Mapping, got None",
        ),
        (
            lambda: measuring(lambda o, t: {"loss": 1.0}),
            "the trainer has a column 'loss' of its own; choose another name",
        ),
        (lambda: measuring(lambda o, t: {"seconds": 1.0}), "the trainer has a column 'seconds' of its own"),
        (lambda: measuring(lambda o, t: {"a\nb": 1.0}), "expected a column name of printable text"),
        (
            lambda: measuring(None, forward=lambda self, o, t: o.mean(axis=1)),
            "expected it to return a float, got ndarray",
        ),
        (lambda: measuring(None, forward=lambda self, o, t: None), "expected it to return a float, got NoneType"),
    ],
)
def test_a_loss_or_metric_that_cannot_serve(loss, words):
    refused(words, linear(loss()), rows(20))
    refused(words, linear(loss()), rows(20), validation=rows(9), train_metrics=False)


def test_an_error_of_a_metric_itself_comes_before_the_first_step():
    with_labels = measuring(lambda outputs, targets: {"hit": float(outputs[np.arange(len(targets)), targets].mean())})
    refused(
        "index 2 is out of bounds", linear(with_labels), dl.Dataset(rows(20).x, np.arange(20) % 3), error=IndexError
    )


@pytest.mark.parametrize(
    "measured",
    [
        lambda outputs, targets: {"right": (outputs.argmax(axis=1) == targets).all()},
        lambda outputs, targets: {"mean": np.array(outputs.mean())},
        lambda outputs, targets: {"mean": outputs.mean(), "nan": float("nan")},
        lambda outputs, targets: {},
    ],
)
def test_metrics_that_were_right_stay_silent(measured):
    trainer = dl.Trainer(linear(measuring(measured)), dl.SGD(0.1), rng=0)
    assert len(trainer.fit(rows(20), rows(9), epochs=2, batch_size=5)) == 2


def test_weights_with_nan_are_for_the_step_to_judge():
    network = linear(outputs=2)
    network.parameters["0.weight"].value[0, 0] = np.nan
    history = dl.Trainer(network, dl.SGD(0.1), rng=0).fit(rows(20), epochs=1, batch_size=5, nonfinite="ignore")
    assert history.columns[:4] == ["epoch", "loss", "cost", "accuracy"]
    with pytest.raises(dl.NonFiniteError, match="epoch 1, after step 0: batch 1: "):
        dl.Trainer(network, dl.SGD(0.1), rng=0).fit(rows(20), epochs=1, batch_size=5)
