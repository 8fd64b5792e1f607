"""Characters that no file or page can show are refused in texts and paths, and replaced in foreign texts."""

import xml.dom.minidom

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
from minidl._core.texts import check_text, distinct_labels, legible

X = np.random.default_rng(0).normal(size=(20, 4))
LABELS = np.arange(20) % 3
NUMBERS = np.arange(9.0)
DATA = dl.Dataset(X, LABELS)


def trainer(*callbacks):
    return dl.Trainer(dl.Model(dl.Dense(4, 3, rng=0), dl.SoftmaxCrossEntropy()), dl.SGD(0.1), callbacks, rng=0)


def trained(*callbacks):
    made = trainer(*callbacks)
    made.fit(DATA, epochs=1, batch_size=10)
    return made


def one(config, seed):
    return {"v": 1}


PATHS = {
    "save_weights": lambda path: trainer().model.save_weights(path),
    "save_checkpoint": lambda path: trained().save_checkpoint(path),
    "Checkpoint": lambda path: dl.Checkpoint(path),
    "CSVLogger": lambda path: dl.CSVLogger(path),
    "JSONLLogger": lambda path: dl.JSONLLogger(path),
    "LiveCurves": lambda path: dl.LiveCurves(path),
    "LearningCurves": lambda path: dl.LearningCurves(path),
    "a prefix": lambda path: dl.LearningCurves(".", prefix=path),
    "to_csv": lambda path: trained().history.to_csv(path),
    "from_jsonl": dl.History.from_jsonl,
    "sweep": lambda path: dl.sweep(one, {"x": [1]}, out=path),
    "SweepResult.from_file": dl.SweepResult.from_file,
    "save_figure": lambda path: dl.plotting.save_figure(dl.plotting.plot_curves({"loss": [1.0]}, "loss"), path),
    "Report.write": lambda path: dl.report.Report("title").write(path),
    "Report.figures": lambda path: dl.report.Report("title").figures([(f"{path}.png", "text", "")]),
    "load_cifar10": lambda path: dl.datasets.load_cifar10(path),
}


@pytest.mark.parametrize("letter", ["\0", "\ud800"])
@pytest.mark.parametrize("name", PATHS)
def test_a_path_that_no_file_can_have_is_refused(tmp_path, name, letter):
    with pytest.raises(dl.InputError, match=r"expected the name of a file|expected a text that can be shown"):
        PATHS[name](f"{tmp_path}/a{letter}b")
    assert list(tmp_path.iterdir()) == []


def test_a_path_of_bytes_that_are_no_letters_is_one(tmp_path):
    """Python decodes such a byte as a surrogate."""
    path = tmp_path / "\udcff.safetensors"
    model = trainer().model
    model.save_weights(path)
    model.load_weights(path)
    assert list(tmp_path.iterdir()) == [path]


TEXTS = {
    "name": lambda text: dl.Dataset(X, LABELS, name=text),
    "source": lambda text: dl.Dataset(X, LABELS, source=text),
    "class_names": lambda text: dl.Dataset(X, LABELS, class_names=["a", text, "c"]),
    "most_confused": lambda text: dl.most_confused([[1, 2], [2, 1]], ["a", text]),
    "Report": dl.report.Report,
    "Report.heading": lambda text: dl.report.Report("title").heading(text),
    "title": lambda text: dl.LearningCurves(".", title=text),
    "a name": lambda text: dl.ReLU().add_parameter(text, [1.0]),
}


@pytest.mark.parametrize("letter", ["\0", "\ud800", "\x1b", "\x9b", "\uffff", "\b"])
@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_cannot_be_shown_is_refused_by_name(name, letter):
    with pytest.raises(dl.InputError, match=rf"{name}.*: expected a text that can be shown, got 'a\\.*'; remove"):
        TEXTS[name](f"a{letter}b")


@pytest.mark.parametrize("text", ["", "two\nlines\tand\r\n", "λ = ½ ü 名 👩\u200d🔬 \xa0 \xad", 7])
def test_a_text_that_can_be_shown_is_not(text):
    check_text("title", text)
    dl.Dataset(X, LABELS, name=str(text), class_names=[str(text), "b", "c"])


