"""An SVG file as an element of a page: its text stays text, and its colours follow the page's."""

import re
from xml.etree import ElementTree

_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_ELEMENTS = re.compile(
    _SVG + "(svg|g|defs|symbol|use|path|rect|circle|ellipse|line|polyline|polygon|text|tspan|textPath|title|desc|style|"
    "clipPath|mask|marker|pattern|linearGradient|radialGradient|stop|image)"
)
"""What may stand in a page. Scripts, links, animations and whole documents may not."""


def inline_svg(content: bytes, alt: str, prefix: str) -> str | None:
    """Return the SVG as an element; None if it is not well-formed, or holds what does not belong into a page.

    Parameters
    ----------
    content : bytes
        Of the file.
    alt : str
        What is to be seen.
    prefix : str
        Comes before every id, and makes them unique in the page.
    """
    try:
        root = ElementTree.fromstring(content)
        # Who made it is no part of the picture, and a title of the whole would show wherever the mouse is.
        for part in [*root.findall(f"{_SVG}metadata"), *root.findall(f"{_SVG}title")]:
            root.remove(part)
        # Signs on a picture have colours that suit the picture: such a figure keeps all of them, and a white ground.
        themed = root.find(f".//{_SVG}image") is None
        for element in root.iter():
            _adopt(element, prefix, themed)
        for length in ("width", "height") if root.attrib["viewBox"] else ():
            root.attrib.pop(length, None)
        kind = "themed" if themed else "paper"
        root.attrib.update({"id": prefix, "class": kind, "role": "img", "aria-label": alt})
        return ElementTree.tostring(root, encoding="unicode")
    except (ElementTree.ParseError, LookupError, RecursionError, ValueError):
        return None


def _adopt(element: ElementTree.Element, prefix: str, themed: bool) -> None:
    """Make an element one of the page; a ValueError says what does not belong there."""
    found = _ELEMENTS.fullmatch(element.tag)
    if not found or (found[1] in ("title", "desc", "style") and len(element)):
        raise ValueError(element.tag)
    element.tag = found[1]
    if element.tag == "style":
        rules = element.text or ""
        if not re.fullmatch(r"([^{}@]*\{[^{}]*\}\s*)*", rules):
            raise ValueError(rules)
        # A style holds for the whole page, unless its rules stand within one for the figure.
        element.text = f"#{prefix} {{{_style(rules, prefix, themed)}}}"
    attributes = {key.replace(f"{_XLINK}href", "href"): value for key, value in element.attrib.items()}
    element.attrib.clear()
    for key, value in attributes.items():
        if key.lower().startswith("on"):
            raise ValueError(key)
        if key == "id":
            value = f"{prefix}-{value}"
        elif key == "href" and value.startswith("#"):
            value = f"#{prefix}-{value[1:]}"
        elif key == "href" and not (element.tag == "image" and re.match("data:image/(png|jpeg);base64,", value)):
            raise ValueError(value)
        elif key != "href":
            value = _style(value, prefix, themed and key == "style")
        if key[0] != "{" and not key.startswith("aria-"):
            element.set(key, value)


def _style(text: str, prefix: str, themed: bool) -> str:
    """Return the text of a style: what it refers to lies in the figure, and the page may change its colours."""
    text = re.sub(r"""url\(\s*(["']?)#([^)"']+)\1\s*\)""", rf"url(#{prefix}-\2)", text)
    if re.search(rf"(?i)\\|@|(url|image|src)[\w-]*\s*\((?!#{prefix}-)", text):
        raise ValueError(text)
    return re.sub(r"#([0-9a-fA-F]{6})\b", lambda it: f"var(--c-{it[1].lower()},{it[0]})", text) if themed else text
