"""Objects of each class in a volume: voxels that touch face to face, counted slice by slice in bounded memory.

Of a slice, runs of equal values along its rows are joined into pieces, and pieces into those of the slice before
where they touch. An object that no longer reaches the newest slice is finished, and of it only its size is kept; there
are never more different sizes than the square root of twice the voxels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]


@dataclass
class Sizes:
    """How many objects there are of each size."""

    counts: dict[int, int] = field(default_factory=dict)

    def add(self, sizes: Numbers) -> None:
        """Some more, by their voxels."""
        for size, count in zip(*(found.tolist() for found in np.unique(sizes, return_counts=True)), strict=True):
            self.counts[size] = self.counts.get(size, 0) + count

    @property
    def objects(self) -> int:
        """How many."""
        return sum(self.counts.values())

    @property
    def voxels(self) -> int:
        """Of all together."""
        return sum(size * count for size, count in self.counts.items())

    @property
    def largest(self) -> int:
        """The most voxels that one has."""
        return max(self.counts, default=0)

    @property
    def median(self) -> int:
        """Half of the objects are no larger."""
        left = -(-self.objects // 2)
        for size in sorted(self.counts):
            left -= self.counts[size]
            if left <= 0:
                return size
        return 0


class Objects:
    """What has been counted so far; slices come in order."""

    def __init__(self) -> None:
        self.of_class: dict[int, Sizes] = {}
        self._values_YX: Bytes | None = None
        self._starts_YX: NDArray[np.bool_] = np.zeros((0, 0), bool)
        self._piece_of_run: Numbers = np.zeros(0, np.int64)
        self._run_YX: NDArray[np.int32] = np.zeros((0, 0), np.int32)
        self._sizes: Numbers = np.zeros(0, np.int64)
        self._values: Bytes = np.zeros(0, np.uint8)

    def add(self, values_YX: Bytes) -> None:
        """The next slice; 0 is nothing."""
        starts_YX, run_YX = _runs(values_YX)
        firsts = np.flatnonzero(starts_YX)
        values_of_run = values_YX.reshape(-1)[firsts]
        lengths = np.diff(firsts, append=values_YX.size)
        up, down = values_YX[:-1], values_YX[1:]
        touching = (up == down) & (starts_YX[:-1] | starts_YX[1:])
        pieces, piece_of_run = _joined(len(firsts), run_YX[:-1][touching], run_YX[1:][touching])
        sizes = np.bincount(piece_of_run, lengths, pieces).astype(np.int64)
        values = np.zeros(pieces, np.uint8)
        values[piece_of_run] = values_of_run
        if self._values_YX is not None:
            touching = (self._values_YX == values_YX) & (self._starts_YX | starts_YX)
            before = self._piece_of_run[self._run_YX[touching]]
            here = piece_of_run[run_YX[touching]]
            piece_of_run, sizes, values = self._carried(before, here, piece_of_run, sizes, values)
        self._values_YX, self._starts_YX, self._run_YX = values_YX, starts_YX, run_YX
        self._piece_of_run, self._sizes, self._values = piece_of_run, sizes, values

    def _carried(
        self, before: Numbers, here: Numbers, piece_of_run: Numbers, sizes: Numbers, values: Bytes
    ) -> tuple[Numbers, Numbers, Bytes]:
        """Join the pieces of this slice with the objects that reach it; finish those that do not."""
        old = len(self._sizes)
        count, object_of = _joined(old + len(sizes), before, here + old)
        summed = np.bincount(object_of, np.concatenate([self._sizes, sizes]), count).astype(np.int64)
        of_value = np.zeros(count, np.uint8)
        of_value[object_of] = np.concatenate([self._values, values])
        goes_on = np.zeros(count, bool)
        goes_on[object_of[old:]] = True
        self._finish(summed[~goes_on], of_value[~goes_on])
        renumbered = np.cumsum(goes_on) - 1
        return renumbered[object_of[old:]][piece_of_run], summed[goes_on], of_value[goes_on]

    def _finish(self, sizes: Numbers, values: Bytes) -> None:
        for value in np.unique(values).tolist():
            if value:
                self.of_class.setdefault(value, Sizes()).add(sizes[values == value])

    def finish(self) -> dict[int, Sizes]:
        """No slice follows: the sizes of all objects, by the value of their class."""
        self._finish(self._sizes, self._values)
        self._sizes, self._values = self._sizes[:0], self._values[:0]
        self._values_YX = None
        return self.of_class


def _runs(values_YX: Bytes) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """Where a run of equal values begins in its row, and the number of the run that each pixel is in."""
    starts_YX = np.ones(values_YX.shape, bool)
    np.not_equal(values_YX[:, 1:], values_YX[:, :-1], out=starts_YX[:, 1:])
    numbers = np.cumsum(starts_YX, dtype=np.int32)
    numbers -= 1
    return starts_YX, numbers.reshape(values_YX.shape)


def _joined(count: int, one: NDArray[Any], other: NDArray[Any]) -> tuple[int, Numbers]:
    """How many groups so many things are in when these pairs belong together, and the group of each."""
    pairs = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(count, count))
    groups, of_each = connected_components(pairs, directed=False)
    return int(groups), of_each.astype(np.int64)
