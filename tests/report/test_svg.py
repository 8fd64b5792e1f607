"""Figures as a part of the page: what belongs there, and what stays a picture."""

import re

import pytest
from pages import Page

import minidl as dl
from minidl.report.svg import inline_svg

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9">'


def inlined(body, prefix="S1"):
    return inline_svg(f"{HEAD}{body}</svg>".encode(), "a <figure>", prefix)


@pytest.mark.parametrize(
    "body",
    [
        "<script>alert(1)</script>",
        '<script xmlns="http://www.w3.org/1999/xhtml">alert(1)</script>',
        "<foreignObject><p>x</p></foreignObject>",
        '<a href="https://example.org"><text>x</text></a>',
        '<path onclick="alert(1)"/>',
        '<path ONLOAD="alert(1)"/>',
        '<image href="https://example.org/x.png"/>',
        '<image xlink:href="data:image/svg+xml;base64,AAAA"/>',
        '<use xlink:href="other.svg#x"/>',
        '<path style="fill:url(https://example.org/x)"/>',
        '<path style="fill:u\\72l(https://example.org/x)"/>',
        "<path fill=\"url( '//example.org/x' )\"/>",
        "<style>@import 'https://example.org/x.css';</style>",
        "<style>} body { display: none }</style>",
        "<style>path { background: image-set('x.png' 1x) }</style>",
        "<title><b>x</b></title><g><title><path/></title></g>",
        '<set attributeName="href" to="javascript:alert(1)"/>',
        "<g>",
        "<g>" * 3000 + "</g>" * 3000,
        "&unknown;",
    ],
)
def test_what_does_not_belong_into_a_page_is_refused(body):
    assert inlined(body) is None


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", b"<svg/>", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\xff\xfe"]
)
def test_what_is_no_svg_with_a_size_is_refused(content):
    assert inline_svg(content, "alt", "S1") is None


def test_references_stay_within_the_figure_and_colours_may_change():
    body = (
        "<metadata>who</metadata><title>all</title><style>path { fill: #0072B2 }</style>"
        '<defs><path id="p" d="M0 0"/></defs><g clip-path="url(#p)"><use xlink:href="#p"/>'
        "<path style=\"fill:url('#p');stroke:#ffffff\"><title>1.5 &lt; 2</title></path></g>"
        '<text aria-hidden="true">λ</text>'
    )
    element = inlined(body)
    page = Page(element)
    assert page.all("svg") == [
        {"viewbox": "0 0 9 9", "id": "S1", "class": "themed", "role": "img", "aria-label": "a <figure>"}
    ]
    assert page.all("use") == [{"href": "#S1-p"}]
    assert page.all("g") == [{"clip-path": "url(#S1-p)"}]
    assert [path.get("style", path.get("id")) for path in page.all("path")] == [
        "S1-p", "fill:url(#S1-p);stroke:var(--c-ffffff,#ffffff)"
    ]  # fmt: skip
    assert "#S1 {path { fill: var(--c-0072b2,#0072B2) }}" in element
    assert page.words == ["1.5 < 2", "λ"]
    assert page.all("text") == [{}]


def test_a_picture_in_a_figure_keeps_the_colours_of_what_is_written_on_it():
    image = '<image xlink:href="data:image/png;base64,AAAA"/><text style="fill:#ffffff">1</text>'
    page = Page(inlined(image))
    assert page.all("svg")[0]["class"] == "paper"
    assert page.all("text") == [{"style": "fill:#ffffff"}]


def test_figures_of_matplotlib_become_parts_of_the_page(tmp_path, rng):
    curves = dl.plotting.save_figure(
        dl.plotting.plot_curves({"loss": [2.0, 1.0]}, "loss", title="λ = 0.1"), tmp_path / "a"
    )
    report = dl.Report("t").figures([(curves[1], "loss", ""), (curves[1], "again", "")])
    page = Page(report.to_html())
    assert [svg["aria-label"] for svg in page.all("svg")] == ["loss", "again"]
    assert page.text.count("λ = 0.1") == 2
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', report.to_html())
    assert {a or b for a, b in targets} <= set(ids)
