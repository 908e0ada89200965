"""Objects of each class in a volume: voxels that touch face to face, counted a few rows at a time in bounded memory.

Runs of equal values along rows are joined with each other, and with the objects of the rows above and of the slice
before, where they touch. Kept are the object of each pixel of one slice, and of each object that reaches it how large
it is. One that does not is finished, and of it only its size is kept; there are never more different sizes than the
square root of twice the voxels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]
Names = NDArray[np.int32]
BLOCK = 1 << 19
"""Pixels of rows that are joined at once: in noise each may be a run of its own, which then takes some 100 bytes."""
SPARE = 1 << 16
"""So many objects that are over may keep their names before all others get new ones."""


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
    """What has been counted so far; slices come in order, and are not changed afterwards."""

    def __init__(self) -> None:
        self.of_class: dict[int, Sizes] = {}
        self._values_YX: Bytes | None = None
        self._name_YX: Names = np.zeros((0, 0), np.int32)
        """Of the object that each pixel is in: below the rows that are being added, that of the slice before."""
        self._open = _Open()

    def add(self, values_YX: Bytes) -> None:
        """The next slice; 0 is nothing."""
        rows, columns = values_YX.shape
        if self._values_YX is None:
            self._name_YX = np.zeros(values_YX.shape, np.int32)
        height = max(1, BLOCK // columns)
        for top in range(0, rows, height):
            self._add_rows(values_YX, slice(top, min(rows, top + height)))
        self._values_YX = values_YX
        self._finish(*self._open.left_behind())
        if (renamed := self._open.compact()) is not None:
            for row_X in self._name_YX:
                row_X[:] = renamed[row_X]

    def _add_rows(self, values_YX: Bytes, rows: slice) -> None:
        here_YX = values_YX[rows]
        starts_YX = _starts(here_YX)
        firsts = np.flatnonzero(starts_YX)
        lengths = np.diff(firsts, append=here_YX.size)
        run = np.repeat(np.arange(len(firsts), dtype=np.int32), lengths)
        inside = _touching(here_YX[:-1], here_YX[1:], starts_YX[:-1], starts_YX[1:])
        names, runs = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
        above = slice(rows.start - 1, rows.start) if rows.start else None
        for before_YX, at in ((values_YX, above), (self._values_YX, rows)):
            if before_YX is not None and at is not None:
                near_YX = before_YX[at]
                height = len(near_YX)
                touching = _touching(near_YX, here_YX[:height], _starts(near_YX), starts_YX[:height])
                names.append(self._name_YX[at].reshape(-1)[touching])
                runs.append(run[touching])
        name_of_run = self._open.join(
            here_YX.reshape(-1)[firsts],
            lengths,
            (run[inside], run[inside + here_YX.shape[1]]),
            (np.concatenate(names), np.concatenate(runs)),
        )
        self._name_YX[rows] = np.repeat(name_of_run, lengths).reshape(here_YX.shape)

    def _finish(self, sizes: Numbers, values: Bytes) -> None:
        for value in np.unique(values).tolist():
            if value:
                self.of_class.setdefault(value, Sizes()).add(sizes[values == value])

    def finish(self) -> dict[int, Sizes]:
        """No slice follows: the sizes of all objects, by the value of their class."""
        self._finish(*self._open.left_behind())
        self._values_YX = None
        return self.of_class


class _Open:
    """The objects that reach the newest slice, by names; of several that turned out to be one all lead to one."""

    def __init__(self) -> None:
        self._count = 0
        self._leads_to: Names = np.zeros(0, np.int32)
        self._sizes: Numbers = np.zeros(0, np.int64)
        """0 of those that were joined with another or are finished."""
        self._values: Bytes = np.zeros(0, np.uint8)
        self._reached: NDArray[np.bool_] = np.zeros(0, bool)
        """By the slice that is being added."""
        self._place: Names = np.zeros(0, np.int32)

    def join(self, values: Bytes, lengths: Numbers, inside: tuple[Names, Names], named: tuple[Names, Names]) -> Names:
        """Take in runs: pairs of runs belong together, and pairs of a name and a run. The name of each run."""
        names = self._leads(named[0])
        old = _unique(names)
        self._place[old] = np.arange(len(old), dtype=np.int32)
        one = np.concatenate([inside[1], named[1]]) + np.int32(len(old))
        other = np.concatenate([inside[0] + np.int32(len(old)), self._place[names]])
        groups, group_of_each = _joined(len(old) + len(lengths), one, other)
        group_of_old, group_of_run = group_of_each[: len(old)], group_of_each[len(old) :]
        sizes = np.bincount(group_of_old, self._sizes[old], groups) + np.bincount(group_of_run, lengths, groups)
        name_of_group = np.full(groups, -1, np.int32)
        name_of_group[group_of_old[::-1]] = old[::-1]
        new = np.flatnonzero(name_of_group < 0)
        name_of_group[new] = self._new(len(new))
        self._sizes[old] = 0
        self._sizes[name_of_group] = sizes
        self._leads_to[old] = name_of_group[group_of_old]
        name_of_run = name_of_group[group_of_run]
        self._values[name_of_run] = values
        self._reached[name_of_group] = True
        return name_of_run

    def _leads(self, names: Names) -> Names:
        found = self._leads_to[names]
        while not np.array_equal(further := self._leads_to[found], found):
            found = further
        return found

    def _new(self, count: int) -> Names:
        first, self._count = self._count, self._count + count
        if self._count > len(self._sizes):
            room = self._count + self._count // 8
            for table in ("_leads_to", "_sizes", "_values", "_reached", "_place"):
                kept = getattr(self, table)
                grown = np.zeros(room, kept.dtype)
                grown[:first] = kept[:first]
                setattr(self, table, grown)
        names = np.arange(first, self._count, dtype=np.int32)
        self._leads_to[first : self._count] = names
        return names

    def left_behind(self) -> tuple[Numbers, Bytes]:
        """Sizes and values of the objects that no slice reached since the last time."""
        here = slice(self._count)
        over = (self._sizes[here] > 0) & ~self._reached[here]
        left = self._sizes[here][over], self._values[here][over]
        self._sizes[here][over] = 0
        self._reached[here] = False
        return left

    def compact(self) -> Names | None:
        """Where too many names are left over, new ones for those that are used, by the old ones."""
        goes_on = self._sizes[: self._count] > 0
        kept = int(np.count_nonzero(goes_on))
        if self._count <= 2 * kept + SPARE:
            return None
        renamed = (np.cumsum(goes_on, dtype=np.int32) - 1)[self._leads(np.arange(self._count, dtype=np.int32))]
        self._sizes, self._values = self._sizes[: self._count][goes_on], self._values[: self._count][goes_on]
        self._leads_to = np.arange(kept, dtype=np.int32)
        self._reached, self._place = np.zeros(kept, bool), np.zeros(kept, np.int32)
        self._count = kept
        return renamed


def _starts(values_YX: Bytes) -> NDArray[np.bool_]:
    """Where a run of equal values begins in its row."""
    starts_YX = np.ones(values_YX.shape, bool)
    np.not_equal(values_YX[:, 1:], values_YX[:, :-1], out=starts_YX[:, 1:])
    return starts_YX


def _touching(
    one_YX: Bytes, other_YX: Bytes, starts_YX: NDArray[np.bool_], others_YX: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """The places where runs of equal values begin to touch: one for each two of them."""
    equal_YX = one_YX == other_YX
    equal_YX &= starts_YX | others_YX
    return np.flatnonzero(equal_YX)


def _unique(names: Names) -> Names:
    found = np.sort(names)
    return found[np.diff(found, prepend=-1) > 0]


def _joined(count: int, one: Names, other: Names) -> tuple[int, Names]:
    """How many groups so many things are in when these pairs belong together, and the group of each."""
    order = np.argsort(one, kind="stable")  # quick, since it is sorted in a few pieces
    rows = np.zeros(count + 1, np.int32)
    np.cumsum(np.bincount(one, minlength=count), out=rows[1:])
    pairs = csr_array((np.ones(len(one)), other[order], rows), shape=(count, count))
    groups, of_each = connected_components(pairs, directed=False)
    return int(groups), of_each
