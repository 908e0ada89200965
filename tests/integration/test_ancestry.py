"""The lineage of a segmentation, from real runs: volume, labels, training, model, prediction, and back again."""

from __future__ import annotations

import json
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]


@pytest.mark.needs("torch")
@pytest.mark.usefixtures("knowing")
def test_a_segmentation_knows_all_that_it_came_from(mlex_run: Run) -> None:
    mlex_run("sample", "--size=64", "--slices=6")
    small = ("-p", "epochs=1", "-p", "depth=2", "-p", "base_channels=4", "-p", "patch=32")
    mlex_run("train", "unet", "--data=sand-tomo", "--labels=scribbles", "-o", "fit", *small, "--wait")
    mlex_run("publish", "fit", "pores")
    mlex_run("predict", "pores", "--data=sand-tomo", "-o", "seg", "--wait")
    data = json.loads(mlex_run("dataset", "seg", "--json").stdout)
    found = json.loads(mlex_run("lineage", data["id"], "--json").stdout)
    named = {node["id"]: f"{node['kind']} {node['name']}" for node in found["nodes"]}
    assert [(named[edge["parent"]], named[edge["child"]]) for edge in found["edges"]] == [
        ("dataset sand-tomo", "labels scribbles"),
        ("labels scribbles", "run fit"),
        ("run fit", "model pores"),
        ("model pores", "run seg"),
        ("run seg", "dataset seg"),
    ]
    above = mlex_run("lineage", "sand-tomo").stdout
    assert above.index("scribbles") < above.index("fit") < above.index("pores") < above.index("seg")
    assert data["owner"]
    assert data["provenance"]["software"].startswith("mlex-jupyter")
    assert [one["name"] for one in json.loads(mlex_run("data", "--made-from", "sand-tomo", "--json").stdout)] == [
        "seg-uncertainty",
        "seg",
        "sand-tomo-truth",
    ]
