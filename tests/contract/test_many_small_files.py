"""Absurdly many small files: a folder of them is read, refused or uploaded in bounded memory; others do not wait."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile
import zarr

from mlex_jupyter.app import Mlex
from mlex_jupyter.catalog import uploads
from mlex_jupyter.errors import Invalid, MlexError
from mlex_jupyter.types import UploadFile
from tests.engine import settings_of

MANY = 20_000


@pytest.fixture
async def engine(home: Path) -> AsyncIterator[Mlex]:
    made = Mlex(settings_of(home))
    yield made
    made.close()


def crowd(folder: Path, ending: str, content: bytes = b"x") -> Path:
    """A folder of many files of one byte."""
    folder.mkdir(parents=True)
    (folder / f"0{ending}").write_bytes(content)
    for number in range(1, MANY):
        os.link(folder / f"0{ending}", folder / f"{number}{ending}")
    return folder


async def test_a_folder_of_them_that_is_no_volume_is_refused_at_once(engine: Mlex, tmp_path: Path) -> None:
    folder = crowd(tmp_path / "crowd", ".txt")
    with pytest.raises(MlexError, match="No reader knows what"):
        await engine.register(str(folder))


async def test_a_stack_of_them_is_looked_at_in_three_places_only(engine: Mlex, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "one.tif", np.zeros((4, 4), np.uint8), photometric="minisblack")
    folder = crowd(tmp_path / "stack", ".tif", (tmp_path / "one.tif").read_bytes())
    found = await engine.register(str(folder))
    assert found.shape == (MANY, 4, 4)
    plane = await engine.catalog.reading.plane(found, axis=0, index=MANY - 1)
    assert plane.shape == (1, 4, 4)[-len(plane.shape) :]


async def test_a_zarr_of_tiny_chunks_and_strangers_is_read_and_verified_in_bounded_memory(
    engine: Mlex, tmp_path: Path
) -> None:
    folder = tmp_path / "tiny.zarr"
    zarr.create_array(folder, shape=(20, 40, 25), chunks=(1, 1, 25), dtype="u1", compressors=None, fill_value=0)
    for z in range(20):
        for y in range(40):
            (folder / f"c/{z}/{y}").mkdir(parents=True)
            (folder / f"c/{z}/{y}/0").write_bytes(bytes(25))
    crowd(folder / "strangers", ".x")
    found = await engine.register(str(folder), name="tiny")
    assert found.shape == (20, 40, 25)
    before = psutil.Process().memory_info().rss
    waiting = asyncio.create_task(engine.verify("tiny"))
    assert (await engine.dataset("tiny")).name == "tiny", "others are answered meanwhile"
    noted = await waiting
    assert noted.files == 20 * 40 + 1 + MANY
    assert psutil.Process().memory_info().rss - before < 200 << 20
    (folder / "strangers" / "7.x").unlink()
    assert (await engine.verify("tiny")).missing == ("strangers/7.x",)


async def test_an_upload_says_how_many_it_takes(engine: Mlex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST_FILES", 1000)
    files = tuple(UploadFile(path=f"crowd/{number}", size=1) for number in range(1001))
    with pytest.raises(Invalid, match="at most 1000 files, not 1001") as refused:
        await engine.begin_upload("crowd", files)
    assert refused.value.hint
    assert await engine.uploads() == []


async def test_a_folder_of_many_is_uploaded_whole(engine: Mlex, tmp_path: Path) -> None:
    folder = tmp_path / "tiny.zarr"
    zarr.create_array(folder, shape=(600, 1, 4), chunks=(1, 1, 4), dtype="u1", compressors=None)
    said = json.loads((folder / "zarr.json").read_text())
    for z in range(600):
        (folder / f"c/{z}/0").mkdir(parents=True)
        (folder / f"c/{z}/0/0").write_bytes(bytes([z % 251] * 4))
    found = await engine.upload(str(folder), name="tiny", axes="zyx")
    assert found.shape == tuple(said["shape"])
    plane = await engine.catalog.reading.plane(found, axis=0, index=599)
    assert set(plane.data) == {599 % 251}


@pytest.mark.parametrize(
    "path",
    ["../up", "/etc/passwd", "a/../../b", "a\0b", "", ".", "a//b", "\x1b[2J/x", "x" * 300, "a/" * 3000 + "b", "\ud800"],
)
async def test_a_name_in_an_upload_that_leads_elsewhere_or_is_none_is_refused(engine: Mlex, path: str) -> None:
    try:
        files = (UploadFile(path=path, size=1), UploadFile(path="crowd/good", size=1))
        upload = await engine.begin_upload("crowd", files)
    except (MlexError, ValueError) as error:
        str(error).encode(errors="backslashreplace")
        return
    place = engine.all_uploads.coming / upload.id / "files"
    assert os.path.realpath(place / path).startswith(os.path.realpath(place)), "below the upload, at least"
    await engine.send_piece(upload.id, path, 0, b"x")
    (await engine.uploads())[0].model_dump_json()
