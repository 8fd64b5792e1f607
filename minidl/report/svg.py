"""An SVG file as an element of a page: its text stays text, and its colours follow the page's."""

import re
from xml.etree import ElementTree

_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_ELEMENTS = re.compile(
    "svg|g|defs|symbol|use|path|rect|circle|ellipse|line|polyline|polygon|text|tspan|textPath|title|desc|style|"
    "clipPath|mask|marker|pattern|linearGradient|radialGradient|stop|image"
)
"""What may stand in a page. Scripts, links, animations and whole documents may not."""
_COLOUR = r"#[0-9a-fA-F]{6}\b"
_RULES = r"([^{}@]+)\{([^{}]*)\}"


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
        return _adopted(root, alt, prefix)
    except (ElementTree.ParseError, LookupError, RecursionError, ValueError):
        return None


def _adopted(root: ElementTree.Element, alt: str, prefix: str) -> str:
    """Return `root` as text; a ValueError says what does not belong into a page."""
    # Who made it is no part of the picture, and a title of the whole would show wherever the mouse is.
    for child in [*root.findall(f"{_SVG}metadata"), *root.findall(f"{_SVG}title")]:
        root.remove(child)
    elements = list(root.iter())
    # Signs on a picture have colours that suit the picture: such a figure keeps all colours, and its white ground.
    themed = not any(element.tag == f"{_SVG}image" for element in elements)
    for element in elements:
        _adopt(element, prefix, themed)
    width, height = root.attrib.pop("width", ""), root.attrib.pop("height", "")
    if "viewBox" not in root.attrib and _pixels(width) and _pixels(height):
        root.set("viewBox", f"0 0 {_pixels(width):g} {_pixels(height):g}")
    natural = _pixels(width) or _pixels([*root.get("viewBox", "").split(), *4 * [""]][2]) or 300
    # Texts in a figure should not grow far beyond those around it.
    style = f"max-width:{1.3 * natural / 16:.3g}rem;{root.get('style', '')}"
    root.attrib.update({"id": prefix, "role": "img", "aria-label": alt, "style": style})
    root.attrib |= {} if themed else {"class": "paper"}
    return ElementTree.tostring(root, encoding="unicode")


def _adopt(element: ElementTree.Element, prefix: str, themed: bool) -> None:
    name = element.tag.removeprefix(_SVG)
    if (
        not element.tag.startswith(_SVG)
        or not _ELEMENTS.fullmatch(name)
        or (name in ("title", "desc") and len(element))
    ):
        raise ValueError(name)
    element.tag = name
    if name == "style":
        rules = re.findall(_RULES, element.text or "")
        if len(element) or re.sub(_RULES, "", element.text or "").strip():
            raise ValueError(name)
        # A style holds for the whole page, unless each of its rules names the figure.
        scoped = [
            (
                ", ".join(f"#{prefix} {one.strip().replace(chr(35), f'#{prefix}-')}" for one in selectors.split(",")),
                body,
            )
            for selectors, body in rules
        ]
        element.text = "".join(f"{selectors} {{{_style(body, prefix, themed)}}}" for selectors, body in scoped)
    attributes, styles = {}, []
    for key, value in element.attrib.items():
        key = key.replace(f"{_XLINK}href", "href").replace("{http://www.w3.org/XML/1998/namespace}", "xml:")
        picture = name == "image" and re.match("data:image/(png|jpeg);base64,", value)
        if key.lower().startswith("on") or (key == "href" and not (value.startswith("#") or picture)):
            raise ValueError(key)
        if key == "id":
            value = f"{prefix}-{value}"
        elif key == "href":
            value = value.replace("#", f"#{prefix}-", 1) if not picture else value
        elif key == "style":
            styles.append(_style(value, prefix, themed))
            continue
        elif key in ("fill", "stroke", "stop-color") and themed and re.fullmatch(_COLOUR, value):
            # A variable is understood in a style, not in an attribute. What the style itself says goes first.
            styles.insert(0, f"{key}:{_style(value, prefix, themed)}")
            continue
        elif "url" in value.lower():
            value = _style(value, prefix, themed=False)
        if key[0] != "{" and not key.startswith("aria-"):
            attributes[key] = value
    element.attrib.clear()
    element.attrib.update(attributes | ({"style": ";".join(styles)} if styles else {}))


def _style(text: str, prefix: str, themed: bool) -> str:
    """Return the text of a style: what it refers to lies in the figure, and its colours may be changed by the page."""
    text = re.sub(r"""url\(\s*(["']?)#([^)"']+)\1\s*\)""", rf"url(#{prefix}-\2)", text)
    if "\\" in text or "@" in text or re.search(rf"(?i)(url|image|src)\w*\s*\((?!#{prefix}-)", text):
        raise ValueError(text)
    return re.sub(_COLOUR, lambda found: f"var(--c-{found[0][1:].lower()},{found[0]})", text) if themed else text


def _pixels(length: str) -> float:
    """Return a length in pixels; 0 if it has another unit."""
    found = re.fullmatch(r"([0-9.]*[0-9])(px|pt)?", length.strip())
    return float(found[1]) * (4 / 3 if found[2] == "pt" else 1) if found else 0.0
