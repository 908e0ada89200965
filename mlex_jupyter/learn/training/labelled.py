"""The labelled slices: grey values and classes, read when asked for, split into what is trained on and what judges.

The split is by whole slices where there are many, else by square regions. A labelled pixel is on one side only,
and next to a region that judges nothing is trained on. For a 3-D network, which sees the slices beside too, the same
holds of slabs of slices and of cubes. Classes are 0 to K-1 here, and 255 is unlabelled.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from mlex_jupyter.data.readers import open_volume
from mlex_jupyter.data.volume import Volume
from mlex_jupyter.errors import Invalid
from mlex_jupyter.learn import grey
from mlex_jupyter.learn.models import Wants
from mlex_jupyter.learn.prediction.tiles import padded
from mlex_jupyter.learn.score import UNLABELLED
from mlex_jupyter.types import ClassInfo, Dataset, LabelSet, Preprocessing

Bytes = NDArray[np.uint8]
Side = Literal["train", "judge"]

SIDES: tuple[Side, Side] = ("train", "judge")
MANY_SLICES = 6
REGION, MARGIN = 32, 3
SLAB = 16
"""Slices that are kept together on one side where a network sees three dimensions."""
CACHE_BYTES = 1 << 29


@dataclass(frozen=True)
class Slice:
    """One labelled slice, its sides made to divide."""

    z: int
    image_CYX: grey.Floats
    """Channels of the slice, and of its neighbours where the network wants them."""
    train_YX: Bytes
    judge_YX: Bytes


@dataclass(frozen=True)
class Painted:
    """Labels as they were painted over a volume; 0 is unlabelled."""

    name: str
    values: Any
    """Slices, rows, columns, or one slice's: an array, or something that is read like one."""
    classes: tuple[ClassInfo, ...]
    slices: tuple[int, ...]

    @classmethod
    def of(cls, labels: LabelSet, volume: Volume) -> Painted:
        """A version of a label set."""
        return cls(labels.name, _open_labels(labels, volume), labels.classes, labels.slices)


