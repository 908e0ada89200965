"""Patches as they are sent, checked and cut into pieces of tiles. Whatever is sent, memory stays bounded."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlex_jupyter.errors import Invalid
from mlex_jupyter.labels.tiles import SIDE, Bytes, Place
from mlex_jupyter.types import Patch

AT_MOST = 1 << 26
"""Pixels of one stroke: four slices of 4096 × 4096."""
AXES = "zyx"


@dataclass(frozen=True)
class Piece:
    """New values for some pixels of a tile."""

    rows: slice
    columns: slice
    mask: NDArray[np.bool_]
    values: Bytes

    def put(self, tile: Bytes) -> None:
        """Paint it."""
        np.copyto(tile[self.rows, self.columns], self.values, where=self.mask)


def cut_up(patches: Sequence[Patch], shape: tuple[int, int, int]) -> dict[Place, list[Piece]]:
    """The pieces of each tile that the patches touch, in their order."""
    if sum(patch.height * patch.width for patch in patches) > AT_MOST:
        raise Invalid(
            f"One stroke cannot paint more than {AT_MOST} pixels.", hint="Send it in several, a slice or two each."
        )
    pieces: dict[Place, list[Piece]] = {}
    for patch in patches:
        _check_inside(patch, shape)
        mask, values = _mask(patch), _values(patch)
        for place, piece in _pieces(patch, mask, values):
            pieces.setdefault(place, []).append(piece)
    return pieces


def values_of(pieces: dict[Place, list[Piece]]) -> set[int]:
    """The classes that are painted, 0 left out."""
    found = np.zeros(256, bool)
    for each in pieces.values():
        for piece in each:
            found[piece.values[piece.mask]] = True
    return set((np.flatnonzero(found[1:]) + 1).tolist())


def _check_inside(patch: Patch, shape: tuple[int, int, int]) -> None:
    lengths = dict(zip(AXES, shape, strict=True))
    across = AXES[patch.axis]
    down, along = (letter for letter in AXES if letter != across)
    if (
        patch.index >= lengths[across]
        or patch.row + patch.height > lengths[down]
        or patch.column + patch.width > lengths[along]
    ):
        raise Invalid(
            f"A patch of {patch.height} × {patch.width} pixels at {across} = {patch.index}, {down} = {patch.row}, "
            f"{along} = {patch.column} is not inside of the volume, which has {' × '.join(map(str, shape))} (zyx)."
        )


def _mask(patch: Patch) -> NDArray[np.bool_]:
    size = patch.height * patch.width
    if patch.runs is None:
        return np.ones((patch.height, patch.width), bool)
    if sum(patch.runs) != size:
        raise Invalid(f"The runs of a patch make {sum(patch.runs)} pixels, and it has {size}.")
    turns = np.arange(len(patch.runs)) % 2 == 1
    return np.repeat(turns, np.array(patch.runs, np.int64)).reshape(patch.height, patch.width)


def _values(patch: Patch) -> Bytes:
    shape = (patch.height, patch.width)
    if (patch.value is None) == (patch.values is None):
        raise Invalid("A patch has either one value or values.", hint="0 unlabels.")
    if patch.values is None:
        return np.broadcast_to(np.uint8(patch.value or 0), shape)
    return np.frombuffer(inflated(patch.values, patch.height * patch.width), np.uint8).reshape(shape)


def inflated(text: str, size: int) -> bytes:
    """Base64 of zlib of so many bytes, never unpacked to more."""
    try:
        unpacking = zlib.decompressobj()
        found = unpacking.decompress(base64.b64decode(text, validate=True), size + 1)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise Invalid(f"The values of a patch are not base64 of zlib: {error}.") from error
    if len(found) != size or not unpacking.eof:
        raise Invalid(f"The values of a patch are not {size} bytes, one a pixel.")
    return found


def _pieces(patch: Patch, mask: NDArray[np.bool_], values: Bytes) -> Iterator[tuple[Place, Piece]]:
    """A patch across y or x is a line on each of its z."""
    if patch.axis == 0:
        yield from _on_slice(patch.index, patch.row, patch.column, mask, values)
        return
    for offset in range(patch.height):
        line, colours = mask[offset : offset + 1], values[offset : offset + 1]
        if line.any():
            if patch.axis == 1:
                yield from _on_slice(patch.row + offset, patch.index, patch.column, line, colours)
            else:
                yield from _on_slice(patch.row + offset, patch.column, patch.index, line.T, colours.T)


def _on_slice(z: int, top: int, left: int, mask: NDArray[np.bool_], values: Bytes) -> Iterator[tuple[Place, Piece]]:
    for row, rows, from_rows in _spans(top, mask.shape[0]):
        for column, columns, from_columns in _spans(left, mask.shape[1]):
            part = mask[from_rows, from_columns]
            if part.any():
                yield (z, row, column), Piece(rows, columns, part, values[from_rows, from_columns])


def _spans(begin: int, length: int) -> Iterator[tuple[int, slice, slice]]:
    """The tiles under a stretch of pixels: which, where in the tile, and where in the stretch."""
    for tile in range(begin // SIDE, (begin + length - 1) // SIDE + 1):
        first, last = max(begin, tile * SIDE), min(begin + length, (tile + 1) * SIDE)
        yield tile, slice(first - tile * SIDE, last - tile * SIDE), slice(first - begin, last - begin)
