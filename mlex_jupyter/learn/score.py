"""How good a segmentation is on the labelled pixels: Dice by class, counted over all slices."""

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

    def mean_dice(self) -> float:
        """The mean over the classes that occur."""
        known = [value for value in self.dice() if value is not None]
        return float(np.mean(known)) if known else 0.0
