"""Tables as text and as HTML, and names that look like others."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import Page

from minidl._core.spelling import nearest
from minidl._core.tables import cell, cells, html_table, number_columns, text_table

TEXTS = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=12)


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(TEXTS, min_size=n, max_size=n), min_size=1, max_size=5)))
def test_html_shows_every_text_literally(rows):
    shown = [[text.rstrip("\n") for text in row] for row in Page(html_table(rows[0], rows[1:])).rows if row]
    assert shown == [[text.strip("\n") for text in row] for row in rows]


@given(st.lists(st.tuples(TEXTS, st.integers(-999, 999)), min_size=1, max_size=6))
def test_columns_of_text_tables_are_aligned(rows):
    lines = text_table(["name", "count"], rows).splitlines()
    assert len(lines) == len(rows) + 1
    assert len({len(line) for line in lines}) == 1  # numbers end at one column
    assert all(line.endswith(str(count)) for line, (_, count) in zip(lines[1:], rows, strict=True))


def test_cells_write_nan_and_infinity_as_words():
    values = [None, math.nan, -math.inf, np.float32(np.inf), 0.123456, np.float64(2), 3, "a", True]
    words = ["-", "not a number", "-infinity", "infinity", "0.1235", "2", "3", "a", "True"]
    assert [cell(value) for value in values] == words


ALIGNED = {
    "trailing zeros stay": ([1.9, np.float32(1.899), 7.0, None], ["1.900", "1.899", "7.000", "-"]),
    "as many as are needed": ([0.0, 0.1, 1.0], ["0.0", "0.1", "1.0"]),
    "integers as they are": ([40, 99.5, 123.0], ["40", "99.5", "123.0"]),
    "far apart": ([5.955, 0.0001234], ["5.955", "0.0001234"]),
    "exponents": ([0.5, 1e-5], ["0.5", "1e-05"]),
    "texts among them": ([0.5, 0.25, "SGD"], ["0.5", "0.25", "SGD"]),
    "none is finite": ([math.nan, -math.inf], ["not a number", "-infinity"]),
}


@pytest.mark.parametrize("case", ALIGNED)
def test_the_points_of_a_column_line_up(case):
    values, texts = ALIGNED[case]
    assert [row[0] for row in cells([value] for value in values)] == texts
    assert [row[0] for row in Page(html_table(["x"], [[value] for value in values])).rows[1:]] == texts


def test_columns_of_numbers_are_known_by_their_cells():
    assert number_columns([["1", "a", "-"], ["39.1 %", "2", "-"]], 3) == [True, False, True]
    assert number_columns([["0.weight"], ["10.1.bias"]], 1) == [False]  # paths of parameters
    assert number_columns([["10.5 ms"], ["± 3e-05"], ["1,234"], ["12."]], 1) == [True]
    assert number_columns([], 2) == [False, False]


def test_the_nearest_names_come_first():
    assert nearest("val_los", ["val_loss", "loss", "epoch"])[0] == "val_loss"
    assert nearest("xyz", ["val_loss"]) == []
