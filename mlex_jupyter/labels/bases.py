"""Bases: what the versions on disk hold, tile by tile. A version never changes, so what was read once may be kept."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mlex_jupyter.labels.tiles import EMPTY, SIDE, Bytes, Place, cut, pack

if TYPE_CHECKING:
    from mlex_jupyter.data.chunks import Chunks

SLICES_KEPT = 256
TILES_KEPT = 4096

Packed = Mapping[tuple[int, int], bytes]
"""The tiles of one slice that hold labels, by row and column."""


class Bases:
    """The versions in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: OrderedDict[tuple[Path, int], Packed] = OrderedDict()
        self._single: OrderedDict[tuple[Path, Place], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def place(self, labels: str, version: int) -> Path:
        """Where a version lies."""
        return self.folder / labels / f"v{version}.zarr"

    def tiles(self, place: Path, z: int) -> Packed:
        """The tiles of a slice, packed."""
        if not holds(place, z):
            return {}
        with self._lock:
            if (place, z) in self._kept:
                self._kept.move_to_end((place, z))
                return self._kept[place, z]
        found = {(row, column): pack(tile) for row, column, tile in cut(plane(place, z))}
        with self._lock:
            self._kept[place, z] = found
            while len(self._kept) > SLICES_KEPT:
                self._kept.popitem(last=False)
        return found

    def some(self, place: Path, wanted: Iterable[Place]) -> dict[Place, bytes]:
        """These tiles, packed. Where they lie on many slices, the others of each are packed while nobody waits."""
        wanted = list(wanted)
        by_z: dict[int, list[Place]] = {}
        for each in wanted:
            by_z.setdefault(each[0], []).append(each)
        if len(by_z) == 1:
            found = self.tiles(place, wanted[0][0])
            return {at: found.get(at[1:], EMPTY) for at in wanted}
        each_slice = _threads().map(lambda z: self._of_slice(place, z, by_z[z]), by_z)
        return {at: packed for found in each_slice for at, packed in found.items()}

    def _of_slice(self, place: Path, z: int, wanted: Sequence[Place]) -> dict[Place, bytes]:
        with self._lock:
            whole = self._kept.get((place, z))
            known = {at: self._single[place, at] for at in wanted if (place, at) in self._single}
        if whole is not None or not holds(place, z):
            return {at: (whole or {}).get(at[1:], EMPTY) for at in wanted}
        if len(known) < len(wanted):
            values = plane(place, z)
            known = {at: _packed(values, at) for at in wanted}
            with self._lock:
                self._single.update(((place, at), packed) for at, packed in known.items())
                while len(self._single) > TILES_KEPT:
                    self._single.popitem(last=False)
            _beside().submit(self.tiles, place, z)
        return known


def _packed(plane: Bytes, at: Place) -> bytes:
    tile = plane[at[1] * SIDE : (at[1] + 1) * SIDE, at[2] * SIDE : (at[2] + 1) * SIDE]
    return pack(tile) if tile.any() else EMPTY


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="mlex-bases")


@cache
def _beside() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="mlex-bases-beside")


def chunk(place: Path, z: int) -> Path:
    """The file of one slice."""
    return place / "c" / str(z) / "0" / "0"


def holds(place: Path, z: int) -> bool:
    """Whether a slice of a version has labels: empty ones are not written."""
    return chunk(place, z).is_file()


def plane(place: Path, z: int) -> Bytes:
    """One slice across z."""
    found: Bytes = _opened(place)[slice(z, z + 1), slice(None), slice(None)][0]
    return found


def lines(place: Path, axis: int, index: int, zs: Sequence[int]) -> dict[int, Bytes]:
    """A row (axis 1) or column (axis 2) of each of these slices that has labels."""
    array = _opened(place) if zs else None
    cut = slice(index, index + 1)
    return {
        z: array[slice(z, z + 1), cut if axis == 1 else slice(None), cut if axis == 2 else slice(None)].reshape(-1)
        for z in zs
        if array is not None and holds(place, z)
    }


@lru_cache(maxsize=16)
def _opened(place: Path) -> Chunks:
    import zarr  # here, so that a server that only paints never loads it

    from mlex_jupyter.data.chunks import Chunks, plan_of

    array = zarr.open_array(place, mode="r")
    plan = plan_of(array)
    assert plan is not None, "versions are written here"
    return Chunks(array, plan, os.path.realpath(place))
