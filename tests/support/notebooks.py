"""A notebook of one cell, run by a kernel of its own."""

import warnings

import pytest


def outputs_of_notebook(code, folder="."):
    """Run `code` as the only cell of a notebook, and return its outputs and the states of its widgets."""
    for name in ("ipykernel", "nbclient", "nbformat"):
        pytest.importorskip(name, reason=f"needs {name}, of the extra notebook")
    import nbclient
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    with warnings.catch_warnings():
        # What the Jupyter packages warn of is not ours.
        warnings.simplefilter("ignore")
        place = {"metadata": {"path": str(folder)}}
        nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources=place).execute()
    widgets = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {}).get("state", {})
    return notebook.cells[0].outputs, [widget["state"] for widget in widgets.values()]
