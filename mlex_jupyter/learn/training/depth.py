"""What a 3-D network makes of labelled places: the logits that judge it, and whole slices to be shown.

Every voxel is computed with all that it sees, as in a prediction, from blocks that hold many of those that are wanted.
Axes: B batch, C channel or class, N pixel, Z slice, Y row, X column.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mlex_jupyter.learn import grey
from mlex_jupyter.learn.prediction import slabs
from mlex_jupyter.learn.prediction.tiles import Fit, forward, up_to
from mlex_jupyter.learn.score import UNLABELLED
from mlex_jupyter.learn.training.blocks import Blocks
from mlex_jupyter.learn.training.cover import Block, cover
from mlex_jupyter.learn.training.labelled import REGION, Bytes

Area = tuple[slice, slice]
"""Which rows and columns."""


def judged(
    network: nn.Module, blocks: Blocks, fit: Fit, device: torch.device
) -> Iterator[tuple[Tensor, NDArray[np.uint8]]]:
    """Logits and classes of the voxels that judge, block by block."""
    for block in cover(*_cells(blocks, fit), blocks.shape, fit):
        target_ZYX = blocks.targets(block.keep, "judge")
        known = target_ZYX != UNLABELLED
        logits_BCZYX = forward(network, blocks.image(block.read)[None], device)
        logits_CZYX = logits_BCZYX[0, :, *block.inner].float().cpu()
        yield logits_CZYX[:, torch.from_numpy(known)].T, target_ZYX[known]


def _cells(blocks: Blocks, fit: Fit) -> tuple[NDArray[np.bool_], tuple[int, int, int]]:
    """Where there is something to judge by, in cells of this size."""
    side = up_to(REGION, fit.multiple)
    cell = fit.multiple, side, side
    cells = np.zeros([-(-length // each) for length, each in zip(blocks.shape, cell, strict=True)], bool)
    for z in blocks.labelled.judging:
        y, x = np.nonzero(blocks.labelled.targets(z, "judge") != UNLABELLED)
        cells[z // cell[0], y // side, x // side] = True
    return cells, cell


def found(network: nn.Module, blocks: Blocks, zs: range, area: Area, fit: Fit, device: torch.device) -> Bytes:
    """The most likely class of every voxel of some slices, 0 to K-1, in an area."""
    block = Block.around((slice(zs.start, zs.stop), *area), blocks.shape, fit)
    slab = slabs.Slab(blocks.raw(block.read), block.inner[0])

    def compute(raw_BCZYX: NDArray[Any]) -> Tensor:
        return forward(network, grey.normalised(raw_BCZYX, blocks.labelled.preprocessing), device)

    made = np.empty((len(zs), *slab.raw_CZYX.shape[-2:]), np.uint8)
    for keep, logits_ZKYX in slabs.logits_of(compute, slab, fit):
        made[:, *keep] = logits_ZKYX.argmax(dim=1).to(torch.uint8).cpu().numpy()
    return made[:, *block.inner[1:]]


def runs(zs: Sequence[int], shape: Sequence[int], fit: Fit) -> list[range]:
    """Slices that are computed together, since what they see overlaps, as far as memory allows."""
    around = 2 * (fit.halo or 0)
    most = max(round(fit.pixels ** (1 / 3)), fit.pixels // math.prod(shape[1:]))
    made: list[range] = []
    for z in zs:
        if made and z - made[-1][-1] <= around and z + 1 - made[-1].start + around <= most:
            made[-1] = range(made[-1].start, z + 1)
        else:
            made.append(range(z, z + 1))
    return made
