"""The reference is what its command makes now, and has every public name with a docstring."""

import importlib.util
import re
from pathlib import Path

import pytest

import minidl as dl

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(maker):
    return maker.pages()


def test_the_pages_are_those_that_the_command_makes(made):
    found = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md")}
    stale = sorted(name for name in made.keys() | found.keys() if made.get(name) != found.get(name))
    assert not stale, (
        f"docs/reference: {', '.join(stale)} is not of the docstrings; run `python docs/make_reference.py`"
    )


def test_every_public_name_has_an_entry_that_says_something(maker, made):
    text = "\n".join(made.values())
    for name in dl.__all__:
        if name not in ("datasets", "plotting"):  # modules, whose names follow
            assert f"\n## {name}\n" in text
    for name, item in maker.public_names().items():
        assert (item.__doc__ or "").strip(), f"{name} has no docstring"


def test_a_name_of_no_page_is_an_error(maker):
    newcomer = type("Newcomer", (), {"__module__": "minidl.of_tomorrow"})
    with pytest.raises(LookupError, match=r"minidl\.of_tomorrow belongs to no page: add it to GROUPS"):
        maker.page_of(newcomer)


def test_what_is_listed_and_what_is_literal_stay_so(maker):
    def example():
        """Do a thing with ``x``::

            y = 2 * x

        and more.

        Parameters
        ----------
        x : array, shape (n,)
            Numbers.

            In two paragraphs.
        y, z : float

        Examples
        --------
        >>> 1 + 1
        2
        """

    assert maker.markdown(example) == [
        "Do a thing with `x`:\n\n```text\ny = 2 * x\n```\n\nand more.",
        "*Parameters*",
        "- `x` (array, shape (n,)): Numbers.\n  \n  In two paragraphs.\n- `y, z` (float)",
        "*Examples*",
        "```pycon\n>>> 1 + 1\n2\n```",
    ]


def test_nothing_outside_of_code_would_be_taken_for_markup(made):
    """A star or a < of a docstring's prose would be swallowed by whatever shows the page."""
    for name, text in made.items():
        text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
        text = re.sub(r"`[^`]*`|^<!--.*-->$|\]\([^)]*\)", "", text, flags=re.MULTILINE)
        text = re.sub(r"^(\*[\w ]+\*|\*\*[\w.]+\*\*|\*\*\[.*?\*\*:.*)$", "", text, flags=re.MULTILINE)
        for line in text.splitlines():
            assert not re.search(r"(?<!\\)[*<]|(?<!\w)_\w", line), f"{name}: {line}"
