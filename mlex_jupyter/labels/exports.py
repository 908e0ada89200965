"""Exports: a version of a label set as a file of its own, for other programs. Whole or not there.

zarr             a folder with the classes among its attributes
tiff             a stack that ImageJ opens in the classes' colours, NAME.classes.json beside it
coco             JSON with run lengths for each class of each slice
coco-polygons    JSON with polygons
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mlex_jupyter.data import coco
from mlex_jupyter.data.classnames import BESIDE
from mlex_jupyter.errors import Conflict, Invalid, NotFound
from mlex_jupyter.files import sync_folder, sync_tree
from mlex_jupyter.labels.bases import holds, plane
from mlex_jupyter.labels.tiles import Bytes
from mlex_jupyter.types import Dataset, Exported, LabelSet

ENDINGS = {".zarr": "zarr", ".tif": "tiff", ".tiff": "tiff", ".json": "coco"}
FORMATS = {"zarr": (".zarr",), "tiff": (".tif", ".tiff"), "coco": (".json",), "coco-polygons": (".json",)}
SPARE = 64 << 20
"""Bytes that are to stay free on the disk."""

Tell = Callable[[int, int], None]
"""Slices done, and of how many."""


def export(
    labelled: LabelSet,
    dataset: Dataset,
    shape: tuple[int, int, int],
    path: str,
    how: str | None,
    *,
    overwrite: bool,
    tell: Tell,
) -> Exported:
    """Write a version to a path on this machine."""
    place, how = _place(path, how)
    _check_free(place, how, overwrite)
    beside = place.with_name(f".{place.name}.{secrets.token_hex(6)}")
    try:
        if how == "zarr":
            _zarr(labelled, beside, tell)
        elif how == "tiff":
            _check_room(place, shape[0] * shape[1] * shape[2])
            _tiff(labelled, dataset, shape, beside, tell)
        else:
            _coco(labelled, dataset, shape, beside, tell, polygons=how == "coco-polygons")
        nbytes = sum(
            file.stat().st_size for file in (beside.rglob("*") if beside.is_dir() else [beside]) if file.is_file()
        )
        if how == "tiff":
            _named(place, labelled, overwrite)
        _put(beside, place, overwrite)
    finally:
        _remove(beside)
    return Exported(path=str(place), format=how, version=labelled.version, nbytes=nbytes)


# ---------------------------------------------------------------- where to


def _place(path: str, how: str | None) -> tuple[Path, str]:
    try:
        # As the kernel takes it: a `..` behind a link leads elsewhere than the words say, and was checked as such.
        folder, name = os.path.split(os.path.expanduser(path).rstrip("/"))
        place = Path(os.path.realpath(folder), name)
        parent_is_there = place.parent.is_dir()
    except (ValueError, OSError, RuntimeError) as error:
        raise Invalid(f"{path[:200]!r} is not a path: {str(error)[:200]}.") from error
    if "\0" in path or name in ("", ".", ".."):
        raise Invalid(f"{path[:200]!r} is not a path.")
    if not parent_is_there:
        raise NotFound(f"There is no folder {str(place.parent)!r}.", hint="The path is one of the server's machine.")
    found = how or ENDINGS.get(place.suffix.lower())
    if found not in FORMATS:
        raise Invalid(f"{how or place.suffix or path!r} is no format.", hint=f"There are {', '.join(FORMATS)}.")
    if place.suffix.lower() not in FORMATS[found]:
        raise Invalid(f"A file of the format {found} ends in {' or '.join(FORMATS[found])}.")
    return place, found


def _check_free(place: Path, how: str, overwrite: bool) -> None:
    if not os.path.lexists(place):
        return
    if not overwrite:
        raise Conflict(f"{place} is there already.", hint="Choose another path, or add --overwrite.")
    ours = (place / "zarr.json").is_file() if how == "zarr" else place.is_file()
    if place.is_symlink() or not ours:
        raise Conflict(f"{place} is something else, and is not overwritten.", hint="Choose another path.")


def _check_room(place: Path, nbytes: int) -> None:
    free = shutil.disk_usage(place.parent).free
    if free < nbytes + SPARE:
        raise Invalid(
            f"The file would have {nbytes >> 20} MB, and {free >> 20} MB are free.", hint="Export as zarr or COCO."
        )


def _put(beside: Path, place: Path, overwrite: bool) -> None:
    """Give it its name: of two who export to one path, neither writes into the other's."""
    if beside.is_dir():
        old = place.with_name(f".{place.name}.{secrets.token_hex(6)}")
        if overwrite and place.exists():
            os.rename(place, old)
        try:
            os.rename(beside, place)
        except OSError as error:
            raise Conflict(f"{place} has come to be there meanwhile.", hint="Choose another path.") from error
        finally:
            _remove(old)
    elif overwrite:
        os.replace(beside, place)
    else:
        try:
            os.link(beside, place)
        except FileExistsError:
            raise Conflict(f"{place} has come to be there meanwhile.", hint="Choose another path.") from None
    sync_folder(place.parent)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


