"""The file of a sweep, its result as tables and frames, and its figure."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import sweep_runs
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import LogNorm

import minidl as dl
from minidl.plotting import plot_sweep
from minidl.sweeps import Trial
from minidl.sweeps.trial import append_trial, read_trials


def trial(config, metrics=None, error=""):
    return Trial(config, json.dumps(config), 0, metrics or {}, 1.5, "here", error)


RESULT = dl.SweepResult(
    [
        trial({"lam": 0.1, "eta": 1}, {"val_loss": 2.0, "val_accuracy": 0.3}),
        trial({"lam": 1, "eta": 1}, {"val_loss": math.nan, "val_accuracy": 0.4}),
        trial({"lam": 10, "eta": 1}, error="Traceback\nValueError: diverged <here>"),
        trial({"lam": 100}, {"val_loss": 1.0, "val_accuracy": 0.4}),
    ]
)

# --- the file


numbers = st.floats() | st.integers()
texts = st.text(max_size=8)


@given(st.dictionaries(texts, texts | st.lists(st.integers())), st.dictionaries(texts, numbers), texts, st.floats(0, 9))
def test_a_trial_is_read_back_unchanged(tmp_path_factory, config, metrics, error, seconds):
    path = tmp_path_factory.mktemp("line") / "a.jsonl"
    first = Trial(config, "k", 3, {} if error else metrics, seconds, "ho\nst", error)
    append_trial(path, "run", first)
    append_trial(path, "run", first)
    content = path.read_bytes()
    assert len(content.splitlines()) == 2
    (name, back), again = read_trials(path, mend=True)
    assert repr(back) == repr(first) == repr(again[1])  # repr: NaN is not equal to itself
    assert name == "run"
    assert path.read_bytes() == content
    json.loads(path.read_text().splitlines()[0], parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_truncated_line_loses_only_its_trial_and_the_file_is_repaired(sweep, out):
    expected = sweep(sweep_runs.noisy, {"x": [1, 2]})
    content = out.read_bytes()
    start = content.index(b"\n") + 1
    for end in [*range(start, len(content) - 2, 19), len(content) - 2, len(content) - 1]:
        for torn in (content[:end], content[:end] + bytes(5), content[:start] + bytes(end - start) + content[end:]):
            if end == start and torn == content:
                continue
            out.write_bytes(torn)
            assert len(dl.SweepResult.from_file(out)) == (2 if torn == content[:-1] else 1)
            assert out.read_bytes() == torn  # reading does not repair the file
            again = sweep(sweep_runs.noisy, {"x": [1, 2]})
            assert [t.metrics for t in again] == [t.metrics for t in expected]
            lines = out.read_bytes().splitlines(keepends=True)
            assert lines[0] == content[:start]
            assert len(lines) == 2
            assert json.loads(lines[1])["metrics"] == expected.trials[1].metrics
            assert lines[1].endswith(b"\n")


@pytest.mark.parametrize(
    "content",
    [
        b"lam,eta\n0.1,1\n",
        b"one line without an end",
        b"{}\n",
        b'{"run": 3}\n{"run": 3}\n',
        b'{"run": "of another program", "accuracy": 0.5}\n',
        b'{"run": "r", "key": "k", "config": {}, "seed": 0, "status": "ok", "metrics": {"a": [1]}, "seconds": 1}\n\n',
        b"\x93NUMPY\x01\x00v\x00 a file of bytes, some of them zero",
        b"[" * 100_000 + b"\n\n",
    ],
)
def test_a_file_that_is_something_else_is_refused_and_left_as_it_is(sweep, out, content):
    out.write_bytes(content)
    for read in (lambda: sweep(sweep_runs.noisy, {"x": [1]}), lambda: dl.SweepResult.from_file(out)):
        with pytest.raises(dl.DataError, match=r"sweep.jsonl, line 1: expected a trial of a sweep, got b'"):
            read()
    assert out.read_bytes() == content


def test_a_damaged_line_in_the_middle_is_named(sweep, out):
    sweep(sweep_runs.noisy, {"x": [1, 2, 3]})
    first, second, third = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(first + second[5:] + third)
    with pytest.raises(dl.DataError, match="line 2: expected a trial"):
        sweep(sweep_runs.noisy, {"x": [1, 2, 3]})


def test_a_folder_or_a_missing_file_is_no_file_of_a_sweep(sweep, tmp_path):
    with pytest.raises(dl.InputError, match=r"expected a file that can be written, but: .* this is a folder"):
        sweep(sweep_runs.noisy, {"x": [1]}, out=tmp_path)
    with pytest.raises(dl.DataError, match="expected a regular file, got a folder"):
        dl.SweepResult.from_file(tmp_path)
    if Path("/dev/zero").is_char_device():  # reading it would never end
        with pytest.raises(dl.DataError, match="expected a regular file, got a device"):
            dl.SweepResult.from_file("/dev/zero")
    with pytest.raises(dl.DataError, match="cannot be read: No such file"):
        dl.SweepResult.from_file(tmp_path / "nowhere")


# --- the result


def test_the_best_are_by_the_metric_also_where_a_parameter_has_its_name():
    configs = [{"loss": "hinge", "n": 2}, {"loss": "softmax", "n": 1}]
    result = dl.SweepResult(trial(config, {"loss": config["n"] / 2}) for config in configs)
    assert [t.config["n"] for t in result.best("loss")] == [1, 2]
    assert result["loss"] == ["hinge", "softmax"]  # the column is the parameter's
    with pytest.raises(dl.InputError, match="no metric 'n'; available: loss"):
        result.best("n")


def test_the_best_come_first_without_those_that_failed_and_last_those_that_are_no_number():
    def lams(result):
        return [t.config["lam"] for t in result]

    assert lams(RESULT.best("val_accuracy")) == [1, 100, 0.1]  # of equals the earlier one
    assert lams(RESULT.best("val_loss")) == [100, 0.1, 1]
    assert lams(RESULT.best("val_loss", "max", count=1)) == [0.1]
    assert lams(RESULT.best("val_accuracy", "min", count=2)) == [0.1, 1]
    with pytest.raises(dl.InputError, match="count: expected an integer >= 1"):
        RESULT.best("val_loss", count=0)


def test_columns_are_parameters_and_metrics_of_successful_trials():
    assert RESULT.header == ["lam", "eta", "val_loss", "val_accuracy"]
    assert RESULT["lam"] == [0.1, 1, 100]
    np.testing.assert_array_equal(RESULT["eta"], [1, 1, math.nan])
    assert "eta" in RESULT
    assert "etc" not in RESULT
    assert len(RESULT) == 4
    both = dl.SweepResult([trial({"learning_rate": 0.1}, {"learning_rate": 0.05})])
    assert both["learning_rate"] == [0.1]  # the config's


def test_the_table_has_a_line_per_trial_and_names_failed_trials():
    assert str(RESULT).splitlines() == [
        "lam  eta      val_loss  val_accuracy",
        "0.1    1             2           0.3",
        "  1    1  not a number           0.4",
        " 10    1             -             -",
        "100    -             1           0.4",
        "failed: 1 of 4",
        "  lam=10, eta=1: ValueError: diverged <here>",
    ]
    page = RESULT._repr_html_()
    assert page.count("<tr>") == 5
    assert "<p>failed: 1 of 4</p>" in page
    assert "diverged &lt;here&gt;" in page
    assert repr(RESULT) == "SweepResult(4 trials, 1 failed: lam, eta, val_loss, val_accuracy)"
    assert repr(dl.SweepResult([])) == "SweepResult(0 trials: empty)"
    many = dl.SweepResult(trial({"x": x}, error="no") for x in range(50))
    assert "... and 30 more" in str(many)
    assert len(str(many).splitlines()) == 1 + 20 + 1 + 1 + 20 + 1


def test_a_result_is_converted_to_a_data_frame():
    pytest.importorskip("pandas", reason="pip install 'minidl[pandas]'")
    frame = RESULT.to_frame()
    assert list(frame.columns[:4]) == RESULT.header
    assert frame["trial_error"].tolist() == ["", "", "Traceback\nValueError: diverged <here>", ""]
    assert frame["val_accuracy"].max() == 0.4
    assert frame["trial_host"].tolist() == ["here"] * 4


def test_a_missing_pandas_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'minidl\[pandas\]'"):
        RESULT.to_frame()


# --- the figure


def axes_of(figure):
    figure.draw_without_rendering()
    return figure.axes[0]


def test_a_grid_is_drawn_as_a_line_for_each_value_of_the_other_parameter():
    grid = {"lam": [1e-3, 1e-2, 1e-1] * 2, "eta": [1, 1, 1, 2, 2, 2], "val_accuracy": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}
    ax = axes_of(plot_sweep(grid, "lam", "val_accuracy", by="eta", title="A grid"))
    points, lines = ax.lines[::2], ax.lines[1::2]
    assert [list(line.get_ydata()) for line in points] == [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]
    assert [list(line.get_ydata()) for line in lines] == [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]
    assert len({(line.get_marker(), line.get_color()) for line in points}) == 2
    assert len({line.get_linestyle() for line in lines}) == 2  # in grey, too
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["1", "2"]
    assert ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_title()) == ("log", "linear", "A grid")
    assert ax.get_xlabel() == "lam (colour: eta)"
    assert "accuracy" in ax.get_ylabel()


def test_many_values_of_the_other_parameter_are_a_scale_of_colours():
    rng = np.random.default_rng(0)
    drawn = {name: (10 ** rng.uniform(-4, 0, 30)).tolist() for name in ("lam", "eta", "val_loss")}
    figure = plot_sweep(drawn, "lam", "val_loss", by="eta")
    ax = axes_of(figure)
    (points,) = ax.collections
    assert len(points.get_offsets()) == 30
    assert isinstance(points.norm, LogNorm)
    assert figure.axes[1].get_ylabel() == "eta"
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_ylabel().endswith(", log scale")
    assert not ax.lines  # with many values of x, lines would be unreadable


@pytest.mark.parametrize(
    ("x", "scale"),
    [([1, 7, 50], "log"), ([0, 0.1, 1], "symlog"), ([-1, 0, 99], "linear"), (list(np.int64([1, 7, 50])), "log")],
)
def test_the_axis_fits_the_values(x, scale):
    assert plot_sweep({"x": x, "loss": [1, 2, 3]}, "x", "loss").axes[0].get_xscale() == scale


def test_values_at_the_same_place_are_joined_by_their_mean_and_texts_have_places():
    columns = {"kind": ["a$b", "c", "a$b", "c"], "ok": [True, True, False, False], "loss": [1.0, 2.0, 3.0, math.inf]}
    ax = axes_of(plot_sweep(columns, "kind", "loss"))
    assert [list(line.get_ydata()) for line in ax.lines] == [[1, 2, 3], [2, 2]]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a$b", "c"]
    assert ax.get_xlabel().replace("\n", " ") == "kind without a number, not drawn: 1 of 4 trials"
    by = axes_of(plot_sweep(columns, "kind", "loss", by="ok"))
    assert [text.get_text() for text in by.get_legend().get_texts()] == ["True", "False"]


def test_long_texts_stand_upright_and_shortened():
    kinds = [f"an optimizer with a long name, number {i}" for i in range(5)]
    ax = axes_of(plot_sweep({"kind": kinds, "loss": [1.0] * 5}, "kind", "loss", by="kind"))
    labels = [*ax.get_xticklabels(), *ax.get_legend().get_texts()]
    assert {text.get_rotation() for text in ax.get_xticklabels()} == {90}
    # Words that all share are left out.
    assert {text.get_text()[-2:] for text in labels} == {f" {i}" for i in range(5)}


def test_a_result_is_drawn_by_its_columns():
    ax = axes_of(plot_sweep(RESULT, "lam", "val_accuracy"))
    assert list(ax.lines[0].get_xdata()) == [0.1, 1, 100]
    by = axes_of(plot_sweep(RESULT, "lam", "val_accuracy", by="eta"))  # which one config lacks
    assert list(by.lines[0].get_xdata()) == [0.1, 1]
    assert by.get_xlabel().split()[-4:] == ["1", "of", "3", "trials"]
    with pytest.raises(dl.InputError, match=r"no column 'lamda'; .* did you mean 'lam'"):
        plot_sweep(RESULT, "lamda", "val_accuracy")
