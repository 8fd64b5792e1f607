"""Several runs in one table."""

import math

import pytest

import minidl as dl


def run(**columns):
    return dl.History(dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


FIRST = run(loss=[2.0, 1.0], val_loss=[3.0, 4.0], val_accuracy=[0.25, 0.5], seconds=[1.5, 2.0])
SECOND = run(val_loss=[5.0, 2.0, 2.5], seconds=[60.0, 60.0, 60.4])


def test_there_is_one_row_per_run_with_last_and_best_values():
    table = dl.compare_runs({"first": FIRST, "second": SECOND})
    loss, accuracy = ["val_loss", "lowest", "in epoch"], ["val_accuracy", "highest", "in epoch"]
    assert table.header == ["run", "epochs", *loss, *accuracy, "seconds"]
    assert table.rows == [
        ["first", 2, 4.0, 3.0, 1, 0.5, 0.5, 2, 3.5],
        ["second", 3, 2.5, 2.0, 2, None, None, None, 180],
    ]


def test_it_prints_aligned_and_shows_in_a_notebook():
    table = dl.compare_runs({"first": FIRST, "<b>second</b>": SECOND}, ["val_loss"])
    assert str(table).splitlines() == [
        "run            epochs  val_loss  lowest  in epoch  seconds",
        "first               2       4.0       3         1      3.5",
        "<b>second</b>       3       2.5       2         2      180",
    ]
    assert "&lt;b&gt;second" in table._repr_html_()
    assert table._repr_html_().count("<tr>") == 3
    assert repr(table) == "Comparison(2 runs: first, <b>second</b>)"


def test_a_report_takes_it():
    table = dl.compare_runs({"first": FIRST})
    assert "| first | 2 | 4 | 3 | 1 |" in dl.Report("R").table(table.header, table.rows).to_markdown()


def test_without_validation_it_compares_training_and_the_first_of_equal_values_is_best():
    table = dl.compare_runs({"a": run(loss=[2.0, 2.0], cost=[3.0, 3.0], accuracy=[0.5, 0.75])})
    assert table.header[2:] == ["loss", "lowest", "in epoch", "accuracy", "highest", "in epoch", "seconds"]
    assert table.rows == [["a", 2, 2.0, 2.0, 1, 0.75, 0.75, 2, None]]
    assert dl.compare_runs({"a": FIRST}, iter(["val_loss"])).header[2] == "val_loss"


def test_a_non_finite_value_is_never_the_best():
    table = dl.compare_runs({"a": run(loss=[math.nan, 2.0, -math.inf, math.nan]), "b": run(loss=[math.nan])})
    assert table.rows[0][3:5] == [2.0, 2]
    assert math.isnan(table.rows[0][2])
    assert table.rows[1][3:5] == [None, None]
    assert "not a number" in str(table)


def test_a_run_without_epochs_and_epochs_that_lack_numbers():
    gaps = dl.History([{"loss": 2.0}, {"val_loss": 1.0}, {"loss": 3.0}])
    table = dl.compare_runs({"none": dl.History(), "gaps": gaps}, ["loss"])
    assert table.rows == [["none", 0, None, None, None, None], ["gaps", 3, 3.0, 2.0, 1, None]]
    assert dl.compare_runs({"none": dl.History()}).rows == [["none", 0, None]]


@pytest.mark.parametrize(
    ("runs", "quantities", "words"),
    [
        ({}, [], "expected at least one run, got none"),
        ([FIRST], [], r"expected runs to be a Mapping, got .*; pass a dict, \{name: history"),
        ({"a": {"loss": [1.0]}}, [], r"expected runs\['a'\] to be a History, got .* History.from_csv"),
        ({"a": FIRST}, ["val_acuracy"], "no column 'val_acuracy'; available: epoch, .*; did you mean 'val_accuracy'"),
        ({"a": FIRST}, "loss", "expected quantities to be a list of columns, got 'loss'"),
        ({"a": dl.History()}, ["loss"], "no column 'loss'; available: none"),
    ],
)
def test_invalid_arguments_are_refused(runs, quantities, words):
    with pytest.raises(dl.InputError, match=f"compare_runs: {words}"):
        dl.compare_runs(runs, quantities)
