"""A display pyramid: coarser copies of a volume in blocks, so that a slice across any axis reads little.

<pyramid>/1, 2, …   zarr arrays zyx, each half as long as the one before, in blocks of 64 voxels a side
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlex_jupyter.data.volume import SPACE, Volume
from mlex_jupyter.types import Dataset

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 64
SMALLEST = 256
"""A level whose longest side is no more needs no coarser one."""
AT_ONCE = 1 << 28
"""Bytes of a level that are read at once."""
LARGEST_LEVEL = 8 << 30
"""Bytes of the finest copy; a volume beyond eight times this begins with a coarser one."""
SMALL = 1 << 25
"""A slice that costs no more bytes than this is quick whatever its chunks are."""
PAGE = 4096

Zyx = tuple[int, int, int]


def cost(shape: Sequence[int], chunks: Sequence[int] | None, axes: str, itemsize: int, across: str) -> int:
    """Bytes that a slice across an axis reads: all chunks that it meets."""
    parts = chunks or (*(1,) * (len(shape) - 1), max(1, PAGE // itemsize))
    whole = (math.ceil(length / part) * part for length, part in zip(shape, parts, strict=True))
    met = (part if letter == across else all_ for letter, part, all_ in zip(axes, parts, whole, strict=True))
    return math.prod(met) * itemsize


def wanted(dataset: Dataset) -> bool:
    """Whether a slice across z, y or x of this volume would read far more than it shows."""
    itemsize = max(1, dataset.nbytes // math.prod(dataset.shape))
    about = (dataset.shape, dataset.chunks, dataset.axes, itemsize)
    return "z" in dataset.axes and any(cost(*about, across) > SMALL for across in SPACE)


def build(volume: Volume, place: Path, *, labels: bool) -> Generator[dict[str, int], None, int]:
    """Write the levels beside `place`, and give them their name when all are there; how many there are."""
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        number = yield from _levels(volume, beside, labels=labels)
        shutil.rmtree(place, ignore_errors=True)
        os.rename(beside, place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return number


def _levels(volume: Volume, beside: Path, *, labels: bool) -> Generator[dict[str, int], None, int]:
    import zarr

    depth, _, rows, columns = volume.shape_ZCYX
    shape: Zyx = (depth, rows, columns)
    source: Any = _Grey(volume)
    level, factor = 0, 2
    while math.prod(_halved(shape, factor)) * volume.dtype.itemsize > LARGEST_LEVEL:
        factor *= 2
    while max(shape) > SMALLEST or level == 0:
        level += int(math.log2(factor))
        coarse = zarr.create_array(
            beside / str(level),
            shape=_halved(shape, factor),
            chunks=tuple(min(BLOCK, length) for length in _halved(shape, factor)),
            dtype=volume.dtype,
            dimension_names=tuple(SPACE),
        )
        for so_far in _halve(source, coarse, shape, factor, labels=labels):
            yield so_far | {"level": level}
        source, shape, factor = coarse, _halved(shape, factor), 2
    return level


def _halve(source: Any, coarse: Any, shape: Zyx, factor: int, *, labels: bool) -> Generator[dict[str, int], None, None]:
    """Fill a level from the one before, in pieces that lie on its blocks."""
    depth = BLOCK * factor
    width = max(depth, AT_ONCE // (depth * shape[2] * source.dtype.itemsize) // depth * depth)
    pieces = [(z, y) for z in range(0, shape[0], depth) for y in range(0, shape[1], width)]
    for number, (z, y) in enumerate(pieces):
        piece = source[z : z + depth, y : y + width, :]
        found = piece[::factor, ::factor, ::factor] if labels else means(piece, factor)
        to = [slice(start // factor, start // factor + n) for start, n in zip((z, y, 0), found.shape, strict=True)]
        coarse[tuple(to)] = found
        yield {"done": number + 1, "of": len(pieces)}


def means(piece: NDArray[Any], factor: int) -> NDArray[Any]:
    """The mean of every block of voxels; at the end those that there are."""
    import numpy as np

    summed: NDArray[Any] = piece.astype(np.float32)
    counted: Any = 1.0
    for axis in range(3):
        starts = np.arange(0, summed.shape[axis], factor)
        ends = np.minimum(starts + factor, summed.shape[axis])
        summed = np.add.reduceat(summed, starts, axis=axis)
        counts = (ends - starts).astype(np.float32)
        counted = counted * counts.reshape([-1 if axis == other else 1 for other in range(3)])
    mean = summed / counted
    return np.asarray(mean.round() if piece.dtype.kind in "biu" else mean, piece.dtype)


def _halved(shape: Zyx, factor: int) -> Zyx:
    z, y, x = (math.ceil(length / factor) for length in shape)
    return z, y, x


class _Grey:
    """A volume as zyx; of several channels the first."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        self.dtype: np.dtype[Any] = volume.dtype

    def __getitem__(self, index: tuple[slice, slice, slice]) -> NDArray[Any]:
        cut = dict(zip(SPACE, index, strict=True)) | {"c": slice(0, 1)}
        axes = self.volume.axes
        piece = self.volume[tuple(cut[letter] for letter in axes)]
        if "c" in axes:
            piece = piece.take(0, axis=axes.index("c"))
        kept = axes.replace("c", "")
        return piece.transpose([kept.index(letter) for letter in SPACE])


def level_for(place: Path, lengths: Zyx, axis: int, size: int) -> int:
    """The coarsest level that still has `size` pixels along a slice's longest side; 0 for the volume itself."""
    longest = max(length for number, length in enumerate(lengths) if number != axis)
    levels = sorted(int(found.name) for found in place.iterdir() if found.name.isdigit()) if place.is_dir() else []
    fitting = [level for level in levels if longest / 2**level >= size]
    return max(fitting, default=levels[0] if levels and longest / 2 ** levels[0] >= size / 2 else 0)
