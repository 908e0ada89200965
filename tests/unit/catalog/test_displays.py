"""Display pyramids: made once somebody looks, and right."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image

from mlex_jupyter.app import Mlex
from mlex_jupyter.data import pictures, pyramid
from mlex_jupyter.data.pyramid import cost, level_for, means, wanted
from mlex_jupyter.telling import heard_by
from mlex_jupyter.types import Dataset, Display

SHAPE = (40, 300, 280)
ELSEWHERE = """
import asyncio, sys
from mlex_jupyter.app import Mlex
from mlex_jupyter.data import pyramid
pyramid.SMALL = 0
mlex = Mlex()
build = mlex.displays.reading.pyramid
async def slowly(dataset, place, heard):
    heard({"done": 1, "of": 4, "level": 1})
    print("making", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    return await build(dataset, place, heard)
mlex.displays.reading.pyramid = slowly
print(asyncio.run(mlex.prepare(sys.argv[1])).ready, flush=True)
"""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is quick here is quick without a pyramid: call nothing quick."""
    monkeypatch.setattr(pyramid, "SMALL", 0)
    monkeypatch.setattr(pictures, "SMALL", 0)


async def slices(mlex: Mlex, tmp_path: Path, values: np.ndarray) -> Dataset:
    zarr.create_array(tmp_path / "v.zarr", data=values, chunks=(1, *values.shape[1:]))
    return await mlex.register(str(tmp_path / "v.zarr"), axes="zyx")


@pytest.fixture
async def made_elsewhere(
    mlex: Mlex, tmp_path: Path, small: None
) -> AsyncIterator[tuple[Dataset, subprocess.Popen[str]]]:
    """A dataset, and another process that has begun to make its pyramid and goes on when it is told to."""
    dataset = await slices(mlex, tmp_path, np.full(SHAPE, 7, "uint8"))
    command = [sys.executable, "-c", ELSEWHERE, dataset.name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "making\n"
        yield dataset, process
        process.kill()


async def waits(mlex: Mlex, dataset: Dataset, process: subprocess.Popen[str]) -> asyncio.Task[Display]:
    """`prepare` in this process, which has come to say what the other one does."""
    lines: list[str] = []
    with heard_by(lines.append):
        waiting = asyncio.create_task(mlex.prepare(dataset.name))
    said = f"prepared 25% of level 1 of {dataset.name}, by the process {process.pid} on "
    while not any(line.startswith(said) for line in lines):
        assert not waiting.done(), "it ends when the pyramid is ready, not before"
        await asyncio.sleep(0.02)
    assert (await mlex.display(dataset.name)).fraction == 0.25
    return waiting


async def test_who_prepares_what_another_process_makes_waits_for_it(
    mlex: Mlex, made_elsewhere: tuple[Dataset, subprocess.Popen[str]]
) -> None:
    dataset, process = made_elsewhere
    waiting = await waits(mlex, dataset, process)
    said, _ = await asyncio.to_thread(process.communicate, "\n")
    assert said == "True\n"
    found = await waiting
    assert (found.ready, found.levels, found.problem) == (True, 1, None)


async def test_what_a_process_that_died_was_making_is_made_by_the_one_that_waits(
    mlex: Mlex, made_elsewhere: tuple[Dataset, subprocess.Popen[str]]
) -> None:
    dataset, process = made_elsewhere
    waiting = await waits(mlex, dataset, process)
    process.kill()
    found = await waiting
    assert (found.ready, found.levels, found.problem) == (True, 1, None)


@pytest.mark.parametrize(
    ("shape", "chunks", "quick"),
    [
        ((2048, 2048, 2048), (1, 2048, 2048), False),
        ((2048, 2048, 2048), (64, 64, 64), False),
        ((64, 256, 256), (1, 256, 256), True),
        ((2048, 2048, 2048), None, False),
        ((256, 256, 256), (32, 32, 32), True),
    ],
)
def test_a_volume_wants_one_where_a_slice_reads_far_more_than_it_shows(
    mlex: Mlex, shape: tuple[int, ...], chunks: tuple[int, ...] | None, quick: bool
) -> None:
    nbytes = 2 * int(np.prod(shape))
    about = {"id": "x", "name": "x", "uri": "/x", "reader": "zarr", "dtype": "uint16", "axes": "zyx"}
    dataset = Dataset(**about, shape=shape, chunks=chunks, nbytes=nbytes, created="2026-01-01T00:00:00Z")
    assert wanted(dataset) is not quick


def test_a_slice_costs_the_chunks_that_it_meets() -> None:
    assert cost((10, 100, 100), (1, 100, 100), "zyx", 2, "z") == 20_000
    assert cost((10, 100, 100), (1, 100, 100), "zyx", 2, "y") == 200_000
    assert cost((10, 100, 100), (4, 64, 64), "zyx", 1, "x") == 12 * 128 * 64


def test_the_mean_at_an_odd_end_is_of_what_is_there() -> None:
    values = np.random.default_rng(0).integers(0, 1000, (5, 6, 7)).astype(np.float32)
    found = means(values, 2)
    assert found.shape == (3, 3, 4)
    assert found[1, 2, 0] == pytest.approx(values[2:4, 4:6, 0:2].mean())
    assert found[2, 0, 3] == pytest.approx(values[4:5, 0:2, 6:7].mean())


async def test_every_level_is_the_mean_of_the_one_before(mlex: Mlex, tmp_path: Path, small: None) -> None:
    values = np.random.default_rng(1).integers(0, 60_000, SHAPE, dtype="uint16")
    dataset = await slices(mlex, tmp_path, values)
    assert not (await mlex.display(dataset.name)).ready
    made = await mlex.prepare(dataset.name)
    assert (made.ready, made.problem, made.levels) == (True, None, 1)
    place = await mlex.displays.place(dataset)
    assert place is not None
    assert np.array_equal(np.asarray(zarr.open_array(place / "1")), means(values, 2))


async def test_labels_are_never_mixed(mlex: Mlex, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).choice(np.array([1, 200], np.uint8), SHAPE)
    dataset = await slices(mlex, tmp_path, values)
    classes = [{"value": value, "name": str(value), "color": "#ffffff"} for value in (1, 200)]
    painted = Dataset.model_validate(dataset.model_dump() | {"classes": classes})
    await mlex.displays.finished(painted)
    place = await mlex.displays.place(painted)
    assert place is not None
    assert set(np.unique(np.asarray(zarr.open_array(place / "1")))) == {1, 200}


@pytest.mark.parametrize("axis", [0, 1, 2])
async def test_a_picture_out_of_the_pyramid_shows_what_the_volume_shows(
    mlex: Mlex, tmp_path: Path, small: None, axis: int
) -> None:
    from mlex_jupyter.data.pictures import slice_png

    z, y, x = np.indices(SHAPE, dtype=np.float32)
    dataset = await slices(mlex, tmp_path, (100 * z + 10 * y + 7 * x).astype("uint16"))
    await mlex.prepare(dataset.name)
    place = await mlex.displays.place(dataset)
    before, after = (
        np.asarray(Image.open(io.BytesIO(slice_png(dataset, axis=axis, index=21, size=140, pyramid=found))), np.float32)
        for found in (None, place)
    )
    assert before.shape == after.shape
    assert np.abs(before - after).mean() < 6, "as bright, but for the mean over neighbours"


async def test_changed_files_have_another_pyramid(mlex: Mlex, tmp_path: Path, small: None) -> None:
    dataset = await slices(mlex, tmp_path, np.zeros(SHAPE, "uint8"))
    await mlex.prepare(dataset.name)
    first = await mlex.displays.place(dataset)
    os.utime(tmp_path / "v.zarr" / "zarr.json", (5, 5))
    assert await mlex.displays.place(dataset) is None
    await mlex.prepare(dataset.name)
    assert await mlex.displays.place(dataset) not in (None, first)
    assert first is not None
    assert not first.exists()


async def test_forgetting_a_dataset_removes_its_pyramid(mlex: Mlex, tmp_path: Path, small: None) -> None:
    dataset = await slices(mlex, tmp_path, np.zeros(SHAPE, "uint8"))
    await mlex.prepare(dataset.name)
    place = await mlex.displays.place(dataset)
    assert place is not None
    await mlex.forget(dataset.name)
    assert not place.exists()


async def test_what_a_killed_process_left_half_made_is_removed(mlex: Mlex, tmp_path: Path, small: None) -> None:
    dataset = await slices(mlex, tmp_path, np.zeros(SHAPE, "uint8"))
    left = mlex.displays.folder / f".{dataset.id}-0123.4567"
    left.mkdir(parents=True)
    await mlex.prepare(dataset.name)
    assert not left.exists()


async def test_what_goes_wrong_is_said_and_looking_goes_on(mlex: Mlex, tmp_path: Path, small: None) -> None:
    dataset = await slices(mlex, tmp_path, np.zeros(SHAPE, "uint8"))
    mlex.displays.folder.write_text("in the way")
    said = await mlex.prepare(dataset.name)
    assert not said.ready
    assert said.problem
    assert await mlex.displays.begin(dataset) is None


def test_the_level_is_as_fine_as_what_is_shown(tmp_path: Path) -> None:
    for level in (1, 2, 3):
        (tmp_path / str(level)).mkdir()
    assert level_for(tmp_path, (2000, 2000, 2000), 1, 512) == 1
    assert level_for(tmp_path, (2000, 2000, 2000), 1, 500) == 2
    assert level_for(tmp_path, (2000, 2000, 2000), 1, 200) == 3
    assert level_for(tmp_path, (2000, 2000, 2000), 1, 2000) == 1, "half as fine, but quick"
    assert level_for(tmp_path, (2000, 2000, 2000), 1, 4096) == 0
    assert level_for(tmp_path / "none", (2000, 2000, 2000), 1, 100) == 0
