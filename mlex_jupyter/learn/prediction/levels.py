"""Volumes that a prediction writes: OME-NGFF 0.5 images, a chunk a slice, each level half as fine as the one before.

    <image>/zarr.json     axes, pixel sizes, levels; for labels the names and colours of the classes
    <image>/0             all slices
    <image>/1, 2, …       every second slice, row and column of the level before

A coarser level has the values of the finer one at the same places, so that a slice can be written alone, at all levels,
by whoever has it: no two slices share a file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Zstd
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from mlex_jupyter.files import sync_folder, sync_tree, write_whole
from mlex_jupyter.types import ClassInfo

Bytes = NDArray[np.uint8]
SMALLEST = 256
"""A level whose longer side is no more needs no coarser one."""
UNITS = {"Å": "angstrom", "nm": "nanometer", "µm": "micrometer", "mm": "millimeter", "cm": "centimeter", "m": "meter"}
ENCODER = Zstd(level=1)
SYNCING = 8
"""Files at once: what takes the time is the disk's answer."""


@dataclass(frozen=True)
class Like:
    """What a volume is to look like."""

    name: str
    axes: str
    """`zyx`, `yx`, or these with a `c` in front."""
    shape: tuple[int, ...]
    pixel_size: tuple[float, ...] | None = None
    """Of z, y and x, those that there are."""
    pixel_unit: str | None = None
    classes: tuple[ClassInfo, ...] = ()
    """What the values mean, where they are classes."""


class Levels:
    """One such volume, open for writing slice by slice."""

    def __init__(self, place: Path) -> None:
        self.place = place
        group = zarr.open_group(place, mode="r+")
        said: Any = group.attrs.asdict()
        levels = said["ome"]["multiscales"][0]["datasets"]
        self.arrays: list[Any] = [group[level["path"]] for level in levels]
        self.finest: Any = self.arrays[0]
        names = self.finest.metadata.dimension_names
        self.has_z, self.has_c = "z" in names, "c" in names

    @classmethod
    def create(cls, place: Path, like: Like) -> Levels:
        """An empty one in place of whatever is there; it is whole or not there."""
        beside = place.with_name(f".{place.name}.{os.getpid()}")
        shutil.rmtree(beside, ignore_errors=True)
        shapes = list(_shapes(like))
        group = zarr.create_group(beside, attributes=_attributes(like, len(shapes)))
        for level, shape in enumerate(shapes):
            group.create_array(
                str(level),
                shape=shape,
                chunks=(*(1,) * (len(shape) - 2), *shape[-2:]),
                dtype="uint8",
                fill_value=0,
                compressors=[ZstdCodec(level=ENCODER.level)],
                dimension_names=tuple(like.axes),
            )
        sync_tree(beside)
        shutil.rmtree(place, ignore_errors=True)
        os.rename(beside, place)
        sync_folder(place.parent)
        return cls(place)

    def write(self, z: int, plane: Bytes) -> None:
        """One slice, at all levels that have it: rows and columns, or channels of them.

        Its chunks are encoded here: on its way through zarr a slice takes ten times as long as that.
        """
        for level, _ in self._with(z):
            step = 2**level
            coarse_CYX = plane.reshape(-1, *plane.shape[-2:])[:, ::step, ::step]
            for file, rows_YX in zip(self._chunks(z, level), coarse_CYX, strict=True):
                file.parent.mkdir(parents=True, exist_ok=True)
                write_whole(file, ENCODER.encode(np.ascontiguousarray(rows_YX)), durable=False)

    def read(self, z: int) -> Bytes:
        """One slice as it was written."""
        return np.asarray(self.finest[(..., *self._at(z, 0), slice(None), slice(None))])

    def files(self, z: int) -> Iterator[Path]:
        """The files that a slice is in."""
        for level, _ in self._with(z):
            yield from self._chunks(z, level)

    def _chunks(self, z: int, level: int) -> Iterator[Path]:
        at = [str(z >> level)] if self.has_z else []
        for channel in range(self.finest.shape[0]) if self.has_c else [None]:
            first = [] if channel is None else [str(channel)]
            yield self.place.joinpath(str(level), "c", *first, *at, "0", "0")

    def _with(self, z: int) -> Iterator[tuple[int, Any]]:
        for level, array in enumerate(self.arrays):
            if z % 2**level:
                return
            yield level, array

    def _at(self, z: int, level: int) -> tuple[int, ...]:
        return (z >> level,) if self.has_z else ()


def sync(files: Sequence[Path]) -> None:
    """Make these files durable, with the names of their folders up to their level's."""
    folders = {parent for file in files for parent in list(file.parents)[:4]}
    with ThreadPoolExecutor(SYNCING, "syncing") as pool:
        list(pool.map(_sync_file, files))
        list(pool.map(sync_folder, folders))


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _shapes(like: Like) -> Iterator[tuple[int, ...]]:
    shape = like.shape
    while True:
        yield shape
        if max(shape[-2:]) <= SMALLEST:
            return
        shape = tuple(n if axis == "c" else -(-n // 2) for n, axis in zip(shape, like.axes, strict=True))


def _attributes(like: Like, levels: int) -> dict[str, Any]:
    space = [axis for axis in like.axes if axis != "c"]
    unit = UNITS.get(like.pixel_unit or "", like.pixel_unit)
    about = {"type": "space", **({"unit": unit} if unit else {})}
    axes = [{"name": axis, **({"type": "channel"} if axis == "c" else about)} for axis in like.axes]
    sizes = like.pixel_size or (1.0,) * len(space)
    channels = [1.0] * (len(like.axes) - len(space))
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [{"type": "scale", "scale": [*channels, *(n * 2**level for n in sizes)]}],
        }
        for level in range(levels)
    ]
    image = {"name": like.name, "axes": axes, "datasets": datasets, "type": "nearest"}
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [image]}
    if like.classes:
        ome["image-label"] = {
            "colors": [{"label-value": one.value, "rgba": _rgba(one.color)} for one in like.classes],
            "properties": [{"label-value": one.value, "name": one.name} for one in like.classes],
        }
    return {"ome": ome, **({"classes": [one.model_dump() for one in like.classes]} if like.classes else {})}


def _rgba(color: str) -> list[int]:
    return [*(int(color[at : at + 2], 16) for at in (1, 3, 5)), 255]
