"""Grey values as a network sees them: one scale for the whole volume, fitted once, used in training and prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlex_jupyter.data.volume import Volume
from mlex_jupyter.errors import Invalid
from mlex_jupyter.types import Preprocessing

Floats = NDArray[np.float32]
SLICES, PIXELS = 16, 65_536


def fit(volume: Volume) -> Preprocessing:
    """From some pixels of some slices: the median becomes 0, and nearly all lie between -2 and 2."""
    depth = volume.shape_ZCYX[0]
    places = np.unique(np.linspace(0, depth - 1, min(depth, SLICES)).round().astype(int))
    values = np.concatenate([_some(checked(volume.slice_CYX(int(z)), int(z))) for z in places])
    low, middle, high = np.percentile(values, (1, 50, 99))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    if high <= low:
        raise Invalid(
            f"The volume has one value everywhere, {values[0]:g}.", hint="Look at it: is it the file that you meant?"
        )
    return Preprocessing(offset=float(middle), scale=float(high - low) / 4)


def normalised(slice_CYX: NDArray[Any], how: Preprocessing) -> Floats:
    """The slice as float32, scaled and clipped."""
    scaled = (slice_CYX.astype(np.float32) - np.float32(how.offset)) / np.float32(how.scale)
    return np.clip(scaled, *how.clip, out=scaled)


def seen(volume: Volume, z: int, how: Preprocessing, neighbours: int = 0) -> Floats:
    """What a network sees of a slice: its channels, and those of its neighbours, the topmost first."""
    zs = seen_with(z, neighbours, volume.shape_ZCYX[0])
    read = {near: normalised(checked(volume.slice_CYX(near), near), how) for near in set(zs)}
    return np.concatenate([read[near] for near in zs]) if neighbours else read[z]


def seen_with(z: int, neighbours: int, depth: int) -> list[int]:
    """The slices that a network sees at once; at the ends of a volume the outermost is seen again."""
    return [min(max(near, 0), depth - 1) for near in range(z - neighbours, z + neighbours + 1)]


def checked(slice_CYX: NDArray[Any], z: int) -> NDArray[Any]:
    """The slice, where all of its values are numbers."""
    if slice_CYX.dtype.kind == "f" and not np.isfinite(slice_CYX).all():
        raise Invalid(
            f"Slice {z} of the volume has values that are not numbers.",
            hint="Replace NaN and infinity, for example by the lowest value, and register the volume again.",
        )
    return slice_CYX


def _some(slice_CYX: NDArray[Any]) -> NDArray[np.float64]:
    flat = slice_CYX.reshape(-1)
    return flat[:: max(1, flat.size // PIXELS)].astype(np.float64)
