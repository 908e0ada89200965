"""Crops around labelled pixels, each class as often as the others.

A batch is a function of seed and step and of nothing else, so that a resumed training sees what it would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlex_jupyter.errors import Invalid
from mlex_jupyter.learn.grey import Floats
from mlex_jupyter.learn.labelled import Labelled
from mlex_jupyter.learn.params import TrainParams

KEPT = 20_000
"""Places remembered for each class of a slice; more make no difference."""


@dataclass(frozen=True)
class Places:
    """Where one class is labelled on one slice."""

    z: int
    count: int
    yx: NDArray[np.int32]


class Crops:
    """What a network is trained on."""

    def __init__(self, labelled: Labelled, params: TrainParams) -> None:
        self.labelled = labelled
        self.params = params
        first = labelled[labelled.zs[0]].train_YX
        self.side = _fitting(params.patch, min(first.shape), labelled.multiple)
        rng = np.random.default_rng([params.seed, 2])
        self._places = [self._find(kind, rng) for kind in range(len(labelled.classes))]
        self.counts = [sum(place.count for place in places) for places in self._places]
        if empty := [one.name for one, count in zip(labelled.classes, self.counts, strict=True) if not count]:
            raise Invalid(f"No label of {empty[0]} can be trained on.", hint="Paint more of it, in two places or more.")

    def _find(self, kind: int, rng: np.random.Generator) -> list[Places]:
        found = []
        for z in self.labelled.zs:
            yx = np.argwhere(self.labelled[z].train_YX == kind).astype(np.int32)
            if len(yx):
                kept = yx if len(yx) <= KEPT else yx[rng.choice(len(yx), KEPT, replace=False)]
                found.append(Places(z, len(yx), kept))
        return found

    def weights(self) -> Floats:
        """How much a pixel of each class counts: rare ones more, with a mean of 1."""
        weights = np.array(self.counts, np.float32) ** -0.25
        return np.asarray(weights / weights.mean(), np.float32)

    def batch(self, step: int) -> tuple[Floats, NDArray[np.int64]]:
        """The images and classes of one step."""
        rng = np.random.default_rng([self.params.seed, 3, step])
        images, targets = zip(*(self._crop(rng) for _ in range(self.params.batch)), strict=True)
        return np.stack(images), np.stack(targets).astype(np.int64)

    def _crop(self, rng: np.random.Generator) -> tuple[Floats, NDArray[np.uint8]]:
        places = self._places[rng.integers(len(self._places))]
        shares = np.array([place.count for place in places], float)
        place = places[rng.choice(len(places), p=shares / shares.sum())]
        here = self.labelled[place.z]
        rows, columns = here.train_YX.shape
        y, x = place.yx[rng.integers(len(place.yx))]
        top = int(np.clip(y - rng.integers(self.side), 0, rows - self.side))
        left = int(np.clip(x - rng.integers(self.side), 0, columns - self.side))
        part = slice(top, top + self.side), slice(left, left + self.side)
        image, target = here.image_CYX[:, *part], here.train_YX[part]
        return _changed(image, target, rng) if self.params.augment else (image, target)


def _changed(image: Floats, target: NDArray[np.uint8], rng: np.random.Generator) -> tuple[Floats, NDArray[np.uint8]]:
    """Turned, flipped, brighter or darker, with more or less contrast."""
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))
    image, target = np.rot90(image, turns, (1, 2)), np.rot90(target, turns)
    if flip:
        image, target = image[:, :, ::-1], target[:, ::-1]
    gain, offset = np.float32(rng.uniform(0.85, 1.18)), np.float32(rng.uniform(-0.2, 0.2))
    return np.ascontiguousarray(image * gain + offset, np.float32), np.ascontiguousarray(target)


def _fitting(wanted: int, shortest: int, multiple: int) -> int:
    """The side of a crop: what is wanted, made to divide, and at most a slice."""
    return min(-(-wanted // multiple) * multiple, shortest // multiple * multiple)
