"""Classes and uncertainties on a processor: what decide.py says, in NumPy, in memory that stays in the cache.

A block of rows is taken class by class, as planes, into arrays that are used again for the next block. That takes a
third of the time of the same in torch, and one per cent of a network's. Axes: K class, M member, N pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


class Planes:
    """Decides blocks of at most so many pixels."""

    def __init__(self, values: Sequence[int], channels: int, pixels: int) -> None:
        self.values = values
        self._planes_KN: Floats = np.empty((channels, pixels), np.float32)
        self._shares_KN = np.empty_like(self._planes_KN)
        self._rows_N: Floats = np.empty((3, pixels), np.float32)
        self._marks_N: NDArray[np.bool_] = np.empty(pixels, bool)
        self._bytes_N: Bytes = np.empty(pixels, np.uint8)

    def __call__(self, logits_KHW: NDArray[Any], found_HW: Bytes, unsure_HW: Bytes) -> None:
        """Write the class and the uncertainty of every pixel, rows that are contiguous."""
        count = found_HW.size
        planes_KN = self._planes_KN[:, :count]
        np.copyto(planes_KN.reshape(logits_KHW.shape), logits_KHW)
        found_N, best_N = found_HW.reshape(-1), self._rows_N[0, :count]
        with np.errstate(invalid="ignore", divide="ignore"):
            if len(planes_KN) > len(self.values):
                doubt_N = self._spread(planes_KN, found_N, best_N)
            else:
                self._choose(planes_KN, found_N, best_N)
                doubt_N = self._entropy(planes_KN, best_N)
            doubt_N += np.float32(0.5)
            np.maximum(doubt_N, np.float32(0), out=doubt_N)
            np.fmin(doubt_N, np.float32(255), out=doubt_N)  # which is also what becomes of NaN
        np.copyto(unsure_HW.reshape(-1), doubt_N, casting="unsafe")

    def _choose(self, planes_KN: Floats, found_N: Bytes, best_N: Floats) -> None:
        """The value of the largest, of equals the first, and how large it is."""
        larger_N, other_N = self._marks_N[: len(found_N)], self._bytes_N[: len(found_N)]
        found_N.fill(self.values[0])
        np.copyto(best_N, planes_KN[0])
        for plane_N, value in zip(planes_KN[1:], self.values[1:], strict=True):
            np.greater(plane_N, best_N, out=larger_N)
            np.negative(larger_N.view(np.uint8), out=other_N)  # 0 or 255, which swaps without a branch
            other_N &= found_N ^ np.uint8(value)
            found_N ^= other_N
            np.maximum(best_N, plane_N, out=best_N)

    def _entropy(self, planes_KN: Floats, best_N: Floats) -> Floats:
        """From 0 to 255."""
        classes, count = len(planes_KN), len(best_N)
        if classes == 1:
            best_N.fill(0)
            return best_N
        planes_KN -= best_N
        shares_KN = np.exp(planes_KN, out=self._shares_KN[:, :count])
        planes_KN *= shares_KN
        whole_N, below_N = _sum(shares_KN, self._rows_N[1, :count]), _sum(planes_KN, self._rows_N[2, :count])
        below_N /= whole_N
        np.log(whole_N, out=whole_N)
        whole_N -= below_N
        whole_N *= np.float32(255 / math.log(classes))
        return whole_N

    def _spread(self, planes_KN: Floats, found_N: Bytes, best_N: Floats) -> Floats:
        """Several members': the mean decides; how far they are apart, from 0 to 255."""
        each_MKN = planes_KN.reshape(-1, len(self.values), len(found_N))
        for member_KN in each_MKN:
            member_KN -= member_KN.max(axis=0)
            np.exp(member_KN, out=member_KN)
            member_KN /= member_KN.sum(axis=0)
        self._choose(each_MKN.mean(axis=0), found_N, best_N)
        doubt_N = np.zeros(len(found_N), np.float32)
        for index, value in enumerate(self.values):
            np.copyto(doubt_N, each_MKN[:, index].std(axis=0) * np.float32(2 * 255), where=found_N == value)
        return doubt_N


def _sum(planes_KN: Floats, into_N: Floats) -> Floats:
    np.add(planes_KN[0], planes_KN[1], out=into_N)
    for plane_N in planes_KN[2:]:
        into_N += plane_N
    return into_N
