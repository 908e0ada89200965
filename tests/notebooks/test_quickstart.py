"""The guided notebook and the README's tour, executed; only the sample and the training are made small."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.unit.test_docs import blocks, commands

SMALL = {
    "mlex sample": "mlex sample --size 96 --slices 12",
    "-p epochs=4": "-p epochs=1 -p steps_per_epoch=3 -p patch=32 -p batch=2",
}


def small(text: str) -> str:
    """The same, in seconds."""
    for written, instead in SMALL.items():
        text = re.sub(rf"{re.escape(written)}(?=\s|$)", instead, text, flags=re.MULTILINE)
    return text


@pytest.mark.needs("lab", "torch", "dlsia")
def test_the_quickstart_notebook_runs_from_top_to_bottom(home: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook: Any = nbformat.read(ROOT / "notebooks" / "01-quickstart.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = small(cell.source) if cell.cell_type == "code" else cell.source
    assert all(any(instead in cell.source for cell in notebook.cells) for instead in SMALL.values())

    NotebookClient(notebook, timeout=150, kernel_name="python3", resources={"metadata": {"path": str(home)}}).execute()

    outputs = {cell.id: cell.get("outputs", []) for cell in notebook.cells}
    for picture in ("picture", "show"):
        assert "image/png" in outputs[picture][0].data
    assert "text/html" in outputs["labels"][0].data
    assert "✔" in outputs["wait"][-1].data["text/html"]
    assert len(outputs["dice"][0].text.splitlines()) == 4
    assert "pores-tunet" in outputs["zoo"][0].data["text/plain"]


@pytest.mark.needs("torch", "dlsia")
@pytest.mark.usefixtures("knowing")
def test_the_tour_of_the_readme_does_what_it_says(mlex_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    tour = next(block for block in blocks(ROOT / "README.md", "sh") if "mlex sample" in block)
    for words in commands(tour):
        assert words[0] == "mlex"
        mlex_run(*shlex.split(small(shlex.join(words)))[1:], check=words[1] != "doctor")

    jobs = json.loads(mlex_run("jobs", "--json").stdout)
    assert {(job["name"], job["state"]) for job in jobs} == {("first", "done"), ("seg", "done")}
    assert "pores-tunet" in mlex_run("models", "pores*").stdout
