"""What is counted while a prediction goes on: how sure each slice is, and the objects of each class."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mlex_jupyter.learn.prediction.ledger import Band
from mlex_jupyter.learn.prediction.objects import Objects, Sizes
from mlex_jupyter.types import ClassFound, ClassInfo, Segmented, SliceFound

Bytes = NDArray[np.uint8]


class Tally:
    """Over a range of slices. Bands come in any order; objects are counted in that of the slices."""

    def __init__(self, scope: range) -> None:
        self.scope = scope
        self.uncertainty: dict[int, float] = {}
        self._objects = Objects()
        self._next = scope.start

    @property
    def done(self) -> int:
        """How many slices."""
        return len(self.uncertainty)

    def add(self, band: Band) -> None:
        """A band is done; what is done already counts once."""
        new = [z for z in range(band.start, band.stop) if z in self.scope and z not in self.uncertainty]
        self.uncertainty |= {z: band.uncertainty[z - band.start] for z in new}

    def follow(self, read: Callable[[int], Bytes]) -> None:
        """Count the objects of all slices that are done without a gap."""
        while self._next in self.uncertainty:
            self._objects.add(read(self._next))
            self._next += 1

    def segmented(self, classes: Sequence[ClassInfo]) -> Segmented:
        """All of it, once every slice is done."""
        sizes = self._objects.finish()
        total = sum(each.voxels for each in sizes.values())
        return Segmented(
            classes=tuple(_found(one, sizes.get(one.value, Sizes()), total) for one in classes),
            slices=tuple(SliceFound(z=z, uncertainty=self.uncertainty[z]) for z in sorted(self.uncertainty)),
        )


def _found(one: ClassInfo, sizes: Sizes, total: int) -> ClassFound:
    return ClassFound(
        name=one.name,
        value=one.value,
        voxels=sizes.voxels,
        fraction=round(sizes.voxels / total, 8) if total else 0.0,
        objects=sizes.objects,
        mean_size=round(sizes.voxels / sizes.objects, 3) if sizes.objects else 0.0,
        median_size=sizes.median,
        largest_size=sizes.largest,
    )


def means(unsure_BYX: Bytes) -> tuple[float, ...]:
    """How unsure each slice is, from 0 to 1."""
    found = unsure_BYX.reshape(len(unsure_BYX), -1).sum(axis=1, dtype=np.int64) / (255 * unsure_BYX[0].size)
    return tuple(round(float(one), 6) for one in found)
