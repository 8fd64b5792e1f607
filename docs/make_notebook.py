"""Make tutorial.ipynb from tutorial.md: each program becomes a cell, runs, and keeps what it prints and draws.

Run it from anywhere: `python docs/make_notebook.py` (with `pip install -e ".[notebook]"`). It uses CIFAR-10 from where
minidl finds it. The page is the source; tests/docs/test_notebook.py fails when the notebook is out of date.
"""

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("tutorial.md")
NOTEBOOK = PAGE.with_suffix(".ipynb")
# Then a cell shows the figure on its last line.
SETUP = "%matplotlib inline"


def cells_of(text: str) -> list[tuple[str, str]]:
    """Return (kind, source) of each cell for the text of a page."""
    # A notebook need not link to itself.
    text = re.sub(r"[^.\n]*\]\(tutorial\.ipynb\)[^.]*\. ?", "", text, count=1)
    cells = []
    for i, part in enumerate(re.split(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)):
        if part.strip():
            cells.append(("code" if i % 2 else "markdown", part.strip()))
    # Below the title.
    cells.insert(1, ("code", SETUP))
    return cells


def joined(outputs: list[Any]) -> list[Any]:
    """Return the outputs of a cell, with successive prints joined."""
    whole: list[Any] = []
    for output in outputs:
        if whole and output.output_type == whole[-1].output_type == "stream" and output.name == whole[-1].name:
            whole[-1].text += output.text
        else:
            whole.append(output)
    return whole


def main() -> None:
    # Imported here, because the tests need only `cells_of`.
    import nbclient
    import nbformat

    new = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    # Without an id, nbformat would draw a random one.
    cells = [
        new[kind](source, id=f"cell-{number}")
        for number, (kind, source) in enumerate(cells_of(PAGE.read_text(encoding="utf-8")))
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbclient.NotebookClient(
        notebook, timeout=600, record_timing=False, resources={"metadata": {"path": PAGE.parent}}
    ).execute()
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            *_, heading = [heading, *re.findall(r"^#+ (?:\d+\. )?(.*)$", cell.source, re.MULTILINE)]
            continue
        cell.outputs = joined(cell.outputs)
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                # The alternative text that exporters take.
                output.metadata["alt"] = f"Figure: {heading}"
    # Without the versions of this machine.
    notebook.metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    nbformat.validate(notebook)
    nbformat.write(notebook, NOTEBOOK)
    print(f"{NOTEBOOK}: {len(cells)} cells, {NOTEBOOK.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
