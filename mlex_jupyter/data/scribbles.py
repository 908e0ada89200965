"""Scribbles as a person paints them: short strokes of a round brush, well inside of what they mark."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Bytes = NDArray[np.uint8]
AT = (0.17, 0.5, 0.8)


def scribble(truth: Bytes, classes: int, rng: np.random.Generator) -> Bytes:
    """Paint some strokes of every class on three slices; everything else stays 0."""
    labels = np.zeros_like(truth)
    for z in sorted({int(part * len(truth)) for part in AT}):
        for value in range(1, classes + 1):
            _paint(labels[z], truth[z] == value, value, rng)
    return labels


def _paint(labels: Bytes, region: NDArray[np.bool_], value: int, rng: np.random.Generator) -> None:
    if not region.any():
        return
    room = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    strokes = 3 + round(region.mean() * 90 * min(1.0, len(region) / 256)) + min(3, len(region) // 64)
    starts = np.argwhere(room >= min(1.8, room.max()))
    for start in rng.permutation(starts)[:strokes]:
        brush = min(room[tuple(start)], rng.uniform(2.0, 5.0))
        for y, x in _stroke(room, start, brush, rng):
            _dab(labels, y, x, brush, value)


def _stroke(
    room: NDArray[np.float64], start: NDArray[np.int64], brush: float, rng: np.random.Generator
) -> list[tuple[float, float]]:
    """Points of a curved path along which the brush stays inside."""
    y, x = map(float, start)
    heading, turn = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.06)
    points = [(y, x)]
    for _ in range(int(rng.uniform(6, 26))):
        y, x = y + np.sin(heading), x + np.cos(heading)
        row, column = round(y), round(x)
        if not (0 <= row < room.shape[0] and 0 <= column < room.shape[1]) or room[row, column] < brush:
            break
        points.append((float(row), float(column)))
        turn += rng.normal(0, 0.03)
        heading += turn
    return points


def _dab(labels: Bytes, y: float, x: float, brush: float, value: int) -> None:
    low_y, low_x = max(0, int(y - brush)), max(0, int(x - brush))
    part = labels[low_y : int(y + brush) + 2, low_x : int(x + brush) + 2]
    rows, columns = np.ogrid[low_y : low_y + part.shape[0], low_x : low_x + part.shape[1]]
    part[(rows - y) ** 2 + (columns - x) ** 2 < brush**2] = value
