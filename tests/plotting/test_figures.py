"""LearningCurves and WeightTemplates at the end of real and of broken runs."""

from pathlib import Path

import numpy as np
import pytest
from figures import save_nothing

import minidl as dl
from minidl import LearningCurves, WeightTemplates

BATCH = {"epochs": 1, "batch_size": 10}


@pytest.fixture
def data(rng):
    x = rng.normal(size=(30, 12)).astype(np.float32)
    return dl.Dataset(x, rng.integers(0, 3, 30), name="noise", class_names=("ant", "bee", "cow"))


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """What figures are drawn from; none is drawn, and saving one makes empty files."""
    monkeypatch.chdir(tmp_path)
    calls = []

    def drawing(first, *rest, **options):
        calls.append({"shape": first.shape, **options} if isinstance(first, np.ndarray) else (*rest, options))

    monkeypatch.setattr("minidl.plotting.plot_weight_templates", drawing)
    monkeypatch.setattr("minidl.plotting.plot_curves", drawing)
    monkeypatch.setattr("minidl.plotting.save_figure", save_nothing)
    return calls


def trainer_with(*callbacks, network=None):
    model = dl.Model(network or dl.Dense(12, 3, rng=1), dl.SoftmaxCrossEntropy())
    return dl.Trainer(model, dl.SGD(0.1), callbacks, rng=0)


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def test_curves_and_templates_are_written_when_training_ends(tmp_path, data):
    curves = LearningCurves(tmp_path / "f", prefix="a-", title="A run")
    templates = WeightTemplates(tmp_path / "f", prefix="a-")
    assert names(tmp_path) == []
    assert curves.paths == templates.paths == {}
    trainer_with(curves, templates).fit(data, data, **BATCH)
    paths = curves.paths | templates.paths
    assert list(paths) == ["cost", "loss", "weights"]
    for name, (png, svg) in paths.items():
        assert (png, svg) == (tmp_path / "f" / f"a-{name}.png", tmp_path / "f" / f"a-{name}.svg")
        assert png.read_bytes().startswith(b"\x89PNG")
        assert svg.read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize(("epoch", "written"), [(1, set()), (2, {"cost", "loss", "weights"})])
def test_a_broken_run_has_its_figures_if_an_epoch_was_finished(drawn, data, error, epoch, written):
    def fail(trainer):
        if trainer.epoch == epoch:
            raise error("on purpose")

    curves, templates = LearningCurves("f"), WeightTemplates("f")
    with pytest.raises(error, match="on purpose"):
        trainer_with(curves, templates, dl.LambdaCallback(on_batch_end=fail)).fit(data, epochs=3, batch_size=10)
    assert {*curves.paths, *templates.paths} == written
    assert {name.partition(".")[0] for name in names("f")} == written


def test_validation_alone_is_drawn_and_paths_are_those_of_the_last_fit(drawn, data):
    curves = LearningCurves("f")
    trainer_with(curves).fit(data, data, **BATCH, train_metrics=False)
    assert set(curves.paths) == {"cost", "loss"}
    assert drawn == [(name, {"title": "noise"}) for name in ("cost", "loss")]
    trainer_with(curves).fit(data, epochs=0, batch_size=10)
    assert curves.paths == {}


def templates_of(data, *layers, folder="f", **options):
    """Train a network, which takes pictures unless it begins with Dense, and draw its templates."""
    if not isinstance(layers[0], dl.Dense):
        data = data.map(lambda x: x.reshape(-1, 2, 2, 3))
    trainer = trainer_with(WeightTemplates(folder, **options), network=dl.Sequential(*layers))
    try:
        trainer.fit(data, **BATCH)
    finally:
        assert trainer.step == (3 if names(folder) else 0)


def dense(columns, rows=12):
    return dl.Dense(rows, columns, rng=1)


MINE = {"class_names": ["a", "b", "c"], "image_shape": (3, 4), "title": "mine"}
OF_DATA = {"class_names": ("ant", "bee", "cow"), "image_shape": None, "title": "noise"}


@pytest.mark.parametrize(
    ("layers", "options", "expected"),
    [
        ([dense(3)], {}, {"shape": (12, 3), **OF_DATA}),
        ([dense(3)], {"parameter": "0.weight", **MINE}, {"shape": (12, 3), **MINE}),
        # Hidden units are not called classes.
        ([dense(5), dl.ReLU(), dense(3, 5)], {}, {"shape": (12, 5), **OF_DATA, "class_names": ()}),
        ([dl.BatchNorm(3), dl.Flatten(), dense(3)], {"parameter": "2.weight"}, {"shape": (12, 3), **OF_DATA}),
    ],
)
def test_templates_are_of_the_weight_that_sees_the_pictures(drawn, data, layers, options, expected):
    templates_of(data, *layers, **options)
    assert drawn[-1] == expected


@pytest.mark.parametrize(
    ("layers", "options", "error", "words"),
    [
        ([dense(3)], {"parameter": "0.weigth"}, dl.InputError, "no parameter '0.weigth'; available: 0.weight, 0.bias"),
        ([dense(11), dense(3, 11)], {"parameter": "1.weight"}, dl.ShapeError, "11 features .*pass image_shape"),
        ([dl.Conv2D(3, 3, 1), dl.Flatten(), dense(3)], {}, dl.InputError, r"two axes, got '0.weight' .* of 0.weight, "),
        ([dl.GlobalAvgPool2D()], {}, dl.InputError, "WeightTemplates: no parameter ''; available: none"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_the_first_step(tmp_path, data, layers, options, error, words):
    with pytest.raises(error, match=words):
        templates_of(data, *layers, folder=tmp_path, **options)
    assert names(tmp_path) == []
