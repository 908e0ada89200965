"""Blocks of a labelled volume, for networks that see three dimensions: grey values and classes, read when asked for.

Beyond its last slice, row and column a volume goes on as if mirrored, until its sides divide; nothing is labelled
there. Whole slices are read, and those used lately stay in memory as they lie in the file.
Axes: C channel, Z slice, Y row, X column.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlex_jupyter.errors import Invalid
from mlex_jupyter.learn import grey
from mlex_jupyter.learn.prediction import bands, slabs
from mlex_jupyter.learn.prediction.tiles import padded, up_to
from mlex_jupyter.learn.score import UNLABELLED
from mlex_jupyter.learn.training.labelled import Bytes, Labelled, Side

CACHE_BYTES = 1 << 29
Part = tuple[slice, slice, slice]
"""Which slices, rows and columns."""


class Blocks:
    """The labelled volume of a training, in blocks."""

    def __init__(self, labelled: Labelled) -> None:
        self.labelled = labelled
        depth, _, *sides = labelled.volume.shape_ZCYX
        if depth == 1:
            raise Invalid(slabs.ONE_SLICE, hint=slabs.TAKE_2D)
        self.depth = depth
        multiple = labelled.wanted.multiple
        self.shape = (up_to(depth, multiple), up_to(sides[0], multiple), up_to(sides[1], multiple))
        """With what is mirrored."""
        self._reader = bands.Reader(labelled.volume)
        self._planes = _Kept(CACHE_BYTES)
        self._targets = _Kept(CACHE_BYTES // 4)
        self._lock = threading.Lock()

    def raw(self, part: Part) -> NDArray[Any]:
        """The grey values of a block as they lie in the file: CZYX."""
        with self._lock:  # crops are cut in a thread of their own while the network is judged
            planes = [self._plane(slabs.mirrored(z, self.depth))[:, *part[1:]] for z in _places(part[0])]
            return np.stack(planes, axis=1)

    def image(self, part: Part) -> grey.Floats:
        """The same as a network sees it."""
        return grey.normalised(self.raw(part), self.labelled.preprocessing)

    def targets(self, part: Part, side: Side) -> Bytes:
        """The classes of a block on one side of the split: ZYX."""
        labelled = set(self.labelled.zs)
        found = np.full([len(_places(one)) for one in part], UNLABELLED, np.uint8)
        with self._lock:
            for index, z in enumerate(_places(part[0])):
                if z in labelled:
                    found[index] = self._target(z, side)[part[1:]]
        return found

    def _plane(self, z: int) -> NDArray[Any]:
        return self._planes(z, lambda: padded(self._reader(range(z, z + 1))[0], self.labelled.wanted.multiple))

    def _target(self, z: int, side: Side) -> Bytes:
        def grown() -> Bytes:
            target = self.labelled.targets(z, side)
            more = [(0, whole - side) for whole, side in zip(self.shape[1:], target.shape, strict=True)]
            return np.pad(target, more, constant_values=UNLABELLED)

        return self._targets((z, side), grown)


class _Kept:
    """What was used lately, up to so many bytes."""

    def __init__(self, nbytes: int) -> None:
        self._room = nbytes
        self._kept: OrderedDict[Any, NDArray[Any]] = OrderedDict()

    def __call__(self, key: Any, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """What is kept by this key, or is made now."""
        if key not in self._kept:
            self._kept[key] = make()
            self._room -= self._kept[key].nbytes
            while self._room < 0 and len(self._kept) > 1:
                self._room += self._kept.popitem(last=False)[1].nbytes
        self._kept.move_to_end(key)
        return self._kept[key]


def _places(one: slice) -> range:
    return range(one.start, one.stop)
