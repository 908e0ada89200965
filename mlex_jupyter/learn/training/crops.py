"""Crops around labelled pixels, each class as often as the others: squares of slices, or blocks of a volume.

A batch is a function of seed and step and of nothing else, so that a resumed training sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mlex_jupyter.errors import Invalid
from mlex_jupyter.learn.grey import Floats
from mlex_jupyter.learn.params import TrainParams
from mlex_jupyter.learn.score import UNLABELLED
from mlex_jupyter.learn.training.blocks import Blocks
from mlex_jupyter.learn.training.labelled import Labelled

KEPT = 20_000
"""Places remembered for each class of a slice; more make no difference."""
KNOTS, BENT = 6, 2.5
"""How a crop is bent: by a surface through so many knots a side, each moved by about so many pixels."""


@dataclass(frozen=True)
class Places:
    """Where one class is labelled on one slice."""

    z: int
    count: int
    yx: NDArray[np.int32]
    until: float
    """The share of the class that is on this slice and those before it."""


class Crops:
    """What a network is trained on."""

    def __init__(self, labelled: Labelled, params: TrainParams) -> None:
        self.labelled = labelled
        self.params = params
        multiple = labelled.wanted.multiple
        self.blocks = Blocks(labelled) if labelled.wanted.dims == 3 else None
        shape = self.blocks.shape if self.blocks else labelled[labelled.zs[0]].train_YX.shape
        self.side = _fitting(params.patch, min(shape[-2:]), multiple)
        self.sides = (*(_fitting(params.patch, length, multiple) for length in shape[:-2]), self.side, self.side)
        rng = np.random.default_rng([params.seed, 2])
        self._places = [self._find(kind, rng) for kind in range(len(labelled.classes))]
        self.counts = [sum(place.count for place in places) for places in self._places]
        if empty := [one.name for one, count in zip(labelled.classes, self.counts, strict=True) if not count]:
            raise Invalid(f"No label of {empty[0]} can be trained on.", hint="Paint more of it, in two places or more.")

    def _find(self, kind: int, rng: np.random.Generator) -> list[Places]:
        found: list[tuple[int, int, NDArray[np.int32]]] = []
        for z in self.labelled.zs:
            trained_on = self.labelled.targets(z, "train") if self.blocks else self.labelled[z].train_YX
            yx = np.argwhere(trained_on == kind).astype(np.int32)
            if len(yx):
                kept = yx if len(yx) <= KEPT else yx[rng.choice(len(yx), KEPT, replace=False)]
                found.append((z, len(yx), kept))
        shares = np.cumsum([count for _, count, _ in found]) / max(1, sum(count for _, count, _ in found))
        return [Places(*one, float(until)) for one, until in zip(found, shares, strict=True)]

    def weights(self) -> Floats:
        """How much a pixel of each class counts: rare ones more, with a mean of 1, unless all shall count the same."""
        if self.params.class_weights == "equal":
            return np.ones(len(self.counts), np.float32)
        weights = np.array(self.counts, np.float32) ** -0.25
        return np.asarray(weights / weights.mean(), np.float32)

    def batch(self, step: int, members: Sequence[int]) -> tuple[Floats, NDArray[np.int64]]:
        """The images and classes of one step, those of its members that somebody wants."""
        of_each = (np.random.default_rng([self.params.seed, 3, step, member]) for member in members)
        images, targets = zip(*(self._crop(rng) for rng in of_each), strict=True)
        return np.stack(images), np.stack(targets).astype(np.int64)

    def _crop(self, rng: np.random.Generator) -> tuple[Floats, NDArray[np.uint8]]:
        places = self._places[rng.integers(len(self._places))]
        share = rng.random()
        place = next(place for place in places if share < place.until)
        at = place.yx[rng.integers(len(place.yx))]
        if self.blocks:
            block = self._part((place.z, *at), self.blocks.shape, rng)
            image, target = self.blocks.image(block), self.blocks.targets(block, "train")  # type: ignore[arg-type]
        else:
            here = self.labelled[place.z]
            part = self._part(tuple(at), here.train_YX.shape, rng)
            image, target = here.image_CYX[:, *part], here.train_YX[part]
        if self.params.elastic:
            image, target = _bent(image, target, rng)
        return _changed(image, target, rng) if self.params.augment else (image, target)

    def _part(self, at: tuple[int, ...], shape: tuple[int, ...], rng: np.random.Generator) -> tuple[slice, ...]:
        """Somewhere around a place, within the slice or the volume."""
        found = []
        for place, side, length in zip(at, self.sides, shape, strict=True):
            start = int(np.clip(place - rng.integers(side), 0, length - side))
            found.append(slice(start, start + side))
        return tuple(found)

    def in_words(self) -> str:
        """How large they are."""
        return " × ".join(map(str, self.sides))


def _bent(image: Floats, target: NDArray[np.uint8], rng: np.random.Generator) -> tuple[Floats, NDArray[np.uint8]]:
    """Each pixel from a place a little beside, neighbours from neighbouring places; labels from the nearest pixel."""
    shape = target.shape
    shifts = [_smooth(rng.normal(0, BENT, (KNOTS,) * target.ndim), shape) for _ in shape]
    places = np.indices(shape) + np.stack(shifts)
    bent = np.stack([ndimage.map_coordinates(channel, places, order=1, mode="reflect") for channel in image])
    return bent.astype(np.float32), ndimage.map_coordinates(target, places, order=0, mode="constant", cval=UNLABELLED)


def _smooth(knots: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """A surface through the knots."""
    scale = [side / len(knots) for side in shape]  # a volume through them, in three dimensions
    surface: NDArray[np.float64] = ndimage.zoom(knots, scale, order=3, mode="nearest", grid_mode=True)
    return surface


def _changed(image: Floats, target: NDArray[np.uint8], rng: np.random.Generator) -> tuple[Floats, NDArray[np.uint8]]:
    """Turned within the slice, flipped, brighter or darker, with more or less contrast."""
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))
    image, target = np.rot90(image, turns, (-2, -1)), np.rot90(target, turns, (-2, -1))
    if flip:
        image, target = image[..., ::-1], target[..., ::-1]
    if target.ndim == 3 and rng.integers(2):
        image, target = image[:, ::-1], target[::-1]
    gain, offset = np.float32(rng.uniform(0.85, 1.18)), np.float32(rng.uniform(-0.2, 0.2))
    return np.ascontiguousarray(image * gain + offset, np.float32), np.ascontiguousarray(target)


def _fitting(wanted: int, shortest: int, multiple: int) -> int:
    """The side of a crop: what is wanted, made to divide, and at most a slice."""
    return min(-(-wanted // multiple) * multiple, shortest // multiple * multiple)
