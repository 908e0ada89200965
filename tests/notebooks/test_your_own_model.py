"""The notebook about one's own network, function and rule, executed; only sample and training are made small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.notebooks.test_quickstart import small


@pytest.mark.needs("lab", "torch")
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("knowing")
def test_the_notebook_about_your_own_model_runs_from_top_to_bottom(home: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook: Any = nbformat.read(ROOT / "notebooks" / "02-your-own-model.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)
    for cell in notebook.cells:
        source = small(cell.source).replace("-p epochs=4 ", "-p epochs=1 -p steps_per_epoch=3 -p patch=32 -p batch=2 ")
        source = source.replace("%mlex sample\n", "%mlex sample --size 96 --slices 12\n")
        cell.source = source if cell.cell_type == "code" else cell.source
    where = {"metadata": {"path": str(home)}}
    NotebookClient(notebook, timeout=150, kernel_name="python3", resources=where).execute()

    outputs = {cell.id: cell.get("outputs", []) for cell in notebook.cells}
    assert "data:image/png" in outputs["check"][0].data["text/html"]
    assert "✖" not in outputs["check"][0].data["text/plain"]
    assert "def layer" in outputs["source"][0].text and "class WideView" in outputs["source"][0].text
    assert 3 < float(outputs["run"][-1].data["text/plain"]) < 3.3
    assert "✔ yes" in outputs["try"][0].data["text/plain"]
