"""How good a network is on the labels that were kept apart, in numbers and in pictures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from mlex_jupyter.files import write_whole
from mlex_jupyter.learn import picture as pictures
from mlex_jupyter.learn.prediction.tiles import Fit, forward, segment, tiles
from mlex_jupyter.learn.score import UNLABELLED, Calibration, Confusion
from mlex_jupyter.learn.training.labelled import Labelled
from mlex_jupyter.types import ClassInfo

Bytes = NDArray[np.uint8]
SHOWN = 1024
"""The longest side of what a picture shows."""
SLICES = "labelled-slices.zarr"
"""What the network makes of the labelled slices, inside the job folder."""


@dataclass(frozen=True)
class Judgement:
    """What came out."""

    loss: float
    confusion: Confusion
    calibration: Calibration

    @classmethod
    def none(cls, classes: int) -> Judgement:
        """Where nothing was looked at."""
        return cls(0.0, Confusion(classes), Calibration())

    @property
    def dice(self) -> float:
        """The mean over the classes."""
        return self.confusion.mean_dice()

    def metrics(self, classes: Sequence[ClassInfo]) -> dict[str, float]:
        """By name, as a run shows them."""
        found = {"dice": self.dice, "iou": self.confusion.mean_iou()}
        for kind, values in (("dice", self.confusion.dice()), ("iou", self.confusion.iou())):
            by_class = zip(classes, values, strict=True)
            found |= {f"{kind}/{one.name}": value for one, value in by_class if value is not None}
        found |= {"calibration_error": self.calibration.error(), "val_loss": self.loss}
        return {name: round(value, 5) for name, value in found.items()}


def judge(
    network: nn.Module, labelled: Labelled, fit: Fit, device: torch.device, weights: NDArray[np.float32]
) -> Judgement:
    """Loss, Dice and all that over the pixels that judge; pieces without any are not computed."""
    network.eval()
    confusion, calibration = Confusion(len(labelled.classes)), Calibration()
    weights_C = torch.from_numpy(weights)
    loss, weight = 0.0, 0.0
    for z in labelled.judging:
        here = labelled[z]
        for tile in tiles(here.judge_YX.shape, fit):
            target_YX = here.judge_YX[tile.keep]
            known = target_YX != UNLABELLED
            if not known.any():
                continue
            logits_BCHW = forward(network, np.ascontiguousarray(here.image_CYX[None, :, *tile.read]), device)
            logits_CHW = logits_BCHW[0, :, *tile.inner].float().cpu()
            logits_NC, target_N = logits_CHW[:, torch.from_numpy(known)].T, torch.from_numpy(target_YX[known]).long()
            sure_N, found_N = logits_NC.softmax(dim=1).max(dim=1)
            confusion.add(found_N.numpy().astype(np.uint8), target_YX[known])
            calibration.add(sure_N.numpy(), (found_N == target_N).numpy())
            loss += float(functional.cross_entropy(logits_NC, target_N, weights_C, reduction="sum"))
            weight += float(weights_C[target_N].sum())
    return Judgement(loss / weight if weight else 0.0, confusion, calibration)


def shown(labelled: Labelled) -> int:
    """The slice that pictures show: of those that judge, the one with most labels."""
    return max(labelled.judging or labelled.zs, key=lambda z: (int((labelled.values(z) > 0).sum()), -z))


def values(network: nn.Module, labelled: Labelled, z: int, fit: Fit, device: torch.device) -> Bytes:
    """The class values that a network finds on a labelled slice."""
    network.eval()
    rows, columns = labelled.volume.shape_ZCYX[2:]
    found_BYX = segment(network, labelled[z].image_CYX[None], fit, device)
    of_class = np.array([one.value for one in labelled.classes], np.uint8)
    return of_class[found_BYX[0, :rows, :columns]]


def picture(labelled: Labelled, z: int, found: Bytes, width: int = 512) -> bytes:
    """Labels and prediction of a slice, side by side."""
    labels = labelled.values(z)
    part = _around(labels)
    return pictures.picture(labelled.grey_YX(z)[part], labels[part], found[part], labelled.classes, width)


def _around(labels: Bytes) -> tuple[slice, slice]:
    """A part of at most `SHOWN` pixels a side, around the middle of the labels."""
    middles = [int(np.median(places)) for places in np.nonzero(labels)]
    starts = [max(0, min(m - SHOWN // 2, n - SHOWN)) for m, n in zip(middles, labels.shape, strict=True)]
    rows, columns = (slice(start, min(n, start + SHOWN)) for start, n in zip(starts, labels.shape, strict=True))
    return rows, columns


def write_labelled_slices(folder: Path, network: nn.Module, labelled: Labelled, fit: Fit, device: torch.device) -> None:
    """Segment every labelled slice into `SLICES`, and draw the one that pictures show."""
    place, beside = folder / SLICES, folder / f".labelled-slices.{os.getpid()}"
    rows, columns = labelled.volume.shape_ZCYX[2:]
    array = zarr.create_array(
        beside,
        shape=(len(labelled.zs), rows, columns),
        chunks=(1, rows, columns),
        dtype="uint8",
        dimension_names=("z", "y", "x"),
        attributes={"z": labelled.zs},
        overwrite=True,
    )
    for index, z in enumerate(labelled.zs):
        found = values(network, labelled, z, fit, device)
        array[index] = found
        if z == shown(labelled):
            write_whole(folder / "picture.png", picture(labelled, z, found, width=1024))
    shutil.rmtree(place, ignore_errors=True)
    os.rename(beside, place)
