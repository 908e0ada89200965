"""Bases: what the versions on disk hold, tile by tile. A version never changes, so what was read once may be kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mlex_jupyter.labels.tiles import Bytes, cut, pack

SLICES_KEPT = 256

Packed = Mapping[tuple[int, int], bytes]
"""The tiles of one slice that hold labels, by row and column."""


class Bases:
    """The versions in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: OrderedDict[tuple[Path, int], Packed] = OrderedDict()
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


def chunk(place: Path, z: int) -> Path:
    """The file of one slice."""
    return place / "c" / str(z) / "0" / "0"


def holds(place: Path, z: int) -> bool:
    """Whether a slice of a version has labels: empty ones are not written."""
    return chunk(place, z).is_file()


def plane(place: Path, z: int) -> Bytes:
    """One slice across z."""
    found: Bytes = np.asarray(_opened(place)[z], np.uint8)
    return found


def lines(place: Path, axis: int, index: int, zs: Sequence[int]) -> dict[int, Bytes]:
    """A row (axis 1) or column (axis 2) of each of these slices that has labels."""
    array = _opened(place) if zs else None
    return {
        z: np.asarray(array[z, index, :] if axis == 1 else array[z, :, index], np.uint8)  # type: ignore[index]
        for z in zs
        if holds(place, z)
    }


@lru_cache(maxsize=16)
def _opened(place: Path) -> Any:
    import zarr  # here, so that a server that only paints never loads it

    return zarr.open_array(place, mode="r")
