"""Label sets: integers over a dataset, in versions that never change."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from mlex_jupyter.catalog import Catalog
from mlex_jupyter.errors import Invalid, NotFound
from mlex_jupyter.events import Events
from mlex_jupyter.labels import PALETTE, Labels
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.types import ClassInfo, LabelSet

SHAPE = (6, 16, 24)
PORE, GRAIN = ClassInfo(value=1, name="pore", color="#111111"), ClassInfo(value=2, name="grain", color="#222222")


@pytest.fixture
async def labels(settings: Settings, tmp_path: Path) -> Any:
    store = Store.open(settings)
    catalog = Catalog(store, settings)
    np.save(tmp_path / "sand.npy", np.zeros(SHAPE, np.uint16))
    await catalog.register(str(tmp_path / "sand.npy"))
    yield Labels(store, settings, catalog)
    store.close()


def painted(dtype: str = "uint8") -> NDArray[Any]:
    array = np.zeros(SHAPE, dtype)
    array[1, :2] = 1
    array[4, :, :3] = 2
    return array


def saved(tmp_path: Path, array: NDArray[Any] | None = None) -> str:
    path = tmp_path / "painted.npy"
    np.save(path, painted() if array is None else array)
    return str(path)


def on_disk(labels: Labels) -> list[str]:
    return sorted(str(path.relative_to(labels.folder)) for path in labels.folder.glob("*/*.zarr"))


def npy(path: Path, array: NDArray[Any]) -> Path:
    np.save(path.with_suffix(".npy"), array)
    return path.with_suffix(".npy")


def tiff(path: Path, array: NDArray[Any]) -> Path:
    tifffile.imwrite(path.with_suffix(".tif"), array, compression="zlib", photometric="minisblack")
    return path.with_suffix(".tif")


def zarred(path: Path, array: NDArray[Any]) -> Path:
    zarr.create_array(path.with_suffix(".zarr"), data=array)
    return path.with_suffix(".zarr")


@pytest.mark.parametrize("write", [npy, tiff, zarred])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "int16"])
async def test_labels_are_taken_from_any_file(labels: Labels, tmp_path: Path, write: Any, dtype: str) -> None:
    if write is tiff and dtype == "int64":
        dtype = "int32"  # TIFF readers elsewhere know no 64 bits
    taken = await labels.import_file("sand", str(write(tmp_path / "painted", painted(dtype))), "scribbles")
    assert (taken.version, taken.slices, taken.counts) == (1, (1, 4), {"class 1": 48, "class 2": 48})
    assert [found.color for found in taken.classes] == list(PALETTE[:2])
    array = zarr.open_array(taken.uri, mode="r")
    assert (array.dtype, array.shape, array.chunks) == (np.uint8, SHAPE, (1, *SHAPE[1:]))
    np.testing.assert_array_equal(array[:], painted())
    assert len([file for file in Path(taken.uri).rglob("*") if file.is_file()]) == 3  # zarr.json and two slices


async def test_a_second_import_is_a_version_and_the_first_stays(labels: Labels, tmp_path: Path) -> None:
    first = await labels.import_file("sand", saved(tmp_path), "scribbles", (PORE, GRAIN))
    more = painted()
    more[2] = 2
    second = await labels.import_file("sand", saved(tmp_path, more), "scribbles")
    assert (second.id, second.version, second.classes) == (first.id, 2, (PORE, GRAIN))
    assert second.counts == {"pore": 48, "grain": 48 + 16 * 24}
    np.testing.assert_array_equal(zarr.open_array(first.uri, mode="r")[:], painted())
    assert await labels.get("sand", "scribbles") == second
    happened = await Events(labels.store).after(0, kind="labels")
    assert [event.values["version"] for event in happened] == [1, 2]
    assert {event.subject for event in happened} == {first.id}


async def test_the_list_has_the_newest_version_of_each(labels: Labels, tmp_path: Path) -> None:
    for name in ("truth", "scribbles", "truth"):
        await labels.import_file("sand", saved(tmp_path), name)
    assert [(found.name, found.version) for found in await labels.list("sand")] == [("truth", 2), ("scribbles", 1)]


async def test_an_unknown_name_is_told_the_nearest_and_all(labels: Labels, tmp_path: Path) -> None:
    with pytest.raises(NotFound) as refused:
        await labels.get("sand", "scribbles")
    assert "none yet" in str(refused.value.hint)
    await labels.import_file("sand", saved(tmp_path), "scribbles")
    with pytest.raises(NotFound) as refused:
        await labels.get("sand", "scribles")
    assert refused.value.hint == "Did you mean scribbles? There are scribbles."
    with pytest.raises(NotFound, match="no dataset"):
        await labels.list("snad")


async def test_many_imports_at_once_are_as_many_versions(labels: Labels, tmp_path: Path) -> None:
    path = saved(tmp_path)
    taken = await asyncio.gather(*(labels.import_file("sand", path, "scribbles") for _ in range(6)))
    assert sorted(found.version for found in taken) == [1, 2, 3, 4, 5, 6]
    assert len({found.id for found in taken}) == 1
    assert len(on_disk(labels)) == 6


IMPORT = """
import asyncio, sys
from mlex_jupyter.app import Mlex
asyncio.run(Mlex().import_labels("sand", sys.argv[1], name="scribbles"))
"""


async def test_an_import_that_is_killed_leaves_nothing_or_a_whole_version(labels: Labels, tmp_path: Path) -> None:
    first = await labels.import_file("sand", saved(tmp_path), "scribbles")
    armed = os.environ | {"MLEX_HOME": str(labels.folder.parent), "MLEX_FAILPOINTS": "labels.moved=1"}
    killed = subprocess.run([sys.executable, "-c", IMPORT, saved(tmp_path)], env=armed, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(on_disk(labels)) == 2  # moved to its place, and not committed
    assert await labels.get("sand", "scribbles") == first
    more = painted()
    more[3] = 1
    second = await labels.import_file("sand", saved(tmp_path, more), "scribbles")
    assert second.version == 2
    np.testing.assert_array_equal(zarr.open_array(second.uri, mode="r")[:], more)
    assert await labels.list("sand") == [second]


# ---------------------------------------------------------------- what is refused


def with_value(value: float, dtype: str = "int32") -> NDArray[Any]:
    array = painted(dtype)
    array[5, 0, 0] = value
    return array


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (painted()[:5], r"\(5, 16, 24\).*\(6, 16, 24\)"),
        (painted()[0], r"\(16, 24\).*\(6, 16, 24\)"),
        (np.stack([painted()] * 2, axis=1), r"\(6, 2, 16, 24\)"),
        (painted("float32"), "float32"),
        (with_value(-1), "-1"),
        (with_value(256), "256"),
        (with_value(3, "uint8"), "without a class: 3"),
        (np.zeros(SHAPE, "uint8"), "nothing but zeros"),
    ],
)
async def test_what_are_no_labels_of_this_dataset_is_refused_and_leaves_nothing(
    labels: Labels, tmp_path: Path, array: NDArray[Any], says: str
) -> None:
    with pytest.raises(Invalid, match=says):
        await labels.import_file("sand", saved(tmp_path, array), "scribbles", (PORE, GRAIN))
    assert await labels.list("sand") == []
    assert list(labels.folder.iterdir()) == []


async def test_a_new_value_needs_a_class(labels: Labels, tmp_path: Path) -> None:
    await labels.import_file("sand", saved(tmp_path), "scribbles", (PORE, GRAIN))
    more = with_value(3)
    more[0, 0, 0] = 9
    with pytest.raises(Invalid, match="without a class: 3, 9") as refused:
        await labels.import_file("sand", saved(tmp_path, more), "scribbles")
    assert "1 (pore), 2 (grain)" in str(refused.value.hint)


@pytest.mark.parametrize("classes", [(PORE, PORE), (PORE, PORE.model_copy(update={"value": 2}))])
async def test_classes_are_told_apart(labels: Labels, tmp_path: Path, classes: tuple[ClassInfo, ...]) -> None:
    with pytest.raises(Invalid, match="Two classes"):
        await labels.import_file("sand", saved(tmp_path), "scribbles", classes)


@pytest.mark.parametrize("name", ["", "a b", "../x", "a\nb", "$(rm)", "x" * 101, '"'])
async def test_a_name_that_is_none_is_refused(labels: Labels, tmp_path: Path, name: str) -> None:
    with pytest.raises(Invalid, match="cannot be called"):
        await labels.import_file("sand", saved(tmp_path), name)


async def test_a_class_that_was_not_painted_counts_nothing(labels: Labels, tmp_path: Path) -> None:
    other = ClassInfo(value=7, name="air", color="#333333")
    taken = await labels.import_file("sand", saved(tmp_path), "scribbles", (PORE, GRAIN, other))
    assert taken.counts == {"pore": 48, "grain": 48, "air": 0}


async def test_one_picture_has_labels_of_one_slice(labels: Labels, tmp_path: Path) -> None:
    np.save(tmp_path / "picture.npy", np.zeros((16, 24), np.float32))
    await labels.catalog.register(str(tmp_path / "picture.npy"))
    taken = await labels.import_file("picture", saved(tmp_path, painted()[1]), "scribbles")
    assert zarr.open_array(taken.uri, mode="r").shape == (1, 16, 24)
    assert taken.slices == (0,)


async def test_labels_of_a_large_volume_are_read_slice_by_slice(labels: Labels, tmp_path: Path) -> None:
    large = np.ones((48, 256, 256), np.uint8)
    np.save(tmp_path / "large.npy", large)
    await labels.catalog.register(str(tmp_path / "large.npy"))
    await labels.import_file("large", str(tmp_path / "large.npy"), "warm")
    tracemalloc.start()
    taken: LabelSet = await labels.import_file("large", str(tmp_path / "large.npy"), "all")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken.counts == {"class 1": large.size}
    assert peak < large.nbytes / 2
