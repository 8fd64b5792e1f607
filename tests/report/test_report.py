"""Report: a page by itself, whatever its texts and tables hold."""

import base64
import io
import math
import pickle
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from pages import Page
from PIL import Image

from minidl._core.errors import DataError, InputError
from minidl._core.texts import legible
from minidl.report import Link, Report

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
    assert [cell.get("class") == "number" for cell in page.all("td")] == [False, True, True, True, False] * 2
    assert "| --- | ---: | ---: | ---: | --- |" in report.to_markdown()


def test_tables_may_be_empty_but_not_ragged():
    for report in (Report("t").table(["a", "b"], []), Report("t").table([], []), Report("").figures([])):
        Page(report.to_html())
        report.to_markdown()
    with pytest.raises(InputError, match="expected 2 cells in row 2, got 1"):
        Report("t").table(["a", "b"], [[1, 2], [1]])


def test_a_table_fits_a_phone_or_shows_each_cell_with_its_name():
    narrow = Page(Report("t").table(["a", "b"], [[1, 2]]).to_html()).all("table")
    wide = Page(Report("t").table([f"column {i}" for i in range(12)], [range(12)]).to_html())
    assert narrow == [{"class": "narrow"}]
    assert wide.all("table") != narrow
    assert [cell["data-label"] for cell in wide.all("td")] == [f"column {i}" for i in range(12)]
    long = Page(Report("t").table(["a", "b"], [["W" * 168, "words " * 200]]).to_html())
    assert [cell.get("class") for cell in long.all("td")] == ["long", None]


def test_numbers_are_written_for_readers():
    rows = [[1.79, 30720, -0.5, 12345.6], [0.0593, 9999, None, math.inf], [np.float32(2), -10_000, 1e-9, 3.0]]
    page = Page(Report("t").table(["a", "b", "c", "d"], rows).to_html())
    minus = "\N{MINUS SIGN}"
    assert page.rows[1:] == [
        ["1.7900", "30,720", f"{minus}0.5", "12,346"],
        ["0.0593", "9999", "-", "infinity"],
        ["2.0000", f"{minus}10,000", "1e-09", "3"],
    ]


def test_figures_and_tables_have_numbers_that_texts_refer_to(figures):
    report = Report("t").paragraph("See Figure 2, Table 1 and Figure 9.").table(["a"], [[1]], caption="one")
    report.table(["a"], [[1]]).figures(figures)
    assert (report.figure_number, report.table_number) == (2, 2)
    report.figures(figures * 2, "All of them", columns=3).pictures([("", [])], "None")
    page = Page(report.to_html())
    assert [link["href"] for link in page.all("a")] == ["#Figure-2", "#Table-1"]
    assert [figure["id"] for figure in page.all("figure") if "id" in figure] == ["Figure-1", "Figure-2", "Figure-3"]
    assert [label for label in page.words if re.match(r"(Figure|Table) \d\.$", label)] == [
        "Table 1.", "Figure 1.", "Figure 2.", "Figure 3."
    ]  # fmt: skip
    markdown = report.to_markdown()
    assert "**Figure 2.** All of them" in markdown
    assert markdown.count("Falls. |") == 2


def test_links_lead_to_the_web_or_to_a_file_beside_the_report():
    web, file = Link("the task", "https://example.org/a_(b)?c=1&d"), Link("[all] <numbers>", "results-1.csv")
    report = Report("t").paragraph("See ", web, " and ", file, ".").table(["a"], [[file]]).points([web])
    page = Page(report.to_html())
    assert [link["href"] for link in page.all("a")] == [web.url, file.url, file.url, web.url]
    assert page.text.count("[all] <numbers>") == 2
    assert (
        r"See [the task](https://example.org/a_%28b%29?c=1&d) and [\[all\] \<numbers\>](results-1.csv)."
        in report.to_markdown()
    )
    assert pickle.loads(pickle.dumps(web)).url == web.url
    for url in (
        "",
        "http://example.org",
        "javascript:alert(1)",
        "/etc/passwd",
        "../x",
        "a b",
        "//example.org",
        "\\x",
        "data:,x",
    ):
        with pytest.raises(InputError, match="expected as url an address that begins with https://"):
            Link("x", url)


def test_contents_lead_to_the_sections_in_both_files():
    report = Report("t", author="A <b>", date="1 May", contents=True).heading("Same λ!").heading("Same λ!").heading("?")
    report.heading("Same λ!-1").heading("below", level=3)
    page = Page(report.to_html())
    anchors = [heading["id"] for heading in page.all("h2")]
    assert anchors == ["same-λ", "same-λ-1", "-1", "same-λ-1-1"]
    assert [link["href"] for link in page.all("a")] == [f"#{anchor}" for anchor in anchors]
    assert "A <b> · 1 May" in page.text
    assert report.to_markdown().startswith("# t\n\nA \\<b\\> · 1 May\n\n- [Same λ!](#same-%CE%BB)\n")


def test_code_keeps_its_lines():
    report = Report("t").code("a --long-option\n  ``` <b>")
    page = Page(report.to_html())
    assert "".join(page.words).count("a --long-option\n  ``` <b>") == 1
    assert "````\na --long-option\n  ``` <b>\n````" in report.to_markdown()


def test_small_pictures_stand_in_rows(figures, rng):
    grey, colours = rng.integers(0, 256, (4, 3), dtype=np.uint8), rng.integers(0, 256, (4, 3, 3), dtype=np.uint8)
    rows = [("first", [(grey, "alt 1", "cat")]), ("second", [(colours, "alt 2", "dog <b>")])]
    report = Report("t").pictures(rows, "Templates", fallback=figures[0][0])
    page = Page(report.to_html())
    assert [image["alt"] for image in page.all("img")] == ["alt 1", "alt 2"]
    for image, pixels in zip(page.all("img"), (grey, colours), strict=True):
        with Image.open(io.BytesIO(base64.b64decode(image["src"].split(",")[1]))) as read:
            assert np.array_equal(np.array(read.convert("L" if pixels.ndim == 2 else "RGB")), pixels)
    assert "first cat second dog <b> Figure 1. Templates" in page.text
    assert "![Templates](" in report.to_markdown()
    assert "first: cat" in Report("t").pictures(rows, "Templates").to_markdown()
    for wrong in (grey / 255, grey[0], colours[..., :2]):
        with pytest.raises(InputError, match=r"expected an image as a uint8 array"):
            Report("t").pictures([("", [(wrong, "alt", "")])], "x")


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
    with pytest.raises(InputError, match="expected columns from 1 to 4, got 5"):
        Report("t").figures([], columns=5)
