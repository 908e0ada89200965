"""Tiles: squares of one z, packed small, and what a change did to one, so that it can be taken back."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 256
EMPTY = b""
"""A tile without labels, packed."""

Bytes = NDArray[np.uint8]
Place = tuple[int, int, int]
"""z, and the tile's row and column."""

_BOX = struct.Struct(">HHHH")


def extent(shape: tuple[int, int, int], place: Place) -> tuple[int, int]:
    """The height and width of a tile: those at the edges are smaller."""
    return min(SIDE, shape[1] - place[1] * SIDE), min(SIDE, shape[2] - place[2] * SIDE)


def pack(values: Bytes) -> bytes:
    """Small, and quick rather than smallest."""
    return zlib.compress(values.tobytes(), 1)


def unpack(packed: bytes, shape: tuple[int, int]) -> Bytes:
    """The values of a tile, to be written to."""
    if packed == EMPTY:
        return np.zeros(shape, np.uint8)
    return np.frombuffer(bytearray(zlib.decompress(packed)), np.uint8).reshape(shape)


def cut(plane: Bytes) -> Iterator[tuple[int, int, Bytes]]:
    """The tiles of a plane that hold labels, by row and column."""
    height, width = plane.shape
    for top in range(0, height, SIDE):
        band = plane[top : top + SIDE]
        if not band.any():
            continue
        for left in range(0, width, SIDE):
            tile = band[:, left : left + SIDE]
            if tile.any():
                yield top // SIDE, left // SIDE, tile


def counted(values: Bytes) -> NDArray[np.int64]:
    """How many pixels have each of the 256 values."""
    return np.bincount(values.reshape(-1), minlength=256)


@dataclass(frozen=True)
class Change:
    """What a change did to a tile: inside of a box, the bits that turned, and the values that came of it."""

    top: int
    left: int
    turned: Bytes
    after: Bytes
    """0 where nothing turned."""

    @classmethod
    def between(cls, before: Bytes, after: Bytes) -> Change | None:
        """From one state of a tile to another; None where nothing changed."""
        turned = before ^ after
        rows, columns = np.flatnonzero(turned.any(axis=1)), np.flatnonzero(turned.any(axis=0))
        if not rows.size:
            return None
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        inside = turned[box]
        return cls(int(rows[0]), int(columns[0]), inside, np.where(inside != 0, after[box], np.uint8(0)))

    @classmethod
    def unpacked(cls, packed: bytes) -> Change:
        """What `packed` gave."""
        top, left, height, width = _BOX.unpack_from(packed)
        both = np.frombuffer(zlib.decompress(packed[_BOX.size :]), np.uint8).reshape(2, height, width)
        return cls(top, left, both[0], both[1])

    def packed(self) -> bytes:
        """Small enough to be kept for every stroke."""
        both = zlib.compress(self.turned.tobytes() + self.after.tobytes(), 1)
        return _BOX.pack(self.top, self.left, *self.turned.shape) + both

    @property
    def box(self) -> tuple[slice, slice]:
        """Where in the tile it is."""
        height, width = self.turned.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    def stands(self, tile: Bytes, *, after: bool) -> NDArray[np.bool_]:
        """The changed pixels of the box that are still as they were after this change, or before it."""
        wanted = self.after if after else self.after ^ self.turned
        found: NDArray[np.bool_] = (self.turned != 0) & (tile[self.box] == wanted)
        return found

    def only(self, where: NDArray[np.bool_]) -> Change:
        """This change at some of its pixels."""
        return Change(
            self.top, self.left, np.where(where, self.turned, np.uint8(0)), np.where(where, self.after, np.uint8(0))
        )

    def turn(self, tile: Bytes) -> None:
        """Take it back, or do it again: both turn the same bits."""
        tile[self.box] ^= self.turned
