"""The notebooks about few labels and about labelling where it helps, executed; sample and trainings are made small."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

SMALL = {
    "%mlex sample": "%mlex sample --size 96 --slices 12",
    '{"depth": 4, "base_channels": 8}': '{"depth": 3, "base_channels": 4}',
    '"epochs": 8, "steps_per_epoch": 40, "batch": 32': '"epochs": 1, "steps_per_epoch": 3, "batch": 8',
    '"epochs": 3, "steps_per_epoch": 20, "patch": 64': '"epochs": 1, "steps_per_epoch": 3, "patch": 32',
    '"epochs": 2, "steps_per_epoch": 25, "patch": 64': '"epochs": 1, "steps_per_epoch": 3, "patch": 32, "depth": 3',
    "seeds = 2": "seeds = 1",
    "rounds = 3": "rounds = 2",
}


def executed(name: str, home: Path) -> dict[str, list[Any]]:
    """What the cells of a notebook print and show."""
    import nbformat
    from nbclient import NotebookClient

    reading: Any = nbformat.read
    notebook = reading(ROOT / "notebooks" / name, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for written, instead in SMALL.items():
                cell.source = cell.source.replace(written, instead)
    where = {"metadata": {"path": str(home)}}
    NotebookClient(notebook, timeout=280, kernel_name="python3", resources=where).execute()
    return {cell.id: cell.get("outputs", []) for cell in notebook.cells}


def said(outputs: list[Any]) -> str:
    return "".join(output.get("text", "") for output in outputs)


@pytest.mark.needs("lab", "torch")
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("knowing")
def test_the_notebook_about_few_labels_compares_with_and_without_an_encoder(home: Path) -> None:
    outputs = executed("03-few-labels.ipynb", home)
    assert "pairs_found" in outputs["pretrain"][-1].data["text/plain"]
    assert outputs["publish"][0].data["text/plain"] == "'embedding'"
    scores = re.findall(r"seed 0  (from nothing|begins with my-encoder) +Dice (0\.\d{3})", said(outputs["compare"]))
    (_, without), (_, with_encoder) = scores
    gain = float(with_encoder) - float(without)
    printed = float(re.search(r"by ([+-]\d\.\d{3}) on average", said(outputs["difference"]))[1])  # type: ignore[index]
    assert printed == pytest.approx(gain, abs=0.0011), "the difference is that of the two numbers above it"
    assert "as its parent: True" in said(outputs["lineage"])


@pytest.mark.needs("lab", "torch")
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("knowing")
def test_the_notebook_about_the_loop_labels_what_is_suggested_and_trains_again(home: Path) -> None:
    outputs = executed("04-label-where-it-helps.ipynb", home)
    line = r"round (\d): slices ([\d, ]+) → Dice (0\.\d{3}); to label next: \[([\d, ]*)\]"
    rounds = re.findall(line, said(outputs["loop"]))
    assert len(rounds) == 2, said(outputs["loop"])
    (_, first, _, suggested), (_, second, _, _) = rounds
    assert set(second.split(", ")) == {*first.split(", "), *suggested.split(", ")}, "what was suggested is labelled"
    assert "uncertainty" in outputs["table"][0].data["text/plain"]
    assert "text/html" in outputs["versions"][0].data
