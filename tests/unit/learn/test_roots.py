"""A job holds to the folders that may be opened, whatever was allowed when its data was registered."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import zarr

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import JobEnded
from mlex_jupyter.types import ClassInfo, Job, JobState, Params
from tests.engine import settings_of

pytestmark = pytest.mark.needs("torch")

SHAPE = (4, 64, 64)
CLASSES = (ClassInfo(value=1, name="left", color="#ff0000"), ClassInfo(value=2, name="right", color="#0000ff"))
QUICK: Params = {"epochs": 1, "steps_per_epoch": 2, "batch": 2, "patch": 32, "base_channels": 4, "depth": 3}


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    made = tmp_path / "allowed"
    made.mkdir()
    return made


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    made = tmp_path / "outside"
    made.mkdir()
    return made


@pytest.fixture
async def free(home: Path, described: Path) -> AsyncIterator[Mlex]:
    """The engine as it was before anybody set which folders may be opened."""
    (home / "cache").symlink_to(described)
    engine = Mlex(settings_of(home))
    yield engine
    engine.close()


@pytest.fixture
async def held(free: Mlex, home: Path, allowed: Path) -> AsyncIterator[Mlex]:
    """The same home since somebody did; its supervisor and its jobs are told by it."""
    engine = Mlex(settings_of(home, roots=(allowed,)))
    yield engine
    engine.close()


async def painted(mlex: Mlex, name: str, place: Path) -> None:
    """A dataset at this place, and labels of it."""
    labels = np.ones(SHAPE, np.uint8)
    labels[:, :, 32:] = 2
    values = labels.astype(np.uint16) * 1000
    if place.suffix == ".zarr":
        zarr.create_array(place, data=values, chunks=(1, 64, 64), compressors=None)
    else:
        np.save(place, values)
    truth = mlex.settings.home / "truth.npy"
    np.save(truth, labels)
    await mlex.register(str(place), name=name)
    await mlex.import_labels(name, str(truth), name="truth", classes=CLASSES)


async def ended(mlex: Mlex, name: str) -> Job:
    job = await mlex.train("unet", data=name, labels="truth", params=QUICK, name=f"run-{name}")
    with contextlib.suppress(JobEnded):
        await mlex.wait(job.id)
    return await mlex.job(job.id)


async def test_it_reads_what_is_in_them_and_nothing_by_whatever_way_out_of_them(
    free: Mlex, held: Mlex, allowed: Path, outside: Path
) -> None:
    (allowed / "folder").mkdir()
    places = {
        "inside": allowed / "inside.npy",
        "before": outside / "before.npy",
        "folder": allowed / "folder" / "a.npy",
        "chunk": allowed / "chunk.zarr",
    }
    for name, place in places.items():
        await painted(free, name, place)
    for moved in ("folder", "chunk.zarr/c/1"):
        shutil.move(allowed / moved, outside / Path(moved).name)
        (allowed / moved).symlink_to(outside / Path(moved).name)

    inside, *others = await asyncio.gather(*(ended(held, name) for name in places))
    assert inside.state == JobState.DONE, inside.message
    assert {job.state for job in others} == {JobState.FAILED}
    before, folder, chunk = others
    for job, name in ((before, "before"), (folder, "folder")):
        assert job.message == f"{places[name]} is outside of the folders that may be opened here."
        assert job.hint == f"Put the data below {allowed}, or ask whoever set up this server."
    assert chunk.message == f"{allowed}/chunk.zarr points elsewhere: 'c/1/0/0' is not in that folder."
    assert chunk.hint == "Copy the volume with its links resolved (cp -rL), and say the copy's path."
    for job in others:
        assert "Traceback" not in (await held.log(job.id)).text