class Labelled:
    """The labelled slices of one dataset."""

    def __init__(self, volume: Volume, labels: Painted, *, wanted: Wants, validation: float, seed: int) -> None:
        self.volume = volume
        self.wanted = wanted
        self._labels = labels.values
        self.zs = self._with_labels(labels)
        self.classes = self._classes(labels)
        self._table = np.full(256, UNLABELLED, np.uint8)
        for index, one in enumerate(self.classes):
            self._table[one.value] = index
        self.preprocessing: Preprocessing = grey.fit(self.volume)
        self._thick, self._beside = (SLAB, MARGIN) if wanted.dims == 3 else (1, 0)
        self._judging = self._split(validation, np.random.default_rng([seed, 1]))
        self._cache: OrderedDict[int, Slice] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, data: Dataset, labels: LabelSet, **how: Any) -> Labelled:
        """Those of a registered dataset."""
        volume = open_volume(data)
        return cls(volume, Painted.of(labels, volume), **how)

    @property
    def judging(self) -> list[int]:
        """The slices that have pixels to judge by."""
        return [z for z in self.zs if self._regions(z).any()]

    def __getitem__(self, z: int) -> Slice:
        """A slice with its labels; those used lately stay in memory."""
        with self._lock:  # crops are cut in a thread of their own while slices are judged
            if z not in self._cache:
                self._cache[z] = self._load(z)
                size = self._cache[z].image_CYX.nbytes + 2 * self._cache[z].train_YX.nbytes
                while len(self._cache) > max(2, CACHE_BYTES // size):
                    self._cache.popitem(last=False)
            self._cache.move_to_end(z)
            return self._cache[z]

    def judged_pixels(self) -> int:
        """How many labelled pixels judge."""
        return sum(int((self.targets(z, "judge") != UNLABELLED).sum()) for z in self.judging)

    def grey_YX(self, z: int) -> grey.Floats:
        """The slice itself, to be shown: its first channel."""
        shown: grey.Floats = self[z].image_CYX[self.wanted.neighbours * self.volume.shape_ZCYX[1]]
        return shown

    def targets(self, z: int, side: Side) -> Bytes:
        """The classes of a slice on one side of the split."""
        target = self._table[self.values(z)]
        if side == "judge":
            target[~_enlarged(self._regions(z), target.shape)] = UNLABELLED
        else:
            near = np.logical_or.reduce([self._regions(z + by) for by in (-self._beside, 0, self._beside)])
            target[_with_margin(_enlarged(near, target.shape))] = UNLABELLED
        return target

    def _regions(self, z: int) -> NDArray[np.bool_]:
        """Which regions of a slice judge, whether or not it has labels."""
        rows, columns = self.volume.shape_ZCYX[2:]
        none = np.zeros((-(-rows // REGION), -(-columns // REGION)), bool)
        return self._judging.get(z // self._thick, none)

    def values(self, z: int) -> Bytes:
        """The labels of a slice as they were painted; 0 is unlabelled."""
        piece: Any = self._labels[z] if self._labels.ndim == 3 else self._labels[:]
        return np.asarray(piece, np.uint8)

    def _load(self, z: int) -> Slice:
        image = grey.seen(self.volume, z, self.preprocessing, self.wanted.neighbours)
        sides = (_grown(self.targets(z, side), self.wanted.multiple) for side in SIDES)
        return Slice(z, padded(image, self.wanted.multiple), *sides)

    def _with_labels(self, labels: Painted) -> list[int]:
        depth = self.volume.shape_ZCYX[0]
        zs = [z for z in sorted(set(labels.slices)) if 0 <= z < depth and self.values(z).any()]
        if not zs:
            raise Invalid(f"{labels.name} has no labelled pixels.", hint="Paint some of each class, on a slice or two.")
        return zs

    def _classes(self, labels: Painted) -> tuple[ClassInfo, ...]:
        counts = sum((np.bincount(self.values(z).reshape(-1), minlength=256) for z in self.zs), np.zeros(256, int))
        known = {one.value for one in labels.classes}
        if strange := [int(value) for value in np.flatnonzero(counts) if value and value not in known]:
            raise Invalid(
                f"{labels.name} has pixels of the value {strange[0]}, which no class has.",
                hint="Import the labels again with a class for each value.",
            )
        painted = tuple(one for one in sorted(labels.classes, key=lambda one: one.value) if counts[one.value])
        if len(painted) < 2:
            raise Invalid(
                f"{labels.name} has labels of one class only, {painted[0].name}.",
                hint="Paint some of another class too: a network learns to tell classes apart.",
            )
        return painted

    # ------------------------------------------------------------ the split

    def _split(self, share: float, rng: np.random.Generator) -> dict[int, NDArray[np.bool_]]:
        """For each slice, or slab of them, which of its square regions judge."""
        counts: dict[int, NDArray[np.int64]] = {}
        for z in self.zs:
            slab, found = z // self._thick, self._region_counts(z)
            counts[slab] = counts[slab] + found if slab in counts else found
        if len(counts) >= MANY_SLICES and (chosen := self._whole_slices(counts, share, rng)):
            return {slab: np.full(counts[slab].shape[1:], slab in chosen) for slab in counts}
        keys = [(slab, *place) for slab in counts for place in np.argwhere(counts[slab].any(axis=0)).tolist()]
        table = np.array([counts[slab][:, row, column] for slab, row, column in keys])
        judging = {slab: np.zeros(found.shape[1:], bool) for slab, found in counts.items()}
        for index in _choose(table, share, rng):
            slab, row, column = keys[index]
            judging[slab][row, column] = True
        return judging

    def _whole_slices(self, counts: dict[int, Any], share: float, rng: np.random.Generator) -> set[int]:
        """Some slices, without which every class is still trained on; none where that cannot be."""
        table = np.array([found.sum(axis=(1, 2)) for found in counts.values()])
        chosen = _choose(table, share, rng)
        every = (table[chosen].sum(axis=0) > 0).all()
        return {list(counts)[index] for index in chosen} if every else set()

    def _region_counts(self, z: int) -> NDArray[np.int64]:
        """Labelled pixels by class and region."""
        target = self._table[self.values(z)]
        rows, columns = (-(-side // REGION) for side in target.shape)
        counts = np.zeros((len(self.classes), rows, columns), np.int64)
        y, x = np.nonzero(target != UNLABELLED)
        np.add.at(counts, (target[y, x], y // REGION, x // REGION), 1)
        return counts


def _choose(table: NDArray[np.int64], share: float, rng: np.random.Generator) -> list[int]:
    """Rows that hold about this share of every class, and leave some of every class."""
    wanted, left, chosen = table.sum(axis=0) * share, table.sum(axis=0), list[int]()
    got = np.zeros_like(wanted)
    order = rng.permutation(len(table))
    for kind in np.argsort(wanted):  # the rare first, since they have least choice
        for index in order:
            if got[kind] >= wanted[kind] * 0.8:
                break
            row = table[index]
            spares = ((left - row)[row > 0] > 0).all() and row[kind] <= wanted[kind] * 2.5
            if row[kind] and index not in chosen and spares:
                chosen.append(int(index))
                got, left = got + row, left - row
    return chosen


def _enlarged(regions: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    whole = regions.repeat(REGION, axis=0).repeat(REGION, axis=1)
    return whole[: shape[0], : shape[1]].copy()


def _with_margin(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if not mask.any():
        return mask
    wide = mask.copy()
    for step in range(1, MARGIN + 1):
        for axis in (0, 1):
            ahead, behind = [slice(None)] * 2, [slice(None)] * 2
            ahead[axis], behind[axis] = slice(step, None), slice(None, -step)
            wide[tuple(ahead)] |= mask[tuple(behind)]
            wide[tuple(behind)] |= mask[tuple(ahead)]
    return wide


def _grown(target: Bytes, multiple: int) -> Bytes:
    """Padded as the image is, with nothing labelled in the padding."""
    rows, columns = (-side % multiple for side in target.shape)
    return np.pad(target, [(0, rows), (0, columns)], constant_values=UNLABELLED)


def _open_labels(labels: LabelSet, volume: Volume) -> Any:
    try:
        array = zarr.open_array(labels.uri, mode="r")
    except Exception as error:  # zarr has many errors for a folder that is not there or not an array
        raise Invalid(f"The labels {labels.name} cannot be read from {labels.uri}: {error}") from error
    depth, _, rows, columns = volume.shape_ZCYX
    fitting = [(depth, rows, columns)] + ([(rows, columns)] if depth == 1 else [])
    if array.shape not in fitting:
        raise Invalid(
            f"{labels.name} has the shape {array.shape}; the volume's slices make {fitting[0]}.",
            hint="Use labels that were painted over this volume.",
        )
    return array
