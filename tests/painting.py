"""Painting for tests: strokes from plain arrays, and a draft read back as one array."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlex_jupyter.app import Mlex
from mlex_jupyter.types import LabelSlice, Patch, Stroke

Bytes = NDArray[np.uint8]


def runs(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    """So many not set, so many set, and so on, row by row."""
    flat = np.concatenate([[False], mask.reshape(-1), [not mask.reshape(-1)[-1]]])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    return tuple(int(length) for length in np.diff(np.concatenate([[0], ends])))


def packed(values: Bytes) -> str:
    return base64.b64encode(zlib.compress(values.tobytes())).decode()


def patch(
    z: int, y: int, x: int, height: int, width: int, value: int, mask: NDArray[np.bool_] | None = None, axis: int = 0
) -> Patch:
    place = {"axis": axis, "index": z, "row": y, "column": x, "height": height, "width": width}
    return Patch(**place, value=value, runs=None if mask is None else runs(mask))


def stroke(*patches: Patch, as_of: int = 1 << 40, **more: Any) -> Stroke:
    """Painted over whatever is there, unless it is said what was seen."""
    return Stroke(patches=patches, as_of=as_of, **more)


def plane(found: LabelSlice) -> Bytes:
    """A slice as the screen puts it together."""
    out = np.zeros((found.height, found.width), np.uint8)
    for block in found.blocks:
        part = out[block.row * found.tile :, block.column * found.tile :][: found.tile, : found.tile]
        part[:] = np.frombuffer(zlib.decompress(base64.b64decode(block.values)), np.uint8).reshape(part.shape)
    return out


async def whole(mlex: Mlex, data: str, name: str, version: int | None = None) -> Bytes:
    """All of a draft, or of a version."""
    depth = (await mlex.draft(data, name)).shape[0]
    return np.stack([plane(await mlex.label_slice(data, name, index=z, version=version)) for z in range(depth)])
