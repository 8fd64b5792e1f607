"""GradientMonitor, Timer, TensorBoard: their numbers, compared with independent computations."""

import re
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
from training_runs import Death, DieAt, at, fit, images, trained, usual_run

import minidl as dl
from minidl.training.callbacks import monitors

# ---- GradientMonitor


class ByHand(dl.Callback):
    """Computes the sums of GradientMonitor with numpy.linalg, in float64, for plain SGD: a step is 0.05 * gradient."""

    def __init__(self, every):
        self.every, self.rows = every, {}

    def on_batch_begin(self, trainer):
        self.weights = [np.linalg.norm(p.value.astype(float)) for p in trainer.model.parameters.values()]

    def on_batch_end(self, trainer):
        if (trainer.batch - 1) % self.every == 0:
            gradients = [np.linalg.norm(p.grad.astype(float)) for p in trainer.model.parameters.values()]
            self.rows.setdefault(trainer.epoch, []).append(list(zip(gradients, self.weights, strict=True)))


def plain(*callbacks, **options):
    return dl.Trainer(usual_run()[0].model, dl.SGD(0.05, **options), callbacks, rng=3)


@pytest.mark.parametrize("every", [1, 2, 10])
def test_norms_and_ratios_equal_those_of_numpy(every):
    hand, monitor = ByHand(every), dl.GradientMonitor(every)
    fit(plain(hand, monitor), {}, 3)
    assert monitor.epochs == [1, 2, 3]
    assert list(monitor.norms) == list(monitor.ratios) == ["1.weight", "1.bias", "3.weight", "3.bias"]
    for i, rows in enumerate(hand.rows.values()):
        table = np.array(rows)  # (batches, parameters, gradient and weight)
        gradients, weights = table.sum(axis=0).T
        ratios = 0.05 * np.divide(gradients, weights, out=np.full(4, np.nan), where=weights > 0)
        assert [norms[i] for norms in monitor.norms.values()] == pytest.approx(gradients / len(rows), rel=1e-6)
        assert [r[i] for r in monitor.ratios.values()] == pytest.approx(ratios, rel=1e-3, nan_ok=True)
        assert monitor.total_norms[i] == pytest.approx(np.linalg.norm(table[:, :, 0], axis=1).mean())
    assert monitor.clipped == [0.0] * 3


def test_clipped_steps_are_counted_and_norms_are_before_clipping():
    norms = []
    look = dl.LambdaCallback(on_epoch_end=lambda trainer: norms.append(free.total_norms[-1]))
    free, clipped, some = (dl.GradientMonitor(1) for _ in range(3))
    fit(plain(free, look, clip_norm=1e9), {}, 4)
    assert free.clipped == [0.0] * 4
    fit(plain(clipped, clip_norm=1e-3), {}, 1)
    assert clipped.clipped == [1.0]
    assert clipped.total_norms[0] > 0.1
    assert clipped.norms["1.weight"][0] == pytest.approx(free.norms["1.weight"][0], rel=0.2)
    assert clipped.ratios["1.weight"][0] < free.ratios["1.weight"][0] / 10
    head, *rows, last = str(clipped).splitlines()
    assert head.split() == ["parameter", "gradient", "norm", "update/weight"]
    assert [row.split()[0] for row in rows] == list(clipped.norms)
    assert re.fullmatch(r"epoch 1: total gradient norm [\d.]+, 100% of the steps clipped", last)
    fit(plain(some, clip_norm=float(np.median(norms))), {}, 4)
    assert 0 < np.mean(some.clipped) < 1
    assert str(dl.GradientMonitor()) == "GradientMonitor(): no finished epoch yet"


def test_it_changes_nothing_and_a_parameter_that_is_trained_later_has_columns_of_full_length():
    unfreeze = at("on_epoch_begin", 2, lambda trainer: trainer.model.network.layers[1].unfreeze())
    ends, monitor = [], dl.GradientMonitor(1)
    for callbacks in ([], [monitor]):
        trainer = plain(*callbacks, unfreeze)
        trainer.model.network.layers[1].freeze()
        fit(trainer, {}, 3)
        ends.append({path: array.tobytes() for path, array in trainer.model.weights().items()})
    assert ends[0] == ends[1]
    assert monitor.norms.keys() == monitor.ratios.keys() == {"1.weight", "1.bias", "3.weight", "3.bias"}
    assert np.isnan(monitor.norms["1.weight"]).tolist() == [True, False, False]
    assert {len(column) for table in (monitor.norms, monitor.ratios) for column in table.values()} == {3}
    fit(trainer, {}, 1)
    assert monitor.epochs == [4]
    assert len(monitor.norms["1.weight"]) == 1


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_tiny_and_huge_gradients_have_a_norm(size):
    monitor, parameter = dl.GradientMonitor(1), dl.Parameter(np.ones(3, np.float32))
    parameter.add_grad(np.array([3, 4, 0], np.float32) * np.float32(size))
    model = SimpleNamespace(parameters={"w": parameter})
    trainer = SimpleNamespace(model=model, optimizer=dl.SGD(1), batch=0, epoch=1, logs={"batch_cost": 1.0})
    monitor.on_batch_begin(trainer)
    monitor.on_batch_end(trainer)
    monitor.on_epoch_end(trainer)
    assert monitor.norms["w"] == monitor.total_norms == pytest.approx([5 * size])


