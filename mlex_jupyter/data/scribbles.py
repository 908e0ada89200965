"""Scribbles as a person paints them: broad strokes inside of what they mark, thin ones along its boundary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Bytes = NDArray[np.uint8]
Distances = NDArray[np.float64]
AT = (0.17, 0.5, 0.8)
TURNS = (0.0, -0.25, 0.25, -0.5, 0.5, -0.8, 0.8)
"""How a stroke along a boundary may turn from one point to the next; straight on is best."""


@dataclass(frozen=True)
class Brush:
    """A way to paint; distances are from the boundary of what is marked, all in pixels."""

    radius: tuple[float, float]
    starts: tuple[float, float]
    follows: float | None
    """The distance that its strokes keep, where they follow the boundary."""
    least: int
    """Strokes of a class that hardly occurs on a small slice; `more` of them where it is all over a large one."""
    more: int


BROAD = Brush(radius=(2.0, 4.5), starts=(1.8, np.inf), follows=None, least=4, more=36)
THIN = Brush(radius=(1.5, 1.5), starts=(1.5, 2.5), follows=2.0, least=6, more=36)


def scribble(truth: Bytes, classes: int, rng: np.random.Generator) -> Bytes:
    """Paint some strokes of every class on three slices; everything else stays 0."""
    labels = np.zeros_like(truth)
    for z in sorted({int(part * len(truth)) for part in AT}):
        for value in range(1, classes + 1):
            region = truth[z] == value
            if region.any():
                _paint(labels[z], region, value, rng)
    return labels


def _paint(labels: Bytes, region: NDArray[np.bool_], value: int, rng: np.random.Generator) -> None:
    room = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    for brush in (BROAD, THIN):
        low, high = brush.starts
        starts = np.argwhere((room >= min(low, room.max())) & (room <= high))
        strokes = brush.least + round(brush.more * region.mean() * min(1.0, len(region) / 256))
        for y, x in starts[rng.permutation(len(starts))[:strokes]].tolist():
            radius = min(rng.uniform(*brush.radius), room[y, x])
            for place in _stroke(room, (y, x), radius, brush.follows, rng):
                _dab(labels, place, radius, value)


def _stroke(
    room: Distances, start: tuple[int, int], radius: float, follows: float | None, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Points of a curved path along which the brush stays inside."""
    y, x = map(float, start)
    heading, turn = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.06)
    points = [start]
    for _ in range(int(rng.uniform(6, 26))):
        if follows is not None:
            turn = min(TURNS, key=lambda turn: abs(_at(room, y, x, heading + turn) - follows))
        heading += turn
        if _at(room, y, x, heading) < radius:
            break
        y, x = y + np.sin(heading), x + np.cos(heading)
        points.append((round(y), round(x)))
        turn += rng.normal(0, 0.03)
    return points


def _at(room: Distances, y: float, x: float, heading: float) -> float:
    """How far from the boundary the next point in this direction is; 0 outside of the slice."""
    row, column = round(y + np.sin(heading)), round(x + np.cos(heading))
    if not (0 <= row < room.shape[0] and 0 <= column < room.shape[1]):
        return 0.0
    return float(room[row, column])


def _dab(labels: Bytes, place: tuple[int, int], radius: float, value: int) -> None:
    y, x = place
    low_y, low_x = max(0, int(y - radius)), max(0, int(x - radius))
    part = labels[low_y : int(y + radius) + 2, low_x : int(x + radius) + 2]
    rows, columns = np.ogrid[low_y : low_y + part.shape[0], low_x : low_x + part.shape[1]]
    part[np.hypot(rows - y, columns - x) < radius - 1e-6] = value  # or rounding would paint across a boundary