def test_foreign_texts_are_shown_with_replacement_characters(tmp_path):
    bad = "a\x1b[31m\0\ud800b"
    assert legible(bad) == "a\ufffd[31m\ufffd\ufffdb"
    report = dl.report.Report("title").paragraph(bad).table([bad], [[bad]], caption=bad)
    for path in report.write(tmp_path):
        assert "\x1b" not in path.read_text(encoding="utf-8")


def test_a_page_shows_an_error_whatever_its_text(tmp_path):
    def fail(_):
        raise RuntimeError("a\x1b[31m\0\ud800b")

    with pytest.raises(RuntimeError):
        trained(dl.LiveCurves(tmp_path / "live.html"), dl.LambdaCallback(on_epoch_end=fail))
    assert "RuntimeError: a\ufffd[31m" in (tmp_path / "live.html").read_text(encoding="utf-8")


def test_a_printed_sweep_steers_no_terminal(tmp_path, capsys):
    def fails(config, seed):
        if config["x"] == 1:
            raise RuntimeError("red \x1b[31m \x9b31m \r")
        return {"v": 1}

    configs = [{"x": "\x1b[2J\ud800"}, {"x": 1}, {"x": "\r\b"}]
    result = dl.sweep(fails, configs, out=tmp_path / "sweep.jsonl", verbose=2)
    print(result, *result.failed, result.best("v"))
    said = "".join(capsys.readouterr())
    assert "\ufffd[31m" in said
    assert not set(said) & set("\x1b\x9b\r\b\ud800")


BAD = "a\x1b[31m\0\x85\ufffe\ud800 b--"
FIGURES = {
    "plot_curves": lambda plot: plot({BAD + "loss": [1.0, 200.0, 1.0]}, BAD + "loss"),
    "plot_runs": lambda plot: plot({BAD: {"loss": [1.0, np.nan]}, f"{BAD}2": {}}, "loss"),
    "plot_gradient_norms": lambda plot: plot({f"{BAD}.weight": [1.0, 0.0]}),
    "plot_update_ratios": lambda plot: plot({f"{BAD}.weight": [1.0, np.inf]}),
    "plot_sweep": lambda plot: plot({BAD: [BAD, "b"], "v": [1.0, 2.0], f"{BAD}2": [BAD, "c"]}, BAD, "v", by=f"{BAD}2"),
    # A matrix of this size is shown as colours.
    "plot_sweep ": lambda plot: plot({"x": NUMBERS, BAD: NUMBERS, f"{BAD}2": NUMBERS}, "x", BAD, by=f"{BAD}2"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_foreign_labels_make_a_valid_svg(tmp_path, name):
    _, svg = dl.plotting.save_figure(FIGURES[name](getattr(dl.plotting, name.strip())), tmp_path / "figure")
    xml.dom.minidom.parse(str(svg))


LONG = "a" * 40


@pytest.mark.parametrize(
    ("names", "most", "labels"),
    [
        ([], 8, []),
        (["a\n b", "c\x1b", 7], 8, ["a b", "c\ufffd", "7"]),
        (
            [f"eta=0.001, data=cifar10, seed={seed}" for seed in (0, 1)],
            20,
            ["…cifar10, seed=0", "…cifar10, seed=1"],
        ),
        (["Labrador retriever", "Labrador puppy dog"], 12, ["Labrad…iever", "Labrad…y dog"]),
        (
            ["retriever (black, young)", "retriever (white, young)", "cat"],
            15,
            ["…black, …", "…white, …", "cat"],
        ),
        ([f"{LONG}x{LONG}", f"{LONG}y{LONG}", f"{LONG}x{LONG}"], 12, ["aaaa…aaa (1)", "aaaa…aaa (2)", "aaaa…aaa (1)"]),
    ],
)
def test_long_names_are_cut_where_they_do_not_differ(names, most, labels):
    assert distinct_labels(names, most) == labels
    assert all(len(label) <= most for label in labels)


@given(st.lists(st.text("ab =,", max_size=40)), st.integers(8, 20))
def test_labels_fit_and_names_that_fit_stay(names, most):
    labels = distinct_labels(names, most)
    assert all(len(label) <= most for label in labels)
    if all(len(name) <= most for name in names):
        assert labels == [" ".join(name.split()) for name in names]
