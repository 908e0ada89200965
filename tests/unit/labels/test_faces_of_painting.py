"""Painting over HTTP and in the shell, a full disk, and what a training takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlex_jupyter import cli
from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Unavailable
from mlex_jupyter.server.service import Service
from tests.painting import patch, stroke, whole


@pytest.fixture
async def sand(mlex: Mlex, tmp_path: Path) -> Mlex:
    np.save(tmp_path / "sand.npy", np.zeros((3, 64, 64), np.uint16))
    await mlex.register(str(tmp_path / "sand.npy"))
    await mlex.create_labels("sand", "scribbles", class_names=("pore", "grain"))
    return mlex


async def test_a_conflict_over_http_says_in_json_what_is_there_now(sand: Mlex) -> None:
    service = Service(sand)

    async def post(path: str, body: Any) -> tuple[int, Any]:
        answer = await service.answer("POST", f"/datasets/sand/labels/scribbles/{path}", {}, json.dumps(body).encode())
        return answer.status, json.loads(answer.body)

    square = {"index": 0, "row": 0, "column": 0, "height": 4, "width": 4, "value": 1}
    status, painted = await post("strokes", {"patches": [square], "as_of": 1, "key": "one"})
    assert (status, painted["pixels"], painted["undo"]) == (201, 16, 1)
    status, problem = await post("strokes", {"patches": [square | {"value": 2}], "as_of": 1})
    assert (status, problem["code"]) == (409, "conflict")
    (tile,) = problem["details"]["tiles"]
    assert tile["version"] == painted["number"] and tile["values"]
    status, again = await post(f"strokes/{problem['details']['stroke']}/again", {})
    assert (status, again["pixels"]) == (201, 16)
    assert (await post("undo", {}))[0] == 200
    for wrong in ({"patches": []}, {"patches": [square | {"axis": 3}]}, {"patches": [square], "as_of": "x"}, []):
        assert (await post("strokes", wrong))[0] == 400
    answer = await service.answer("GET", "/datasets/sand/labels/scribbles/slice", {"index": ["0"]}, b"")
    assert [block["version"] for block in json.loads(answer.body)["blocks"]] == [again["number"] + 1]


def test_the_shell_says_how_labels_stand(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "sand.npy", np.zeros((3, 64, 64), np.uint16))

    def mlex(*words: str) -> str:
        assert cli.main(words) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    mlex("register", str(tmp_path / "sand.npy"))
    mlex("create-labels", "sand", "scribbles", "--class-names", "pore", "--class-names", "grain")
    assert "pore, grain" in mlex("draft", "sand", "scribbles")
    assert "None yet" in mlex("label-balance", "sand", "scribbles")
    assert "new" in mlex("strokes", "sand", "scribbles")
    mlex("set-classes", "sand", "scribbles", "--class-names", "void")
    mlex("save-labels", "sand", "scribbles", "--note", "renamed")
    assert "renamed" in mlex("label-versions", "sand", "scribbles")
    assert "none differs" in mlex("compare-labels", "sand", "scribbles", "1", "2")
    mlex("export-labels", "sand", "scribbles", str(tmp_path / "out.json"))
    assert cli.main(["export-labels", "sand", "scribbles", str(tmp_path / "out.json")]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert cli.main(["undo", "sand", "scribbles"]) == 1
    assert "nothing to undo" in capsys.readouterr().err


async def test_a_full_disk_refuses_the_stroke_and_keeps_what_was_there(sand: Mlex) -> None:
    await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 4, 4, 1)))
    pages = sand.store.write_now(lambda tx: tx.exec_driver_sql("PRAGMA page_count").scalar())

    def allow(most: int) -> None:
        sand.store.write_now(lambda tx: tx.exec_driver_sql(f"PRAGMA max_page_count={most}"))

    allow(int(pages or 0) + 1)
    noise = np.random.default_rng(7).random((64, 64)) < 0.5
    large = stroke(*(patch(z, 0, 0, 64, 64, 2, noise) for z in range(3)), key="large")
    with pytest.raises(Unavailable, match="full"):
        for number in range(40):
            await sand.paint("sand", "scribbles", large.model_copy(update={"key": f"large-{number}"}))
            await sand.undo("sand", "scribbles")
    before = await whole(sand, "sand", "scribbles")
    assert (before[0, :4, :4] > 0).all()
    allow(1 << 30)
    await sand.paint("sand", "scribbles", large)
    assert np.count_nonzero(await whole(sand, "sand", "scribbles") == 2) == 3 * np.count_nonzero(noise)


async def test_a_training_learns_from_what_was_painted_up_to_now(sand: Mlex) -> None:
    await sand.paint("sand", "scribbles", stroke(patch(1, 0, 0, 4, 4, 1)))
    taken = await sand.label_sets.settled("sand", "scribbles")
    assert (taken.version, taken.slices, taken.note) == (2, (1,), "saved for a training")
    assert await sand.label_sets.settled("sand", "scribbles") == taken
    await sand.undo("sand", "scribbles")
    assert (await sand.label_sets.settled("sand", "scribbles")).slices == ()
    assert taken.uri.endswith("v2.zarr") and Path(taken.uri, "c", "1").is_dir()
