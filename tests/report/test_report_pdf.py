"""The PDF of a report: read by another program, and measured as it is drawn."""

import io
import itertools
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from minidl._core.errors import DataError
from minidl.report import Report
from minidl.report.pages import Pages

pypdf = pytest.importorskip("pypdf", reason="reads the PDFs")
HOSTILE = "$x^2$ $ \\alpha \\ {a_b} <b>&amp; %s 50 % \x00\x1b[31m \N{UNICORN FACE} 日本 λ η ± ²"


def pages(report):
    return [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(report.to_pdf())).pages]


def squeezed(text):
    """A text without blanks: where a line breaks is the typesetter's business."""
    return "".join(text.split())


def draw_picture(path: Path, shape=(3.0, 2.0), kinds=("png", "svg")):
    figure = Figure(figsize=shape)
    figure.add_subplot().plot([1, 2, 1])
    for kind in kinds:
        figure.savefig(path.with_suffix(f".{kind}"))


@pytest.fixture
def drawn(monkeypatch):
    """The pages of the last PDF, as matplotlib figures."""
    found = []
    content = Pages.content

    def keep(self, title):
        found[:] = self._pages
        return content(self, title)

    monkeypatch.setattr(Pages, "content", keep)
    return found


def boxes(page):
    """The extents of all that is on a page, in points; texts apart."""
    page.set_dpi(720)  # so large that hinting does not matter
    renderer = FigureCanvasAgg(page).get_renderer()
    texts = [text.get_window_extent(renderer).transformed(page.dpi_scale_trans.inverted()) for text in page.texts]
    others = [ax.get_position().transformed(page.transSubfigure) for ax in page.axes]
    others += [patch.get_window_extent(renderer) for patch in page.artists + page.patches]
    others = [box.transformed(page.dpi_scale_trans.inverted()) for box in others]
    return [[72 * box.get_points().ravel() for box in group] for group in (texts, others)]


def assert_everything_has_its_place(drawn):
    for page in drawn:
        texts, others = boxes(page)
        for x0, y0, x1, y1 in texts + others:
            assert 50 < x0 <= x1 < 595.3 - 50
            assert 15 < y0 <= y1 < 841.9 - 40
        for a, b in itertools.combinations(texts, 2):
            apart = a[2] <= b[0] + 0.5 or b[2] <= a[0] + 0.5 or a[3] <= b[1] + 0.5 or b[3] <= a[1] + 0.5
            assert apart, "two texts overlap"


def test_every_text_is_there_and_can_be_copied():
    report = Report("A title").heading("First").paragraph("One paragraph, λ = 0.1 ± 2 %.").heading("Sub", level=3)
    report.table(["λ", "test accuracy"], [[0.1, "39.36 %"], [1, "-"]], caption="The caption")
    (text,) = pages(report)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for words in ("A title", "First", "One paragraph, λ = 0.1 ± 2 %.", "Sub", "The caption", "39.36 %", "1 / 1"):
        assert any(words in line for line in lines), words


def test_the_title_is_the_documents_and_there_is_no_date():
    reader = pypdf.PdfReader(io.BytesIO(Report("Grüße, λ $x$").to_pdf()))
    assert reader.metadata.title == "Grüße, λ $x$"
    assert set(reader.metadata) <= {"/Title", "/Creator"}


def test_pages_are_a4():
    (page,) = pypdf.PdfReader(io.BytesIO(Report("t").to_pdf())).pages
    assert [float(x) for x in page.mediabox] == pytest.approx([0, 0, 595.28, 841.89], abs=0.01)


@pytest.mark.parametrize("title", ["", " ", "word" * 100, HOSTILE])
def test_an_empty_report_is_one_page(title):
    assert len(pages(Report(title))) == 1


def test_texts_are_taken_literally_and_what_the_font_lacks_is_a_box(drawn):
    report = Report(HOSTILE).heading(HOSTILE).paragraph(HOSTILE).table([HOSTILE], [[HOSTILE]], caption=HOSTILE)
    text = squeezed(" ".join(pages(report)))
    plain = HOSTILE
    for lacking in "\x00\x1b\N{UNICORN FACE}日本":
        plain = plain.replace(lacking, "\N{REPLACEMENT CHARACTER}")
    assert text.count(squeezed(plain)) >= 5
    assert_everything_has_its_place(drawn)


@settings(max_examples=10)
@given(text=st.text())
def test_no_text_is_too_much_for_it(text):
    report = Report(text).heading(text).paragraph(text).table([text, "b"], [[text, text]], caption=text)
    assert report.to_pdf().startswith(b"%PDF")  # and warnings are errors


def test_long_words_break_and_long_paragraphs_flow_over_pages(drawn):
    long = "w" * 200
    report = Report("t").paragraph(f"before {long} after").paragraph("lorem ipsum " * 800)
    text = pages(report)
    assert len(text) > 1
    assert long in squeezed(" ".join(text))
    assert squeezed(" ".join(text)).count("loremipsum") >= 795  # the others have a page's number within
    assert_everything_has_its_place(drawn)