def test_skipped_steps_are_not_counted():
    trainer = plain(monitor := dl.GradientMonitor(1))
    trainer.model.network.layers[1].weight.value[0, 0] = np.nan
    fit(trainer, {}, 1, nonfinite="skip")
    assert monitor.norms == {}
    assert np.isnan(monitor.total_norms).all()


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
def test_every_is_a_count(every):
    with pytest.raises(dl.InputError, match="every: expected an integer >= 1"):
        dl.GradientMonitor(every)


# ---- Timer


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only if the test moves it."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(monitors, "perf_counter", lambda: clock.now)
    return clock


def taking(seconds, clock):
    return lambda trainer: setattr(clock, "now", clock.now + seconds)


class Slow(dl.Flatten):
    """Takes 1 second in training and 50 to measure."""

    clock = None

    def forward(self, x, train=False):
        if self.clock is not None:
            self.clock.now += 1 if train else 50
        return super().forward(x, train)


def timed(clock, *callbacks):
    slow = Slow()
    model = dl.Model(dl.Sequential(slow, dl.Dense(72, 3, rng=1)), dl.SoftmaxCrossEntropy())
    begin = dl.LambdaCallback(on_train_begin=lambda trainer: setattr(slow, "clock", clock))
    return dl.Trainer(model, dl.SGD(0.1), [*callbacks, begin], rng=0)


def test_the_parts_of_an_epoch_are_timed_separately(clock):
    timer = dl.Timer()
    others = dl.LambdaCallback(
        on_batch_end=taking(7, clock), on_epoch_end=taking(300, clock), on_train_begin=taking(9000, clock)
    )
    trainer = timed(clock, timer, others)
    fit(trainer, {}, 2)  # 40 rows in 3 batches; 40 and 20 rows are measured at once
    assert timer.epochs == [1, 2]
    # Measuring follows the third step of an epoch.
    assert timer.seconds == {"steps": [3, 3], "between": [14, 14], "measuring": [107, 107], "callbacks": [300, 300]}
    assert timer.rows_per_second == pytest.approx([40 / 17, 40 / 17])
    assert str(timer).splitlines() == [
        "part       seconds  per epoch  share",
        "steps        6.000     3.0000     1%",
        "between     28.000    14.0000     3%",
        "measuring  214.000   107.0000    25%",
        "callbacks  600.000   300.0000    71%",
        "2 epochs, 2.35 rows per second",
    ]


@pytest.mark.parametrize("step", [4, 5])
def test_an_interrupted_epoch_does_not_count(clock, step):
    timer = dl.Timer()
    trainer = timed(clock, timer, DieAt(step), dl.LambdaCallback(on_epoch_end=taking(300, clock)))
    with pytest.raises(Death):
        fit(trainer, {}, 3)
    assert timer.epochs == [1]
    assert timer.seconds["callbacks"] == [300]
    trainer.callbacks = [timer]
    fit(trainer, {}, 1)
    assert timer.epochs == [3]


def test_with_a_real_clock_the_parts_are_within_the_epoch():
    (seconds,) = trained(timer := dl.Timer(), epochs=1).history["seconds"]
    assert 0 < sum(timer.seconds[part][0] for part in ("steps", "between", "measuring")) < 2 * seconds + 1e-3


# ---- TensorBoard


def test_training_and_validation_have_neighbouring_tags():
    writer = Mock(spec=["add_scalar", "flush"])
    quality = dl.LambdaCallback(on_epoch_end=lambda trainer: trainer.logs.update(quality=7))
    trainer = trained(quality, dl.TensorBoard(writer), epochs=2)
    fit(trainer, {}, 1)
    tags = {name: name for name in ("learning_rate", "seconds", "quality")}
    for name in ("loss", "cost", "accuracy"):
        tags |= {f"{name}/train": name, f"{name}/validation": f"val_{name}"}
    expected = {(tag, value, i) for tag, name in tags.items() for i, value in enumerate(trainer.history[name], 1)}
    scalars = [call.args for call in writer.add_scalar.call_args_list]
    assert set(scalars) == expected
    assert {type(value) for _, value, _ in scalars} == {float}
    assert len(scalars) == len(expected)
    assert writer.flush.call_count == 3


def test_a_writer_needs_no_flush_and_a_run_no_validation():
    tags = []
    writer = SimpleNamespace(add_scalar=lambda tag, value, step: tags.append(tag))
    trainer, _ = usual_run([dl.TensorBoard(writer)])
    trainer.fit(images(), epochs=1, batch_size=16)
    assert sorted(tags) == ["accuracy/train", "cost/train", "learning_rate", "loss/train", "seconds"]


@pytest.mark.parametrize("writer", ["runs/one", None, type("Writer", (), {"add_scalar": print}), object()])
def test_an_invalid_writer_is_refused_at_once(writer):
    with pytest.raises(dl.InputError, match=r"expected a writer with add_scalar\(tag, value, step\)"):
        dl.TensorBoard(writer)


def test_a_real_writer_accepts_the_numbers(tmp_path):
    tensorboard = pytest.importorskip("tensorboardX", reason="needs tensorboardX")
    with tensorboard.SummaryWriter(str(tmp_path)) as writer:
        trained(dl.TensorBoard(writer), epochs=2)
    (path,) = tmp_path.iterdir()
    assert path.read_bytes().count(b"loss/validation") == 2
    assert repr(dl.TensorBoard(writer)) == "TensorBoard(SummaryWriter)"
