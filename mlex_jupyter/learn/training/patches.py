"""Patches that nobody has labelled, from all over a volume, read when they are asked for, as pairs of views.

Some slices at a time are in memory, other ones in each epoch. A share of the slices, spread over the volume, is kept
apart to judge by; a volume of a few slices is judged on other patches of the same ones. A pair is a function of seed,
step and its number in the batch, and of nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mlex_jupyter.data.volume import Volume
from mlex_jupyter.errors import Invalid
from mlex_jupyter.learn import grey
from mlex_jupyter.learn.models import Wants
from mlex_jupyter.learn.models.simclr import Changes, views
from mlex_jupyter.learn.params import PretrainParams

POOL_BYTES = 1 << 28
"""What the slices of an epoch take in memory."""
FEW_SLICES = 5
JUDGED, JUDGING = 96, 16
"""Pairs that judge, and the slices at most that they are from."""
ROOM = 4 / 3
"""How much wider a patch is than its views, so that they differ in place too."""


class Patches:
    """What an encoder learns from."""

    def __init__(self, volume: Volume, wanted: Wants, params: PretrainParams) -> None:
        check_flat(wanted)
        self.volume, self.wanted, self.params = volume, wanted, params
        depth, _, rows, columns = volume.shape_ZCYX
        shortest, multiple = min(rows, columns), wanted.multiple
        self.side = min(-(-params.patch // multiple), shortest // multiple) * multiple
        if self.side < 2 * multiple:
            raise Invalid(
                f"Slices of {rows} × {columns} are too small for this network's {multiple} pixels a block.",
                hint="Choose fewer levels (depth).",
            )
        self.wide = min(round(self.side * ROOM), shortest)
        self.preprocessing = grey.fit(volume)
        self.judging, self.zs = apart(depth, params.validation)
        self._kept: dict[int, grey.Floats] = {}

    @property
    def keeps_apart(self) -> bool:
        """Whether the slices that judge are not learned from."""
        return not np.intersect1d(self.zs, self.judging).size

    def batch(self, step: int, members: Sequence[int]) -> grey.Floats:
        """The first views of the members, then their second views."""
        pool = self._pool(step // self.params.steps_per_epoch)
        dice = [np.random.default_rng([self.params.seed, 6, step, member]) for member in members]
        pairs = [self._pair(self._patch(one, pool), one) for one in dice]
        return torch.stack([pair[which] for which in range(2) for pair in pairs]).numpy()

    def judged(self) -> tuple[Tensor, Tensor]:
        """Patches that judge, always the same, and their views: all first ones, then all second ones."""
        dice = [np.random.default_rng([self.params.seed, 7, number]) for number in range(JUDGED)]
        patches = [self._patch(one, self.judging) for one in dice]
        pairs = [self._pair(patch, one) for patch, one in zip(patches, dice, strict=True)]
        room = (self.wide - self.side) // 2
        middles = torch.stack(patches)[..., room : room + self.side, room : room + self.side]
        return middles, torch.stack([pair[which] for which in range(2) for pair in pairs])

    def _pool(self, epoch: int) -> np.ndarray:
        """The slices of an epoch."""
        _, channels, rows, columns = self.volume.shape_ZCYX
        size = 4 * rows * columns * channels * (2 * self.wanted.neighbours + 1)
        most = min(len(self.zs), max(4, POOL_BYTES // size))
        return np.random.default_rng([self.params.seed, 5, epoch]).choice(self.zs, most, replace=False)

    def _patch(self, dice: np.random.Generator, pool: np.ndarray) -> Tensor:
        image_CYX = self._slice(int(dice.choice(pool)), pool)
        top, left = (int(dice.integers(size - self.wide + 1)) for size in image_CYX.shape[1:])
        return torch.from_numpy(image_CYX[:, top : top + self.wide, left : left + self.wide].copy())

    def _pair(self, patch_CHW: Tensor, dice: np.random.Generator) -> list[Tensor]:
        thrown = torch.Generator().manual_seed(int(dice.integers(1 << 62)))
        return [views(patch_CHW[None], self.side, thrown, Changes())[0] for _ in range(2)]

    def _slice(self, z: int, pool: np.ndarray) -> grey.Floats:
        """A slice as the network sees it; those of the pool stay in memory."""
        if z not in self._kept:
            wanted = {*map(int, pool)}
            self._kept = {kept: image for kept, image in self._kept.items() if kept in wanted}
            self._kept[z] = grey.seen(self.volume, z, self.preprocessing, self.wanted.neighbours)
        return self._kept[z]


def check_flat(wanted: Wants) -> None:
    """Refuse what sees blocks of slices."""
    if wanted.dims == 3:
        raise Invalid(
            "A network that sees blocks of slices learns classes for voxels, and nothing else.",
            hint="Choose a 2-D network for this, as unet, or unet25d, which sees a few slices beside.",
        )


def apart(depth: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """The slices that judge, spread over the volume, and those that are learned from."""
    every = np.arange(depth)
    if depth < FEW_SLICES:
        return every, every
    count = min(JUDGING, max(1, round(depth * share)))
    judging = every[np.linspace(0, depth - 1, count + 2).round().astype(int)[1:-1]]
    return judging, np.setdiff1d(every, judging)
