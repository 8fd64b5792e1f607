"""docs/gallery.md shows what its programs print. ``python tests/gradcheck/test_foreign_gallery.py`` renews it."""

import contextlib
import io
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "gallery.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\n\n```text\n.*?^```$)?", re.DOTALL | re.MULTILINE)


def renewed(text):
    """Return the page with what each program prints in a block below it."""
    namespace = {"__name__": "page"}

    def with_output(block):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(block[1], PAGE.name, "exec"), namespace)
        output = f"\n\n```text\n{printed.getvalue()}```" if printed.getvalue() else ""
        return f"```python\n{block[1]}```{output}"

    return BLOCK.sub(with_output, text)


def to_six_digits(text):
    """Return `text` without error bars, and its numbers to six digits: the last ones differ between machines."""
    return re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.6g}", re.sub(r" ± [\de.-]+", "", text))


def test_the_page_shows_what_its_programs_print():
    text = PAGE.read_text(encoding="utf-8")
    assert to_six_digits(renewed(text)) == to_six_digits(text)
    # Every fault is refused.
    assert len(re.findall(r"^FAIL_", text, re.MULTILINE)) == text.count("\n## ") - 1


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
