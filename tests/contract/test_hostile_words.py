"""What is refused of foreign files and places says so in these words, one case for each kind; see `test_hostile`."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Forbidden, MlexError
from tests.engine import settings_of
from tests.hostile import Ground, ground
from tests.hostile.tiffs import XML

ZEROS = np.zeros((4, 32, 32), np.uint8)


@pytest.fixture
def at(tmp_path: Path) -> Ground:
    return ground(tmp_path)


@pytest.fixture
async def engine(home: Path, at: Ground) -> AsyncIterator[Mlex]:
    made = Mlex(settings_of(home, roots=(at.folder,)))
    yield made
    made.close()


def _zarr(at: Ground, **change: object) -> str:
    folder = at.place("a.zarr")
    zarr.create_array(folder, data=ZEROS, chunks=(1, 32, 32), zarr_format=2, compressors=None)
    said = json.loads((folder / ".zarray").read_text())
    (folder / ".zarray").write_text(json.dumps(said | change))
    return str(folder)


def _linked_chunk(at: Ground) -> str:
    folder = at.place("a.zarr")
    zarr.create_array(folder, data=ZEROS + 1, chunks=(1, 32, 32), compressors=None)
    shutil.rmtree(folder / "c")
    (folder / "c").symlink_to(at.outside / "secret.zarr" / "c")
    return str(folder)


def _hdf5(at: Ground, write: Callable[[h5py.File], object]) -> str:
    path = at.place("a.h5")
    with h5py.File(path, "w") as file:
        write(file)
    return f"{path}::/data"


def _virtual(at: Ground, file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4, 32, 32), "u1")
    layout[:] = h5py.VirtualSource(str(at.outside / "secret.h5"), "data", (4, 32, 32))
    file.create_virtual_dataset("data", layout)


def _objects(at: Ground) -> str:
    path = at.place("a.npy")
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    return str(path)


def _link(at: Ground) -> str:
    path = at.place("a.npy")
    path.symlink_to(at.outside / "secret.npy")
    return str(path)


REFUSED: dict[str, tuple[Callable[[Ground], str], str]] = {
    "a path outside of the roots": (lambda at: str(at.outside / "secret.npy"), "is outside of the folders that may be"),
    "dots": (lambda at: f"{at.folder}/../outside/secret.npy", "is outside of the folders that may be"),
    "a link": (_link, "is outside of the folders that may be"),
    "a zarr that points elsewhere": (_linked_chunk, "points elsewhere"),
    "the codec pickle": (lambda at: _zarr(at, dtype="|O", filters=[{"id": "pickle"}]), "pickle"),
    "an absurd shape": (lambda at: _zarr(at, shape=[10**6, 10**6, 10**6]), "which no volume has"),
    "objects in .npy": (_objects, "cannot be read"),
    "an external link": (
        lambda at: _hdf5(at, lambda f: f.__setitem__("data", h5py.ExternalLink(str(at.outside / "s.h5"), "/data"))),
        "is a link to /data in",
    ),
    "a virtual dataset": (lambda at: _hdf5(at, lambda f: _virtual(at, f)), "virtual"),
    "external storage": (
        lambda at: _hdf5(
            at,
            lambda f: f.create_dataset("data", (4, 32, 32), "u1", external=[(str(at.outside / "secret.raw"), 0, 4096)]),
        ),
        "is stored in the file",
    ),
    "a metadata service": (lambda at: "http://169.254.169.254/api/v1/metadata/a", "where metadata services are"),
    "this machine": (lambda at: "tiled+http://localhost:8000/a", "is this machine"),
    "a file by URL": (lambda at: "file:///etc/passwd", "is a URL that no reader knows"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_it_is_refused_in_these_words(what: str, engine: Mlex, at: Ground) -> None:
    make, words = REFUSED[what]

    async def looked_at() -> None:
        found = await engine.register(make(at), name="foreign")
        for index in range(found.shape[0]):
            await engine.catalog.reading.plane(found, axis=0, index=index)

    with pytest.raises(MlexError) as refused:
        await looked_at()
    assert words in refused.value.message, refused.value.message


@pytest.mark.parametrize(
    "what", ["a billion laughs", "a secret as entity", "an entity of a host", "a grammar elsewhere"]
)
async def test_entities_of_xml_stand_for_nothing(what: str, engine: Mlex, at: Ground) -> None:
    path = at.place("a.ome.tif")
    tifffile.imwrite(path, ZEROS, photometric="minisblack", description=XML[what].encode(), metadata=None)
    try:
        found = await engine.register(str(path))
    except MlexError as error:
        assert "root:" not in error.message
    else:
        assert found.shape == ZEROS.shape
        assert "root:" not in found.model_dump_json()


@pytest.mark.parametrize("what", ["a file", "a folder"])
async def test_a_link_that_came_in_the_place_of_a_dataset_is_not_followed_to_verify_it(
    what: str, engine: Mlex, at: Ground
) -> None:
    place = at.place("a.npy" if what == "a file" else "a.zarr")
    if what == "a file":
        np.save(place, ZEROS)
    else:
        zarr.create_array(place, data=ZEROS, chunks=(1, 32, 32))
    await engine.register(str(place), name="scan")
    await engine.verify("scan")
    shutil.move(place, place.with_name("moved"))
    place.symlink_to(at.outside / ("secret.npy" if what == "a file" else ""))
    with pytest.raises(Forbidden) as refused:
        await engine.verify("scan")
    assert refused.value.message == f"{place} is outside of the folders that may be opened here."
    assert "secret" not in f"{refused.value.message} {refused.value.hint}"
