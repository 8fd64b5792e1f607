"""LearningCurves and WeightTemplates at the end of real and of broken runs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from minidl._core.errors import InputError, ShapeError
from minidl.data.dataset import Dataset
from minidl.nn.layers import BatchNorm, Conv2D, Dense, Flatten, Layer, ReLU, Sequential
from minidl.nn.losses import SoftmaxCrossEntropy
from minidl.nn.model import Model
from minidl.training.callbacks.base import Callback
from minidl.training.callbacks.figures import LearningCurves, WeightTemplates
from minidl.training.optimizers import SGD
from minidl.training.trainer import Trainer


class Fail(Callback):
    """Raises in the given epoch, before its measurement."""

    def __init__(self, epoch: int, error: type[BaseException]) -> None:
        self.epoch = epoch
        self.error = error

    def on_batch_end(self, trainer: Trainer) -> None:
        if trainer.epoch == self.epoch:
            raise self.error("on purpose")


@pytest.fixture
def data(rng: np.random.Generator) -> Dataset:
    x = rng.normal(size=(30, 12)).astype(np.float32)
    return Dataset(x, rng.integers(0, 3, 30), name="noise", class_names=("ant", "bee", "cow"))


def trainer_with(*callbacks: Callback, features: int = 12) -> Trainer:
    return Trainer(Model(Dense(features, 3, rng=1), SoftmaxCrossEntropy()), SGD(0.1), callbacks, rng=0)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_curves_and_templates_are_written_when_training_ends(tmp_path: Path, data: Dataset) -> None:
    curves = LearningCurves(tmp_path, prefix="a-", title="A run")
    templates = WeightTemplates(tmp_path, prefix="a-")
    trainer_with(curves, templates).fit(data, data, epochs=2, batch_size=10)
    assert names(tmp_path) == [f"a-{name}.{kind}" for name in ("cost", "loss", "weights") for kind in ("png", "svg")]
    assert curves.paths == {name: [tmp_path / f"a-{name}.png", tmp_path / f"a-{name}.svg"] for name in ("cost", "loss")}
    assert templates.paths == {"weights": [tmp_path / "a-weights.png", tmp_path / "a-weights.svg"]}


def test_constructing_writes_nothing(tmp_path: Path) -> None:
    assert LearningCurves(tmp_path / "a").paths == {}
    assert WeightTemplates(tmp_path / "a").paths == {}
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_run_has_its_figures(tmp_path: Path, data: Dataset, error: type[BaseException]) -> None:
    curves, templates = LearningCurves(tmp_path), WeightTemplates(tmp_path)
    with pytest.raises(error, match="on purpose"):
        trainer_with(curves, templates, Fail(2, error)).fit(data, epochs=3, batch_size=10)
    assert set(curves.paths) == {"cost", "loss"}
    assert set(templates.paths) == {"weights"}


def test_a_run_without_a_finished_epoch_has_none(tmp_path: Path, data: Dataset) -> None:
    curves, templates = LearningCurves(tmp_path), WeightTemplates(tmp_path)
    with pytest.raises(ValueError, match="on purpose"):
        trainer_with(curves, templates, Fail(1, ValueError)).fit(data, epochs=3, batch_size=10)
    trainer_with(curves, templates).fit(data, epochs=0, batch_size=10)
    assert curves.paths == templates.paths == {}
    assert names(tmp_path) == []


def test_paths_are_those_of_the_last_fit(tmp_path: Path, data: Dataset) -> None:
    curves, templates = LearningCurves(tmp_path), WeightTemplates(tmp_path)
    trainer_with(curves, templates).fit(data, epochs=1, batch_size=10)
    trainer_with(curves, templates).fit(data, epochs=0, batch_size=10)
    assert curves.paths == templates.paths == {}


def test_validation_alone_is_drawn(tmp_path: Path, data: Dataset) -> None:
    curves = LearningCurves(tmp_path)
    trainer_with(curves).fit(data, data, epochs=1, batch_size=10, train_metrics=False)
    assert set(curves.paths) == {"cost", "loss"}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, object]]:
    """What the figures were drawn from."""
    monkeypatch.chdir(tmp_path)
    calls: list[dict[str, object]] = []

    def plot_weight_templates(weight: np.ndarray, **options: object) -> str:
        calls.append({"shape": weight.shape, **options})
        return "figure"

    monkeypatch.setattr("minidl.plotting.plot_weight_templates", plot_weight_templates)
    monkeypatch.setattr("minidl.plotting.save_figure", lambda figure, path: [path])
    return calls


def test_names_and_title_are_those_of_the_training_data(drawn: list[dict[str, object]], data: Dataset) -> None:
    trainer_with(WeightTemplates("f")).fit(data, epochs=1, batch_size=10)
    assert drawn[-1] == {
        "shape": (12, 3),
        "class_names": ("ant", "bee", "cow"),
        "image_shape": None,
        "title": "noise",
    }


def test_what_was_asked_for_goes_first(drawn: list[dict[str, object]], data: Dataset) -> None:
    options = {"class_names": ["a", "b", "c"], "image_shape": (3, 4), "title": "mine"}
    trainer_with(WeightTemplates("f", parameter="weight", **options)).fit(data, epochs=1, batch_size=10)
    assert drawn[-1] == {"shape": (12, 3), **options}


def test_hidden_units_are_not_called_classes(drawn: list[dict[str, object]], data: Dataset) -> None:
    network = Sequential(Dense(12, 5, rng=1), ReLU(), Dense(5, 3, rng=2))
    Trainer(Model(network, SoftmaxCrossEntropy()), SGD(0.1), [WeightTemplates("f")], rng=0).fit(
        data, epochs=1, batch_size=10
    )
    assert drawn[-1]["shape"] == (12, 5)
    assert drawn[-1]["class_names"] == ()


def test_what_cannot_be_drawn_is_refused_before_the_first_step(tmp_path: Path, data: Dataset) -> None:
    trainer = trainer_with(WeightTemplates(tmp_path, parameter="0.weigth"))
    with pytest.raises(InputError, match=r"a parameter '0.weigth', the model has weight, bias"):
        trainer.fit(data, epochs=1, batch_size=10)
    assert trainer.step == 0
    trainer = trainer_with(WeightTemplates(tmp_path), features=11)
    with pytest.raises(ShapeError, match="11 features are no square image; pass image_shape"):
        trainer.fit(Dataset(data.x[:, :11], data.y), epochs=1, batch_size=10)
    assert trainer.step == 0
    assert names(tmp_path) == []


def test_a_dense_behind_flatten_sees_the_pictures(drawn: list[dict[str, object]], data: Dataset) -> None:
    network = Sequential(Flatten(), ReLU(), Dense(12, 3, rng=1))
    pictures = Dataset(data.x.reshape(-1, 2, 2, 3), data.y)
    Trainer(Model(network, SoftmaxCrossEntropy()), SGD(0.1), [WeightTemplates("f")], rng=0).fit(
        pictures, epochs=1, batch_size=10
    )
    assert drawn[-1]["shape"] == (12, 3)


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (
            lambda: Conv2D(3, 4, 1, rng=1),
            r"'0.weight' of shape \(1, 1, 3, 4\); .* of 0.weight, 0.bias, 2.weight, 2.bias",
        ),
        (lambda: BatchNorm(3), r"'0.gamma' of shape \(3,\); .* of 0.gamma, 0.beta, 2.weight, 2.bias"),
    ],
)
def test_a_later_matrix_is_drawn_only_when_it_is_named(
    tmp_path: Path, data: Dataset, first: Callable[[], Layer], words: str
) -> None:
    pictures = Dataset(data.x.reshape(-1, 2, 2, 3), data.y)
    features = 16 if isinstance(first(), Conv2D) else 12
    model = Model(Sequential(first(), Flatten(), Dense(features, 3, rng=1)), SoftmaxCrossEntropy())
    trainer = Trainer(model, SGD(0.1), [WeightTemplates(tmp_path)], rng=0)
    with pytest.raises(InputError, match="first parameter to have two axes, got " + words):
        trainer.fit(pictures, epochs=1, batch_size=10)
    assert trainer.step == 0
    assert names(tmp_path) == []
    named = WeightTemplates(tmp_path, parameter="2.weight")
    Trainer(model, SGD(0.1), [named], rng=0).fit(pictures, epochs=1, batch_size=10)
    assert names(tmp_path) == ["weights.png", "weights.svg"]


def test_a_model_without_parameters_has_no_templates(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a parameter, the model has none"):
        WeightTemplates(tmp_path)._find({})
