"""The notebook is the tutorial page, run without an error, with its figures."""

import importlib.util
import json
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent.parent / "docs"
COMMAND = "run `python docs/make_notebook.py`"


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_notebook", DOCS / "make_notebook.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def notebook():
    return json.loads((DOCS / "tutorial.ipynb").read_text(encoding="utf-8"))


def outputs(notebook):
    return [output for cell in notebook["cells"] for output in cell.get("outputs", ())]


def test_its_cells_are_the_page(maker, notebook):
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    assert cells == maker.cells_of((DOCS / "tutorial.md").read_text(encoding="utf-8")), COMMAND


def test_it_was_run_from_top_to_bottom(notebook):
    counts = [cell["execution_count"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1)), COMMAND


def test_it_shows_what_it_prints_and_draws_and_no_error(notebook):
    kinds = [output["output_type"] for output in outputs(notebook)]
    assert "error" not in kinds
    assert not [output for output in outputs(notebook) if output.get("name") == "stderr"]
    pictures = [output for output in outputs(notebook) if "image/png" in output.get("data", {})]
    assert len(pictures) == 4
    assert all(len(picture["metadata"]["alt"]) > 20 for picture in pictures)
    printed = ["".join(output["text"]) for output in outputs(notebook) if output["output_type"] == "stream"]
    assert any(text.startswith("PASS  check_model") for text in printed)
    assert any(text.startswith("lambda    eta") and text.count("%") == 4 for text in printed)


def test_the_page_quotes_its_table(notebook):
    """The accuracies in the text are those that the notebook printed."""
    page = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    (table,) = ["".join(o["text"]) for o in outputs(notebook) if "".join(o.get("text", "")).startswith("lambda    eta")]
    for line in table.splitlines()[1:]:
        strength, rate, loss, val_loss, accuracy = line.split()
        row = f"| {strength} | {rate} | {loss} | {val_loss} | {accuracy.replace('%', ' %')} |"
        assert row in page, f"docs/tutorial.md: expected the row {row}"


def test_it_is_small_and_tells_nothing_of_the_machine(notebook):
    text = (DOCS / "tutorial.ipynb").read_text(encoding="utf-8")
    assert len(text) < 300_000
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert "version" not in notebook["metadata"]["language_info"]
    assert not [cell for cell in notebook["cells"] if cell["metadata"]]
    assert "/home/" not in text
    assert "/tmp/" not in text