def test_a_long_table_repeats_its_header_on_every_page(drawn):
    rows = [[f"first-{i}", f"second-{i}", i / 7] for i in range(80)]
    text = pages(Report("t").table(["alpha", "beta", "gamma"], rows, caption="A caption"))
    assert len(text) > 1
    for page in text:
        assert page.split().count("alpha") == page.split().count("gamma") == 1
    words = " ".join(text).split()
    for i in range(80):
        assert words.count(f"first-{i}") == words.count(f"second-{i}") == 1
    assert_everything_has_its_place(drawn)


@pytest.mark.parametrize("columns", [1, 4, 9, 40])
def test_nothing_of_a_wide_table_is_cut(columns, drawn):
    rows = [[f"some words in {r}.{c}" for c in range(columns)] for r in range(3)]
    report = Report("t").table([f"head {c}" for c in range(columns)], rows)
    text = squeezed(" ".join(pages(report)))
    if columns < 30:  # beyond that words are broken, and cells side by side are read line by line
        for r, c in itertools.product(range(3), range(columns)):
            assert f"{r}.{c}" in text
    assert len(text) >= sum(len(squeezed(cell)) for row in rows for cell in row)
    assert_everything_has_its_place(drawn)


def test_a_row_higher_than_a_page_is_broken_between_its_lines(drawn):
    text = pages(Report("t").table(["a", "b"], [["x1 y2 " * 1800, "short"], ["next", "row"]]))
    assert len(text) > 1
    assert " ".join(text).count("x1") == 1800
    assert "next" in text[-1]
    assert_everything_has_its_place(drawn)


def test_tables_without_rows_or_columns_are_no_reason_to_fail():
    assert len(pages(Report("t").table(["a", "b"], []).table([], []).table([], [[], []]).table([""], [[""]]))) == 1


def test_a_heading_is_not_left_alone_at_the_end_of_a_page():
    for lines in range(36, 44, 2):
        report = Report("t")
        for _ in range(lines):
            report.paragraph("filler")
        report.heading("The-heading").table(["name"], [["first-row"], ["second-row"], ["third-row"]])
        page = next(text for text in pages(report) if "The-heading" in text)
        assert "third-row" in page


def test_figures_stand_two_a_row_and_many_go_over_pages(tmp_path, drawn):
    draw_picture(tmp_path / "a")
    report = Report("t").figures((tmp_path / "a.svg", "alt", f"Caption {i}.") for i in range(21))
    text = " ".join(pages(report))
    assert all(f"Caption {i}." in text for i in range(21))
    assert [len(page.axes) for page in drawn] == [6, 8, 7]
    assert_everything_has_its_place(drawn)


def test_a_tall_figure_and_long_captions_stay_on_the_page(tmp_path, drawn):
    draw_picture(tmp_path / "tall", shape=(1.0, 9.0), kinds=["png"])
    draw_picture(tmp_path / "flat", shape=(9.0, 1.0), kinds=["png"])
    report = Report("t").figures([(tmp_path / "tall.png", "alt", "word " * 1200), (tmp_path / "flat.png", "alt", "")])
    assert " ".join(pages(report)).count("word") == 1200
    assert_everything_has_its_place(drawn)


def test_an_svg_without_its_png_is_told_in_its_place(tmp_path, drawn):
    draw_picture(tmp_path / "a", kinds=["svg"])
    (text,) = pages(Report("t").figures([(tmp_path / "a.svg", "Cost of a run", "The caption.")]))
    assert "[Cost of a run: a.svg cannot be shown in a PDF, and there is no PNG beside it.]" in " ".join(text.split())
    assert drawn[0].axes == []


def test_a_damaged_picture_is_refused_and_the_other_files_are_there(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    report = Report("t").figures([(tmp_path / "bad.png", "alt", "")])
    with pytest.raises(DataError, match=r"bad\.png: cannot be read as PNG"):
        report.write(tmp_path)
    assert (tmp_path / "report.html").exists()
    assert not (tmp_path / "report.pdf").exists()


def test_the_same_blocks_give_the_same_bytes_whatever_the_clock_and_the_users_style(tmp_path, monkeypatch):
    draw_picture(tmp_path / "a")
    report = Report("t").paragraph("text").table(["a"], [[1]]).figures([(tmp_path / "a.png", "alt", "")])
    first = report.to_pdf()
    monkeypatch.setattr(time, "time", lambda: 1.0)
    with rc_context({"font.family": "monospace", "font.size": 30, "pdf.compression": 0, "text.color": "red"}):
        assert report.to_pdf() == first
        from matplotlib import rcParams

        assert rcParams["font.size"] == 30  # which are untouched
