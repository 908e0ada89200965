"""How good a network is on the labels that were kept apart, in numbers and in pictures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mlex_jupyter.files import write_whole
from mlex_jupyter.learn import picture as pictures
from mlex_jupyter.learn.prediction.tiles import Fit, forward, segment, tiles
from mlex_jupyter.learn.score import UNLABELLED, Calibration, Confusion
from mlex_jupyter.learn.training import depth
from mlex_jupyter.learn.training.blocks import Blocks
from mlex_jupyter.learn.training.labelled import Labelled
from mlex_jupyter.types import ClassInfo

Bytes = NDArray[np.uint8]
SHOWN = {2: 1024, 3: 256}
"""The longest side of what a picture shows; fewer pixels of what a network in three dimensions takes longer for."""
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
    network: nn.Module,
    labelled: Labelled,
    fit: Fit,
    device: torch.device,
    weights: NDArray[np.float32],
    blocks: Blocks | None = None,
) -> Judgement:
    """Loss, Dice and all that over the pixels that judge; pieces without any are not computed."""
    network.eval()
    confusion, calibration = Confusion(len(labelled.classes)), Calibration()
    weights_C = torch.from_numpy(weights)
    loss, weight = 0.0, 0.0
    looks = depth.judged(network, blocks, fit, device) if blocks else _judged(network, labelled, fit, device)
    for logits_NC, classes_N in looks:
        target_N = torch.from_numpy(classes_N).long()
        sure_N, found_N = logits_NC.softmax(dim=1).max(dim=1)
        confusion.add(found_N.numpy().astype(np.uint8), classes_N)
        calibration.add(sure_N.numpy(), (found_N == target_N).numpy())
        loss += float(functional.cross_entropy(logits_NC, target_N, weights_C, reduction="sum"))
        weight += float(weights_C[target_N].sum())
    return Judgement(loss / weight if weight else 0.0, confusion, calibration)


def _judged(
    network: nn.Module, labelled: Labelled, fit: Fit, device: torch.device
) -> Iterator[tuple[Tensor, NDArray[np.uint8]]]:
    """Logits and classes of the pixels that judge, slice by slice."""
    for z in labelled.judging:
        here = labelled[z]
        for tile in tiles(here.judge_YX.shape, fit):
            target_YX = here.judge_YX[tile.keep]
            known = target_YX != UNLABELLED
            if not known.any():
                continue
            logits_BCHW = forward(network, np.ascontiguousarray(here.image_CYX[None, :, *tile.read]), device)
            logits_CHW = logits_BCHW[0, :, *tile.inner].float().cpu()
            yield logits_CHW[:, torch.from_numpy(known)].T, target_YX[known]


def shown(labelled: Labelled) -> int:
    """The slice that pictures show: of those that judge, the one with most labels."""
    return max(labelled.judging or labelled.zs, key=lambda z: (int((labelled.values(z) > 0).sum()), -z))


def values(
    network: nn.Module,
    labelled: Labelled,
    zs: range,
    fit: Fit,
    device: torch.device,
    blocks: Blocks | None = None,
    area: tuple[slice, slice] | None = None,
) -> Iterator[Bytes]:
    """The class values that a network finds on labelled slices; of a 3-D one, also on those between them."""
    network.eval()
    rows, columns = labelled.volume.shape_ZCYX[2:]
    area = area or (slice(0, rows), slice(0, columns))
    of_class = np.array([one.value for one in labelled.classes], np.uint8)
    if blocks:
        yield from of_class[depth.found(network, blocks, zs, area, fit, device)]
        return
    for z in zs:
        yield of_class[segment(network, labelled[z].image_CYX[None], fit, device)[0, :rows, :columns][area]]


def picture(labelled: Labelled, z: int, found: Bytes, width: int = 512) -> bytes:
    """Labels and prediction of a slice, side by side; of the prediction there may be just the part that is shown."""
    labels = labelled.values(z)
    part = around(labelled, z)
    if found.shape == labels.shape:
        found = found[part]
    return pictures.picture(labelled.grey_YX(z)[part], labels[part], found, labelled.classes, width)


def around(labelled: Labelled, z: int) -> tuple[slice, slice]:
    """A part of at most `SHOWN` pixels a side, around the middle of the labels."""
    labels, most = labelled.values(z), SHOWN[labelled.wanted.dims]
    middles = [int(np.median(places)) for places in np.nonzero(labels)]
    starts = [max(0, min(m - most // 2, n - most)) for m, n in zip(middles, labels.shape, strict=True)]
    rows, columns = (slice(start, min(n, start + most)) for start, n in zip(starts, labels.shape, strict=True))
    return rows, columns


def write_labelled_slices(
    folder: Path,
    network: nn.Module,
    labelled: Labelled,
    fit: Fit,
    device: torch.device,
    blocks: Blocks | None = None,
) -> None:
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
    places = {z: index for index, z in enumerate(labelled.zs)}
    runs = depth.runs(labelled.zs, blocks.shape, fit) if blocks else [range(z, z + 1) for z in labelled.zs]
    for zs in runs:
        for z, found in zip(zs, values(network, labelled, zs, fit, device, blocks), strict=True):
            if z in places:
                array[places[z]] = found
            if z == shown(labelled):
                write_whole(folder / "picture.png", picture(labelled, z, found, width=1024))
    shutil.rmtree(place, ignore_errors=True)
    os.rename(beside, place)
