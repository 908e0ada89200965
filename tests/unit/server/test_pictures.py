"""Pictures over HTTP: a slice of a dataset, what a run shows of itself, and nothing else of the disk."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Invalid, NotFound
from mlex_jupyter.server.pictures import picture_of
from mlex_jupyter.types import Job
from tests.engine import settings_of, spec

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
async def mlex(home: Path, tmp_path: Path) -> AsyncIterator[Mlex]:
    engine = Mlex(settings_of(home))
    volume = np.zeros((3, 20, 40), np.uint8)
    volume[1, :, 20:] = 200
    np.save(tmp_path / "volume.npy", volume)
    await engine.catalog.register(str(tmp_path / "volume.npy"), name="sand")
    yield engine
    engine.close()


@pytest.fixture
async def job(mlex: Mlex) -> Job:
    submitted = await mlex.job_list.submit(spec(name="first"), "tester")
    mlex.job_list.folder(submitted.id).path.mkdir(parents=True)
    return submitted


async def png(mlex: Mlex, path: str, **query: str) -> bytes:
    answer = await picture_of(mlex, path, {name: [value] for name, value in query.items()})
    assert answer is not None
    assert (answer.status, answer.content_type) == (200, "image/png")
    return answer.body


@pytest.mark.parametrize("path", ["jobs", "jobs/x", "jobs/x/pictures", "datasets/x", "picture", "x/jobs/y/picture", ""])
async def test_other_paths_are_no_pictures(mlex: Mlex, path: str) -> None:
    assert await picture_of(mlex, path, {}) is None


async def test_a_slice_is_a_picture_of_the_asked_size(mlex: Mlex) -> None:
    picture = Image.open(io.BytesIO(await png(mlex, "datasets/sand/picture", index="1", size="40")))
    assert picture.size == (40, 20)
    pixels = np.asarray(picture.convert("L"))
    assert pixels[:, :20].max() < pixels[:, 20:].min()
    across = Image.open(io.BytesIO(await png(mlex, "/datasets/sand/picture", axis="1", size="40")))
    assert across.size == (40, 3)


async def test_a_slice_may_be_kept_by_the_browser_and_a_run_not(mlex: Mlex, job: Job) -> None:
    answer = await picture_of(mlex, "datasets/sand/picture", {})
    assert answer is not None
    assert answer.cache_s > 0
    (mlex.job_list.folder(job.id).path / "picture.png").write_bytes(PNG)
    answer = await picture_of(mlex, "jobs/first/picture", {})
    assert answer is not None
    assert answer.cache_s == 0


@pytest.mark.parametrize(
    "query",
    [
        {"index": "3"},
        {"index": "-1"},
        {"index": "1.5"},
        {"index": "many"},
        {"index": "9" * 30},
        {"axis": "3"},
        {"size": "0"},
        {"size": "100000"},
        {"size": ""},
    ],
)
async def test_a_slice_that_is_not_there_is_refused_in_words(mlex: Mlex, query: dict[str, str]) -> None:
    with pytest.raises(Invalid) as caught:
        await png(mlex, "datasets/sand/picture", **query)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("name", ["snad", "..", "%2e%2e%2fvolume.npy", "%00", "a%0ab"])
async def test_a_dataset_or_run_that_is_not_there_is_not_found(mlex: Mlex, name: str) -> None:
    for kind in ("datasets", "jobs"):
        with pytest.raises(NotFound):
            await png(mlex, f"{kind}/{name}/picture")


async def test_labels_that_are_not_there_are_not_found(mlex: Mlex) -> None:
    with pytest.raises(NotFound):
        await png(mlex, "datasets/sand/picture", labels="scribbles")


async def test_a_run_shows_its_picture_its_newest_epoch_or_the_one_asked_for(mlex: Mlex, job: Job) -> None:
    with pytest.raises(NotFound, match="first has no picture yet"):
        await png(mlex, "jobs/first/picture")
    pictures = mlex.job_list.folder(job.id).path / "pictures"
    pictures.mkdir()
    for epoch in (2, 10):
        (pictures / f"epoch-{epoch:04d}.png").write_bytes(PNG + bytes([epoch]))
    assert await png(mlex, "jobs/first/picture") == PNG + bytes([10])
    assert await png(mlex, f"jobs/{job.id}/picture", epoch="2") == PNG + bytes([2])
    with pytest.raises(NotFound):
        await png(mlex, "jobs/first/picture", epoch="3")
    (pictures.parent / "picture.png").write_bytes(PNG)
    assert await png(mlex, "jobs/first/picture") == PNG


async def test_a_picture_that_is_a_link_shows_nothing_of_the_disk(mlex: Mlex, job: Job, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret")
    (mlex.job_list.folder(job.id).path / "picture.png").symlink_to(tmp_path / "secret")
    with pytest.raises(NotFound):
        await png(mlex, "jobs/first/picture")


async def test_a_slice_comes_as_numbers_behind_a_line_that_says_what_they_are(mlex: Mlex) -> None:
    answer = await picture_of(mlex, "datasets/sand/raster", {"index": ["1"]})
    assert answer is not None
    line, _, pixels = answer.body.partition(b"\n")
    said = json.loads(line)
    assert (said["height"], said["width"], said["bits"]) == (20, 40, 8)
    assert set(pixels[:20]) == {0}
    assert set(pixels[20:40]) == {200}
    with pytest.raises(Invalid):
        await picture_of(mlex, "datasets/sand/raster", {"index": ["3"]})
