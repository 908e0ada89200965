"""Which blocks to compute for the labels that judge a 3-D network: those that cover them and cost the least.

Labels are sparse, on a few slices or in a few regions, and each block carries a halo. Small blocks compute the halo
often, large ones much that nobody asked for: of several sizes the cheapest for these very labels is taken.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlex_jupyter.learn.prediction.tiles import Fit, up_to

Cells = NDArray[np.bool_]
"""Which cells of a volume have something in them."""


@dataclass(frozen=True)
class Block:
    """A part of a padded volume: what is read, what of that is kept, and where that lies in the volume."""

    read: tuple[slice, slice, slice]
    inner: tuple[slice, slice, slice]
    keep: tuple[slice, slice, slice]

    @classmethod
    def around(cls, keep: Sequence[slice], shape: Sequence[int], fit: Fit) -> Block:
        """The block that it takes to compute a part exactly."""
        read, inner = [], []
        for one, length in zip(keep, shape, strict=True):
            halo = length if fit.halo is None else fit.halo
            start = max(0, one.start - halo) // fit.multiple * fit.multiple
            read.append(slice(start, min(length, up_to(one.stop + halo, fit.multiple))))
            inner.append(slice(one.start - start, one.stop - start))
        return cls(*(tuple(each) for each in (read, inner, keep)))  # type: ignore[arg-type]


def cover(cells: Cells, cell: Sequence[int], shape: Sequence[int], fit: Fit) -> list[Block]:
    """The blocks that cover all cells in which there is something; a cell has these sides, the volume this shape."""
    if fit.halo is None:
        return [Block.around([slice(0, side) for side in shape], shape, fit)]
    best: list[Block] = []
    least = (True, math.inf)
    deep, flat = (_sizes(side) for side in (cells.shape[0], max(cells.shape[1:])))
    for size in ((z, yx, yx) for z, yx in itertools.product(deep, flat)):
        blocks = list(_blocks(cells, size, cell, shape, fit))
        volumes = [math.prod(side.stop - side.start for side in block.read) for block in blocks]
        cost = max(volumes) > fit.pixels, float(sum(volumes))
        if cost < least:
            best, least = blocks, cost
    return best


def _sizes(side: int) -> list[int]:
    """1, 2, 4, …, all of it."""
    return [*(2**power for power in range(side.bit_length()) if 2**power < side), side]


def _blocks(cells: Cells, size: Sequence[int], cell: Sequence[int], shape: Sequence[int], fit: Fit) -> Iterator[Block]:
    grown = np.pad(cells, [(0, -length % many) for length, many in zip(cells.shape, size, strict=True)])
    counts = [length // many for length, many in zip(grown.shape, size, strict=True)]
    folded = grown.reshape([each for pair in zip(counts, size, strict=True) for each in pair])
    for place in np.argwhere(folded.any(axis=(1, 3, 5))).tolist():
        sides = [many * one for many, one in zip(size, cell, strict=True)]
        keep = [
            slice(at * side, min(length, at * side + side))
            for at, side, length in zip(place, sides, shape, strict=True)
        ]
        yield Block.around(keep, shape, fit)
