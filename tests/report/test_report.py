"""Report: a page by itself, whatever its texts and tables hold."""

import base64
import math
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from pages import Page

from minidl._core.errors import DataError, InputError
from minidl._core.texts import legible
from minidl.report import Report

# One grey pixel.
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==")
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'/>"


@pytest.fixture
def figures(tmp_path):
    folder = tmp_path / "run" / "figures (1)"
    folder.mkdir(parents=True)
    (folder / "cost λ=0.1.png").write_bytes(PNG)
    (folder / "loss.SVG").write_bytes(SVG)
    return [(folder / "cost λ=0.1.png", "Cost of a run", "Falls."), (folder / "loss.SVG", 'A "loss"', "")]


def full_report(title, figures):
    report = Report(title)
    report.heading("Settings").heading("First", level=3).paragraph("One & two.")
    report.table(["a", "b"], [[1, "x"], [2, "y"]], caption="Numbers")
    return report.figures(figures)


def test_the_page_stands_alone(tmp_path, figures):
    page = Page(full_report("Title", figures).to_html())
    images = page.all("img")
    assert [image["alt"] for image in images] == ["Cost of a run"]
    head, data = images[0]["src"].split(",")
    assert (head, base64.b64decode(data)) == ("data:image/png;base64", PNG)
    assert [(svg["role"], svg["aria-label"]) for svg in page.all("svg")] == [("img", 'A "loss"')]
    for tag in ("script", "link", "iframe", "a"):
        assert page.all(tag) == []
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("h2")) == len(page.all("h3")) == 1


@given(text=st.text().filter(lambda text: legible(text) == text))
def test_every_text_comes_out_as_it_went_in(text):
    for title in (text, "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</title>${body}$body {x}"):
        report = Report(title).heading(title).paragraph(title).table([title], [[title]], caption=title)
        page = Page(report.to_html())
        assert page.all("script") == page.all("img") == []
        # Non-breaking spaces are counted as spaces here.
        assert "".join(page.words).replace("\xa0", " ").count(title.replace("\xa0", " ")) >= 5


def test_numbers_are_aligned_to_the_right():
    rows = [["weight", 1, "39.1 %", "-0.5 ± 0.1", 1], ["bias", 2, "38 %", math.nan, "x"]]
    report = Report("t").table(["name", "n", "share", "value", "mixed"], rows)
    page = Page(report.to_html())
    assert ["class" in cell for cell in page.all("td")] == [False, True, True, True, False] * 2
    assert "| --- | ---: | ---: | ---: | --- |" in report.to_markdown()


def test_tables_may_be_empty_but_not_ragged():
    for report in (Report("t").table(["a", "b"], []), Report("t").table([], []), Report("").figures([])):
        Page(report.to_html())
        report.to_markdown()
    with pytest.raises(InputError, match="expected 2 cells in row 2, got 1"):
        Report("t").table(["a", "b"], [[1, 2], [1]])


def test_markdown_links_lead_to_the_figures(tmp_path, figures):
    folder = tmp_path / "run"
    written = full_report("Title", figures).write(folder)
    assert written == [folder / f"report.{kind}" for kind in ("html", "md")]
    markdown = written[1]
    links = re.findall(r"!\[(.+?)\]\(([^ ()]+)\)", markdown.read_text())
    assert [alt for alt, _ in links] == ["Cost of a run", 'A "loss"']
    assert [(folder / unquote(link)).read_bytes() for _, link in links] == [PNG, SVG]


def test_a_relative_figure_is_found_from_another_folder(tmp_path, monkeypatch, figures):
    monkeypatch.chdir(tmp_path / "run")
    report = Report("t").figures([("figures (1)/loss.SVG", "alt", "")])
    monkeypatch.chdir(tmp_path)
    assert "(figures%20%281%29/loss.SVG)" in report.to_markdown("run")


def test_the_same_blocks_give_the_same_bytes_and_no_path_of_the_machine(tmp_path, figures):
    first, second = (
        [path.read_bytes() for path in full_report("Title", figures).write(tmp_path / "run")] for _ in range(2)
    )
    assert first == second
    assert not any(str(folder).encode() in content for folder in (tmp_path, f"{Path.home()}/") for content in first)


def test_settings_are_a_table_of_names_and_values():
    lines = Report("t").settings({"epochs": 40, "rate": 0.00123456, "note": None}, caption="Run 1").to_markdown()
    assert lines.splitlines()[2:] == [
        "**Table 1.** Run 1", "", "|  |  |", "| --- | ---: |",
        "| epochs | 40 |", "| rate | 0.001235 |", r"| note | \- |"
    ]  # fmt: skip


def test_the_environment_is_a_table(monkeypatch):
    monkeypatch.setattr("minidl.report.report.environment", lambda: {"Python": "3.11.7", "processor": "fast"})
    lines = Report("t").environment().to_markdown().splitlines()
    assert lines[2:] == ["|  |  |", "| --- | --- |", "| Python | 3.11.7 |", "| processor | fast |"]


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("a_b *c* <b> [x](y) `z` | $5$ ~ \\ &amp;", r"a\_b \*c\* \<b\> \[x\](y) \`z\` \| \$5\$ \~ \\ \&amp;"),
        ("# no heading", r"\# no heading"),
        ("- no item\n\n1. nor this", r"\- no item 1. nor this"),
        ("---", r"\---"),
        ("-0.5 and 1.5e-3 (#2)", "-0.5 and 1.5e-3 (#2)"),
    ],
)
def test_markdown_signs_are_taken_literally(text, markdown):
    assert Report("t").paragraph(text).to_markdown() == f"# t\n\n{markdown}\n"


def test_bad_figures_are_refused(tmp_path, figures):
    with pytest.raises(DataError, match=r"no\.png: cannot be read: No such file"):
        Report("t").figures([(tmp_path / "no.png", "alt", "")])
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    with pytest.raises(DataError, match=r"endless\.png: .*(expected a regular file, got a device|No such)"):
        Report("t").figures([(tmp_path / "endless.png", "alt", "")])
    with pytest.raises(InputError, match=r"expected a \.png or \.svg file, got .*a\.gif"):
        Report("t").figures([(tmp_path / "a.gif", "alt", "")])
    with pytest.raises(InputError, match="expected an alternative text"):
        Report("t").figures([(figures[0][0], " ", "")])
    for wrong in (figures[0][0], figures[0][:2], (Figure(), "alt", "")):
        with pytest.raises(InputError, match=r"expected a list of \(path of a file, alternative text, caption\)"):
            Report("t").figures([wrong])
    with pytest.raises(InputError, match="expected level 2 or 3, got 1"):
        Report("t").heading("x", level=1)