# ---------------------------------------------------------------- formats


def _zarr(labelled: LabelSet, beside: Path, tell: Tell) -> None:
    """A copy, file by file: what somebody does to it must not reach the version."""
    source = Path(labelled.uri)
    beside.mkdir()
    about = json.loads((source / "zarr.json").read_bytes())
    about["attributes"] = {"labels": named_classes(labelled)}
    (beside / "zarr.json").write_text(json.dumps(about))
    for done, z in enumerate(labelled.slices):
        folder = Path("c", str(z), "0")
        (beside / folder).mkdir(parents=True)
        shutil.copyfile(source / folder / "0", beside / folder / "0")
        tell(done + 1, len(labelled.slices))
    sync_tree(beside)


def _tiff(labelled: LabelSet, dataset: Dataset, shape: tuple[int, int, int], beside: Path, tell: Tell) -> None:
    import tifffile

    colours = np.zeros((3, 256), np.uint8)
    for one in labelled.classes:
        colours[:, one.value] = tuple(bytes.fromhex(one.color[1:]))
    info = "\n".join(f"{one.value}: {one.name}" for one in labelled.classes)
    about: dict[str, Any] = {"axes": "ZYX", "LUTs": [colours], "Info": info}
    resolution = None
    if dataset.pixel_size and dataset.pixel_unit:
        sizes = dict(zip((axis for axis in dataset.axes if axis in "zyx"), dataset.pixel_size, strict=True))
        unit = dataset.pixel_unit.replace("µ", "u").encode("ascii", "replace").decode()  # ImageJ knows no more
        about |= {"unit": unit, **({"spacing": sizes["z"]} if "z" in sizes else {})}
        resolution = (1 / sizes["x"], 1 / sizes["y"])

    def pages() -> Iterator[Bytes]:
        for z in range(shape[0]):
            yield plane(Path(labelled.uri), z) if holds(Path(labelled.uri), z) else np.zeros(shape[1:], np.uint8)
            tell(z + 1, shape[0])

    tifffile.imwrite(beside, pages(), shape=shape, dtype="uint8", imagej=True, metadata=about, resolution=resolution)
    _sync(beside)


def _named(place: Path, labelled: LabelSet, overwrite: bool) -> None:
    """The classes' names beside a TIFF, which has no place for them that programs agree on."""
    names = place.with_name(place.name + BESIDE)
    if not overwrite and os.path.lexists(names):
        raise Conflict(f"{names} is there already.", hint="Choose another path, or add --overwrite.")
    beside = names.with_name(f".{names.name}.{secrets.token_hex(6)}")
    try:
        beside.write_text(json.dumps(named_classes(labelled), indent=1))
        _sync(beside)
        _put(beside, names, overwrite)
    finally:
        _remove(beside)


def _coco(
    labelled: LabelSet, dataset: Dataset, shape: tuple[int, int, int], beside: Path, tell: Tell, *, polygons: bool
) -> None:
    def slices() -> Iterator[tuple[int, Bytes]]:
        for done, z in enumerate(labelled.slices):
            yield z, plane(Path(labelled.uri), z)
            tell(done + 1, len(labelled.slices))

    with beside.open("w") as file:
        for piece in coco.lines(dataset.name, labelled.classes, slices(), polygons=polygons):
            file.write(piece)
    _sync(beside)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def named_classes(labelled: LabelSet) -> dict[str, Any]:
    """The classes as they stand beside exported labels, and are read again."""
    return {"classes": [one.model_dump() for one in labelled.classes]}
