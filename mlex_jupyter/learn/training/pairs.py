"""Pictures and the values that they shall become: crops of both, read when asked for, some kept apart to judge.

Without values to become a picture teaches itself: some of its pixels are hidden, and have to be guessed from those
around them. Noise cannot be guessed, so that the guess is the picture without it (as in Noise2Self and Noise2Void).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlex_jupyter.data.volume import Volume
from mlex_jupyter.errors import Invalid
from mlex_jupyter.learn import grey
from mlex_jupyter.learn.models import Wants
from mlex_jupyter.learn.params import TrainParams
from mlex_jupyter.learn.prediction.tiles import padded
from mlex_jupyter.learn.training.patches import apart, check_flat
from mlex_jupyter.types import Preprocessing

HIDDEN = 0.03
"""The share of pixels that is hidden, far enough from each other that all else around one is seen."""
NEAR = 2
"""A hidden pixel shows what one so many pixels beside it has."""
KEPT = 16
"""Slices in memory."""


@dataclass(frozen=True)
class Shown:
    """A picture, what it shall become, and where that is known; of one size."""

    image_CYX: grey.Floats
    target_YX: grey.Floats
    known_YX: grey.Floats
    """1 where it counts, 0 where not."""


class Pairs:
    """The slices of a volume, and of what they shall become."""

    def __init__(self, volume: Volume, target: Volume | None, wanted: Wants, params: TrainParams) -> None:
        check_flat(wanted)
        self.volume, self.target, self.wanted, self.params = volume, target, wanted, params
        depth, channels, rows, columns = volume.shape_ZCYX
        if channels != 1 or (target is not None and target.shape_ZCYX != volume.shape_ZCYX):
            shape = f"{target.shape}" if target is not None else f"{channels} channels"
            raise Invalid(
                f"The volume has the shape {volume.shape}, what it shall become {shape}.",
                hint="Give one grey value for every pixel; NaN where it is not known.",
            )
        self.preprocessing = grey.fit(volume)
        self.gives = _scale(target) if target is not None else self.preprocessing
        self.judging, self.zs = apart(depth, params.validation)
        multiple = wanted.multiple
        self.judged_rows = slice(0, rows)
        self.rows = rows
        if set(self.judging) == set(self.zs):  # of few slices the lower part judges
            self.rows = max(multiple, round(rows * (1 - params.validation)))
            self.judged_rows = slice(self.rows, rows)
        self.side = min(-(-params.patch // multiple), min(self.rows, columns) // multiple) * multiple
        if self.side < multiple or self.judged_rows.start >= rows:
            raise Invalid(
                f"Slices of {rows} × {columns} are too small for this network.", hint="Choose fewer levels (depth)."
            )
        self._kept: dict[int, Shown] = {}
        self._lock = threading.Lock()

    def batch(self, step: int, members: Sequence[int]) -> tuple[np.ndarray, ...]:
        """Images, what they shall become, and where it counts."""
        seed = self.params.seed
        crops = [self._crop(np.random.default_rng([seed, 8, step, member])) for member in members]
        return tuple(np.stack(each) for each in zip(*crops, strict=True))

    def judged(self, z: int) -> Shown:
        """A slice that judges, its sides made to divide; hidden pixels are the same each time."""
        shown = self._slice(z)
        if self.target is None:
            shown = self._hiding(shown, np.random.default_rng([self.params.seed, 9, z]))
        known = np.zeros_like(shown.known_YX)
        known[self.judged_rows] = shown.known_YX[self.judged_rows]
        more = [(0, -side % self.wanted.multiple) for side in known.shape]
        image, target = (
            padded(shown.image_CYX, self.wanted.multiple),
            padded(shown.target_YX[None], self.wanted.multiple),
        )
        return Shown(image, target[0], np.pad(known, more))

    def _crop(self, dice: np.random.Generator) -> tuple[np.ndarray, ...]:
        shown = self._slice(int(dice.choice(self.zs)))
        top, left = (int(dice.integers(size - self.side + 1)) for size in (self.rows, shown.target_YX.shape[1]))
        part = slice(top, top + self.side), slice(left, left + self.side)
        turns, flip = int(dice.integers(4)), bool(dice.integers(2))

        def cut(whole: np.ndarray) -> np.ndarray:
            piece = whole[..., *part]
            if self.params.augment:
                piece = np.rot90(piece, turns, (-2, -1))
                piece = piece[..., ::-1] if flip else piece
            return np.ascontiguousarray(piece)

        crop = Shown(cut(shown.image_CYX), cut(shown.target_YX), cut(shown.known_YX))
        crop = self._hiding(crop, dice) if self.target is None else crop
        return crop.image_CYX, crop.target_YX, crop.known_YX

    def _hiding(self, shown: Shown, dice: np.random.Generator) -> Shown:
        """Some pixels show what others near them have, and only they count."""
        rows, columns = shown.target_YX.shape
        y, x = np.nonzero(dice.random((rows, columns)) < HIDDEN)
        dy, dx = dice.integers(-NEAR, NEAR + 1, (2, len(y)))
        dx[(dy == 0) & (dx == 0)] = 1
        image = shown.image_CYX.copy()
        own = len(image) // 2  # of neighbouring slices the one in the middle
        image[own, y, x] = shown.image_CYX[own, np.abs(y + dy) % rows, np.abs(x + dx) % columns]
        known = np.zeros((rows, columns), np.float32)
        known[y, x] = 1
        return Shown(image, shown.target_YX, known)

    def _slice(self, z: int) -> Shown:
        with self._lock:  # crops are cut in a thread of their own while slices are judged
            if z not in self._kept:
                if len(self._kept) >= KEPT:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[z] = self._read(z)
            return self._kept[z]

    def _read(self, z: int) -> Shown:
        image = grey.seen(self.volume, z, self.preprocessing, self.wanted.neighbours)
        if self.target is None:
            target = image[len(image) // 2]
        else:
            target = (self.target.slice_CYX(z)[0].astype(np.float32) - self.gives.offset) / self.gives.scale
        known = np.isfinite(target).astype(np.float32)
        return Shown(image, np.nan_to_num(target, posinf=0, neginf=0).astype(np.float32), known)


def _scale(target: Volume) -> Preprocessing:
    """Its known values become about -1 to 1, and are clipped nowhere."""
    depth = target.shape_ZCYX[0]
    zs = np.unique(np.linspace(0, depth - 1, min(depth, KEPT)).round().astype(int))
    values = np.concatenate([target.slice_CYX(int(z)).ravel() for z in zs])
    values = values[np.isfinite(values)].astype(np.float64)
    if not values.size or values.std() == 0:
        raise Invalid("What shall be learned has one value everywhere.", hint="Is it the volume that you meant?")
    return Preprocessing(offset=float(values.mean()), scale=float(values.std()))
