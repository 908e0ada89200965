"""How good a segmentation is on the labelled pixels: Dice and IoU by class, and whether it knows how sure it may be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

UNLABELLED = 255


class Confusion:
    """How often each true class was taken for each class."""

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes, classes), np.int64)

    def add(self, found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
        """Count the pixels that have a label."""
        classes = len(self.counts)
        known = truth != UNLABELLED
        pairs = truth[known].astype(np.int64) * classes + found[known]
        self.counts += np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)

    def dice(self) -> list[float | None]:
        """Dice of every class; None for one that occurs in no label here."""
        right = np.diag(self.counts)
        true, found = self.counts.sum(axis=1), self.counts.sum(axis=0)
        return [float(2 * r / (t + f)) if t else None for r, t, f in zip(right, true, found, strict=True)]

    def iou(self) -> list[float | None]:
        """Intersection over union of every class; None for one that occurs in no label here."""
        right = np.diag(self.counts)
        true, found = self.counts.sum(axis=1), self.counts.sum(axis=0)
        return [float(r / (t + f - r)) if t else None for r, t, f in zip(right, true, found, strict=True)]

    def mean_dice(self) -> float:
        """The mean over the classes that occur."""
        return _mean(self.dice())

    def mean_iou(self) -> float:
        """The mean over the classes that occur."""
        return _mean(self.iou())


class Calibration:
    """Whether pixels called 80 % sure are right four times out of five: counted in bins of how sure they are called."""

    def __init__(self, bins: int = 15) -> None:
        self.counts = np.zeros(bins, np.int64)
        self.sure = np.zeros(bins)
        self.right = np.zeros(bins)

    def add(self, sure: NDArray[np.float32], right: NDArray[np.bool_]) -> None:
        """Count pixels: how sure the network is of the class that it says, and whether it is the right one."""
        bins = len(self.counts)
        where = np.minimum((sure * bins).astype(np.int64), bins - 1)
        self.counts += np.bincount(where, minlength=bins)
        self.sure += np.bincount(where, weights=sure, minlength=bins)
        self.right += np.bincount(where, weights=right, minlength=bins)

    def error(self) -> float:
        """How far off it is on average: 0 is perfect, 0.1 is ten percentage points."""
        total = int(self.counts.sum())
        return float(np.abs(self.sure - self.right).sum() / total) if total else 0.0


def _mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else 0.0
