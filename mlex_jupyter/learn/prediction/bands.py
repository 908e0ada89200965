"""A volume band by band: which slices go together, in which order, and how they are read.

A band is what is written, recorded and lost together. Where a file keeps many slices in one chunk, a row of chunks is
read once and serves all bands that lie in it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlex_jupyter.data.volume import Volume
from mlex_jupyter.learn import grey

BAND_PIXELS, BAND_SLICES = 1 << 21, 16
MOST_BYTES = 1 << 28
"""Of a row of chunks that is kept for the bands to come."""
FIRST = 16
"""So many bands, spread over the volume, come before the others: a first picture of all of it."""


def slices_of_band(sides: Sequence[int]) -> int:
    """How many slices of this size go together."""
    return max(1, min(BAND_SLICES, BAND_PIXELS // math.prod(sides)))


def pieces(scope: range, band: int) -> list[range]:
    """A range of slices in bands that begin at multiples of their size."""
    starts = range(scope.start // band * band, scope.stop, band)
    return [range(max(start, scope.start), min(start + band, scope.stop)) for start in starts]


def missing(scope: range, band: int, done: Collection[int]) -> list[range]:
    """What is left to do in a range of slices, in bands that begin at multiples of their size."""
    found: list[range] = []
    for piece in pieces(scope, band):
        for z in piece:
            if z in done:
                continue
            if found and found[-1].stop == z > piece.start:
                found[-1] = range(found[-1].start, z + 1)
            else:
                found.append(range(z, z + 1))
    return found


def coarse_first(bands: Sequence[range]) -> list[range]:
    """Some bands from the middle outwards in ever smaller steps, so that all of it is seen soon; then the rest."""
    places = [round((len(bands) - 1) * share) for share in _shares(min(FIRST, len(bands)))]
    ahead = list(dict.fromkeys(places))
    first = set(ahead)
    return [bands[at] for at in ahead] + [band for at, band in enumerate(bands) if at not in first]


def _shares(count: int) -> list[float]:
    """1/2, 1/4, 3/4, 1/8, 3/8, … of the way."""
    found: list[float] = []
    parts = 2
    while len(found) < count:
        found += [odd / parts for odd in range(1, parts, 2)]
        parts *= 2
    return found[:count]


class Reader:
    """Reads slices of a volume as they lie in the file; used from one thread."""

    def __init__(self, volume: Volume, neighbours: int = 0) -> None:
        """With neighbours, each slice comes with as many above and below as further channels, the topmost first."""
        self.volume = volume
        self.neighbours = neighbours
        depth, channels, rows, columns = volume.shape_ZCYX
        self.channels = channels * (2 * neighbours + 1)
        chunk = dict(zip(volume.axes, volume.chunks, strict=True)).get("z", 1) if volume.chunks else 1
        fits = chunk * channels * rows * columns * volume.dtype.itemsize <= MOST_BYTES
        self._together = min(chunk, depth) if fits else 1
        self.kept_bytes = (
            0 if self._together == 1 else self._together * math.prod(volume.shape_ZCYX[1:]) * volume.dtype.itemsize
        )
        self._kept: tuple[int, NDArray[Any]] | None = None

    def __call__(self, zs: range) -> NDArray[Any]:
        """These slices: B, C, Y, X; an error in words where one has no numbers."""
        if not self.neighbours:
            return self._checked(zs)
        depth = self.volume.shape_ZCYX[0]
        wide = range(max(0, zs.start - self.neighbours), min(depth, zs.stop + self.neighbours))
        read = self._checked(wide)
        return np.stack([np.concatenate([read[near - wide.start] for near in self._seen_with(z)]) for z in zs])

    def alone(self, found_CYX: NDArray[Any]) -> NDArray[Any]:
        """Of what was read for a slice, its own first channel."""
        alone_YX: NDArray[Any] = found_CYX[self.neighbours * self.volume.shape_ZCYX[1]]
        return alone_YX

    def _seen_with(self, z: int) -> list[int]:
        return grey.seen_with(z, self.neighbours, self.volume.shape_ZCYX[0])

    def _checked(self, zs: range) -> NDArray[Any]:
        found = np.concatenate([self._from_row(z) for z in zs]) if self._together > 1 else self._read(zs)
        for z, slice_CYX in zip(zs, found, strict=True):
            grey.checked(slice_CYX, z)
        return found

    def _from_row(self, z: int) -> NDArray[Any]:
        start = z // self._together * self._together
        if self._kept is None or self._kept[0] != start:
            self._kept = None
            self._kept = start, self._read(range(start, min(start + self._together, self.volume.shape_ZCYX[0])))
        return self._kept[1][z - start : z - start + 1]

    def _read(self, zs: range) -> NDArray[Any]:
        axes = self.volume.axes
        piece = self.volume[tuple(slice(zs.start, zs.stop) if axis == "z" else slice(None) for axis in axes)]
        for axis in "cz":
            if axis not in axes:
                piece, axes = piece[None], axis + axes
        return np.ascontiguousarray(piece.transpose([axes.index(axis) for axis in "zcyx"]))
