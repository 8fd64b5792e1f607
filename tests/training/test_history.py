"""History: columns, errors, and files that restore every number."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import Page

from minidl._core.errors import DataError, InputError
from minidl.training.checkpoint import read_checkpoint, write_checkpoint
from minidl.training.history import History, Monitor, as_columns, from_columns

NAMES = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8)
ROWS = st.lists(st.dictionaries(NAMES | st.sampled_from(["loss", "val_loss"]), st.integers() | st.floats(), max_size=5))


def test_columns_have_the_usual_order_then_that_of_the_rows() -> None:
    history = History([{"seconds": 1, "top5": 0.5, "loss": 2.0}, {"val_loss": 2.0, "cost": 3.0, "bleu": 1.0}])
    assert history.columns == ["epoch", "loss", "cost", "val_loss", "seconds", "top5", "bleu"]
    assert history["epoch"] == [1, 2]
    assert history["cost"][1] == 3.0
    assert math.isnan(history["cost"][0])


def test_append_converts_numpy_scalars_to_plain_numbers() -> None:
    history, row = History(), {"epoch": np.int64(7), "loss": np.float32(0.5)}
    history.append(row)
    row["loss"] = 2.0
    assert of_types(history) == [{"epoch": (int, "7"), "loss": (float, "0.5")}]


UNMEASURED = [{"loss": "1"}, {"loss": None}, {"loss": True}, {"": 1.0}, {"a\nb": 1.0}, {3: 1.0}, "loss", [1.0]]
TOO_LARGE = [{"loss": 10**5000}, {"loss": -(10**400)}]


@pytest.mark.parametrize("row", UNMEASURED + TOO_LARGE, ids=range(10))
def test_an_invalid_row_is_refused(row: dict[str, object]) -> None:
    history = History()
    with pytest.raises(InputError, match="History: expected"):
        history.append(row)
    assert len(history) == 0


def test_an_unknown_column_names_the_known_ones() -> None:
    history = History([{"val_accuracy": 0.4}])
    with pytest.raises(
        InputError, match=r"'val_acuracy'; available: epoch, val_accuracy; did you mean 'val_accuracy'\?"
    ):
        history["val_acuracy"]
    with pytest.raises(InputError, match="available: none"):
        History()["loss"]
    assert "loss" not in history
    assert "val_accuracy" in history


def test_equality_is_by_rows_and_nan_equals_nan() -> None:
    assert History([{"loss": math.nan}]) == History([{"loss": float("nan")}])
    assert History([{"loss": math.inf}]) != History([{"loss": -math.inf}])
    assert History([{"loss": 1.0}]) != History([{"cost": 1.0}])
    assert History() != []


def test_repr_is_short() -> None:
    assert repr(History()) == "History(0 epochs: empty)"
    assert repr(History([{"loss": 1.0}])) == "History(1 epoch: epoch, loss)"


def of_types(history: History) -> list[dict[str, tuple[type, str]]]:
    return [{name: (type(value), repr(value)) for name, value in row.items()} for row in history]


@given(rows=ROWS)
@pytest.mark.parametrize("kind", ["csv", "json", "jsonl", "columns"])
def test_files_and_checkpoints_give_back_every_number(
    kind: str, rows: list[dict[str, float]], tmp_path_factory
) -> None:
    history = History(rows)
    path = tmp_path_factory.getbasetemp() / f"history.{kind}"
    if kind == "columns":
        columns = as_columns(history)
        write_checkpoint(path, {}, {"columns": list(columns.values())})
        back = from_columns(dict(zip(columns, read_checkpoint(path)[1]["columns"], strict=True)))
    else:
        getattr(history, f"to_{kind}")(path)
        back = getattr(History, f"from_{kind}")(path)
    assert back == history
    assert back.columns == history.columns
    assert of_types(back) == of_types(history)


def test_json_is_strict_and_a_jsonl_file_has_one_line_per_epoch(tmp_path: Path) -> None:
    history = History([{"a": math.nan, "b": math.inf, "c": -math.inf}, {"a": 0.1}])
    first, second = {"epoch": 1, "a": "NaN", "b": "Infinity", "c": "-Infinity"}, {"epoch": 2, "a": 0.1}
    text = history.to_json(tmp_path / "h.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == [first, second]
    text = history.to_jsonl(tmp_path / "h.jsonl").read_text()
    assert [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()] == [first, second]
    assert History().to_jsonl(tmp_path / "h.jsonl").read_text() == ""
    assert History.from_jsonl(tmp_path / "h.jsonl") == History()


def test_csv_is_a_plain_table_with_empty_cells(tmp_path: Path) -> None:
    path = History([{"loss": 2.5}, {"loss": 0.1, "val_loss": math.nan}]).to_csv(tmp_path / "h.csv")
    assert path.read_text() == "epoch,loss,val_loss\n1,2.5,\n2,0.1,NaN\n"


DAMAGED = {
    "csv": [
        (b"", "expected a table"),
        (b'epoch,loss\n1,"2', "expected a table"),
        (b"loss\n2.0\n", "column 'epoch'"),
        (b"epoch,epoch\n1,2\n", "no column twice"),
        (b"epoch,loss\n1,2.0\n2\n", "row 2: expected 2 cells, got 1"),
        (b"epoch,loss\n1,2.0\n2,x2.0\n", "row 2: .*x2.0"),
    ],
    "json": [
        *((content, "expected rows in JSON") for content in (b"", b'[{"epoch": 1}', b"[" * 100_000)),
        (b'{"epoch": 1}', "expected a list of rows, got dict"),
        (b'[{"epoch": 1}, 3]', "row 2: expected an object {column: number}, got 3"),
        (b'[{"epoch": 1}, {"loss": [1]}]', "row 2: .*'loss'"),
    ],
    "jsonl": [
        (b'{"epoch": 1}\n{"epoch": 2, "lo', "row 2: expected rows in JSON"),
        (b'{"epoch": 1}\n\n{"epoch": 2}\n', "row 2: expected rows in JSON"),
        (b"[" * 100_000, "row 1: expected rows in JSON"),
        (b'{"epoch": 1}\n3\n', "row 2: expected an object {column: number}, got 3"),
        (b'{"epoch": 1, "loss": null}\n', "row 1: .*'loss'"),
        (b'{"epoch": 1, "loss": 1%s}\n' % (400 * b"0"), "row 1: .*'loss' that fits a float"),
    ],
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_is_named_with_its_row(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    with pytest.raises(DataError, match=f"a.{kind}: cannot be read: No such file"):
        getattr(History, f"from_{kind}")(path)
    for content, message in [*DAMAGED[kind], (b"\xff\xfe", "expected text in UTF-8")]:
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"a\.{kind}[,:] (.*: )?.*{message}"):
            getattr(History, f"from_{kind}")(path)


@pytest.mark.parametrize("kind", DAMAGED)
def test_only_a_regular_file_with_an_end_is_read(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = tmp_path / "file", getattr(History, f"from_{kind}")
    with pytest.raises(DataError, match="cannot be read: expected a regular file, got a folder"):
        read(tmp_path)
    for name in (0, None, "a\0b"):
        with pytest.raises(InputError, match="path: expected the name of a file"):
            read(name)
    path.write_bytes(b"")
    look = path.stat()
    path.write_bytes(bytes(2 << 20))
    monkeypatch.setattr("minidl._storage.kinds.os.fstat", lambda _: look)
    with pytest.raises(DataError, match=r"file: expected \d+ bytes, the size of the file, got more"):
        read(path)


def test_a_spreadsheet_may_have_saved_the_table(tmp_path: Path) -> None:
    path = tmp_path / "h.csv"
    path.write_bytes(b"\xef\xbb\xbfepoch,loss\r\n1,2.5\r\n")
    assert History.from_csv(path).rows == [{"epoch": 1, "loss": 2.5}]


def test_a_frame_is_indexed_by_epoch() -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas, the extra of that name")
    frame = History([{"epoch": 7, "loss": 2.5, "steps": 3}, {"epoch": 8, "val_loss": 1.5, "steps": 4}]).to_frame()
    columns = {"loss": [2.5, math.nan], "val_loss": [math.nan, 1.5], "steps": [3, 4]}
    pandas.testing.assert_frame_equal(frame, pandas.DataFrame(columns, index=pandas.Index([7, 8], name="epoch")))
    empty = History().to_frame()
    assert (len(empty), empty.index.name) == (0, "epoch")


def test_without_pandas_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r'History.to_frame needs pandas; .* pip install "minidl\[pandas\]"'):
        History([{"loss": 1.0}]).to_frame()


def test_a_notebook_shows_a_table() -> None:
    html = History([{"loss": 2.5, "a<b": 1}, {"loss": math.nan}])._repr_html_()
    assert Page(html).rows == [["epoch", "loss", "a<b"], ["1", "2.5", "1"], ["2", "not a number", "-"]]
    assert History()._repr_html_() == "<p>History(0 epochs: empty)</p>"


def test_a_notebook_shows_the_beginning_and_the_end_of_a_long_history() -> None:
    html = History({"loss": float(i)} for i in range(1, 101))._repr_html_()
    assert [row[0] for row in Page(html).rows[1:]] == [*map(str, range(1, 11)), "", *map(str, range(91, 101))]
    assert "100 epochs; epochs 11 to 90 are not shown" in html.partition("</table>")[2]
    assert html.count('class="number"') == 2 * 22
    assert "not shown" not in History({"loss": 1.0} for _ in range(20))._repr_html_()


BETTER = {"loss auto": False, "val_accuracy auto": True, "accuracy_at_5 auto": False, "loss max": True}


@pytest.mark.parametrize(("column", "larger"), BETTER.items())
def test_whether_larger_values_are_better(column: str, larger: bool) -> None:
    name, mode = column.split()
    monitor = Monitor(name, mode)
    assert monitor.larger_is_better is larger
    assert (monitor.minimised(2.0) < monitor.minimised(1.0)) is larger
    assert monitor.minimised(math.nan) == math.inf
    assert monitor.read({name: 0.5}, "owner") == (-0.5 if larger else 0.5)


def test_an_unknown_monitor_is_refused_if_the_names_are_known() -> None:
    Monitor("qualty").check(None, "owner")
    with pytest.raises(InputError, match="'owner': an epoch has no 'qualty'; the nearest names are quality"):
        Monitor("qualty").check(["loss", "quality"], "owner")
    with pytest.raises(InputError, match="pass validation data"):
        Monitor("val_loss").read({"loss": 1.0}, "owner")
