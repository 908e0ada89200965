"""Outlines: masks as polygons along the edges of their pixels, and back, exactly.

Coordinates are x, y; the pixel in row r and column c reaches from (c, r) to (c + 1, r + 1). An outline runs with its
pixels on the right, so holes run the other way round, and a pixel is inside where the rings wind around its centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Point = tuple[int, int]
RIGHT_FIRST: dict[Point, tuple[Point, ...]] = {(1, 0): ((0, 1), (1, 0), (0, -1)), (0, 1): ((-1, 0), (0, 1), (1, 0))}
RIGHT_FIRST |= {(-dx, -dy): tuple((-x, -y) for x, y in ways) for (dx, dy), ways in [*RIGHT_FIRST.items()]}
"""Where an outline may go on, by where it comes from: to the right first, so that it stays with its pixel."""


def outlines(mask: NDArray[np.bool_]) -> list[list[Point]]:
    """The rings around all that is set; corners only."""
    ways = _edges(mask)
    rings = []
    while ways:
        at = next(iter(ways))
        way = next(iter(ways[at]))
        ring, begun = list[Point](), (at, way)
        while True:
            ways[at].remove(way)
            if not ways[at]:
                del ways[at]
            at = at[0] + way[0], at[1] + way[1]
            # Where two rings touch in a corner both ways are open; the one to the right belongs to this ring.
            following = next(one for one in RIGHT_FIRST[way] if one in ways.get(at, ()) or (at, one) == begun)
            if following != way:
                ring.append(at)
            if (at, following) == begun:
                break
            way = following
        rings.append(ring)
    return rings


def _edges(mask: NDArray[np.bool_]) -> dict[Point, set[Point]]:
    """The sides between what is set and what is not: where each begins, and which way it goes."""
    import numpy as np

    wide = np.pad(mask, 1)
    inside = wide[1:-1, 1:-1]
    sides = {
        (1, 0): (inside & ~wide[:-2, 1:-1], 0, 0),
        (0, 1): (inside & ~wide[1:-1, 2:], 1, 0),
        (-1, 0): (inside & ~wide[2:, 1:-1], 1, 1),
        (0, -1): (inside & ~wide[1:-1, :-2], 0, 1),
    }
    found: dict[Point, set[Point]] = {}
    for way, (side, right, down) in sides.items():
        for row, column in np.argwhere(side).tolist():
            found.setdefault((column + right, row + down), set()).add(way)
    return found


def filled(rings: Sequence[NDArray[np.float64]], height: int, width: int) -> NDArray[np.bool_]:
    """The pixels whose centres the rings wind around."""
    import numpy as np

    winding = np.zeros((height, width + 1), np.int32)
    for ring in rings:
        ends = np.roll(ring, -1, axis=0)
        for (x0, y0), (x1, y1) in zip(ring, ends, strict=True):
            if y0 == y1:
                continue
            low, high = sorted((y0, y1))
            first, last = max(0, int(np.ceil(low - 0.5))), min(height, int(np.ceil(high - 0.5)))
            if first >= last:
                continue
            rows = np.arange(first, last)
            across = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
            columns = np.clip(np.ceil(across - 0.5), 0, width).astype(np.int64)
            winding[rows, columns] += 1 if y1 > y0 else -1
    found: NDArray[np.bool_] = np.cumsum(winding[:, :width], axis=1) != 0
    return found
