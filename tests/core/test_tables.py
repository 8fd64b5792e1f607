"""Tables as text and as HTML, and names that look like others."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pages import Page

from minidl._core.spelling import nearest
from minidl._core.tables import cell, html_table, number_columns, text_table

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


def test_cells_put_numbers_that_are_none_into_words():
    values = [None, math.nan, -math.inf, np.float32(np.inf), 0.123456, np.float64(2), 3, "a", True]
    words = ["-", "not a number", "-infinity", "infinity", "0.1235", "2", "3", "a", "True"]
    assert [cell(value) for value in values] == words


def test_columns_of_numbers_are_known_by_their_cells():
    assert number_columns([["1", "a", "-"], ["39.1 %", "2", "-"]], 3) == [True, False, True]
    assert number_columns([["0.weight"], ["10.1.bias"]], 1) == [False]  # paths of parameters
    assert number_columns([["10.5 ms"], ["± 3e-05"], ["1,234"], ["12."]], 1) == [True]
    assert number_columns([], 2) == [False, False]


def test_the_nearest_names_come_first():
    assert nearest("val_los", ["val_loss", "loss", "epoch"])[0] == "val_loss"
    assert nearest("xyz", ["val_loss"]) == []
