"""Random fields, rough and smooth, and the round field of view of a tomogram."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]


def inside(size: int) -> NDArray[np.bool_]:
    """The round field of view."""
    middle = (size - 1) / 2
    y, x = np.ogrid[:size, :size]
    return np.asarray((y - middle) ** 2 + (x - middle) ** 2 < (0.485 * size) ** 2)


def noise(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> Floats:
    """Correlated noise of unit deviation."""
    noise = rng.standard_normal(shape, np.float32)
    noise = ndimage.gaussian_filter(noise, (sigma * 0.8, sigma, sigma), mode="wrap")
    noise /= noise.std()
    return np.asarray(noise)


def smooth_field(shape: tuple[int, int, int], length: float, rng: np.random.Generator) -> Floats:
    """A field that changes over about `length` voxels, made on a coarse grid."""
    step = max(1, int(length // 4))
    coarse = tuple(n // step + 5 for n in shape)
    field: Any = ndimage.gaussian_filter(rng.standard_normal(coarse, np.float32), length / step / 2)
    for axis, n in enumerate(shape):
        at = np.arange(n) / step + 2
        low = at.astype(int)
        part = (at - low).astype(np.float32)
        part = part.reshape([-1 if a == axis else 1 for a in range(3)])
        field = np.take(field, low, axis) * (1 - part) + np.take(field, low + 1, axis) * part
    return np.asarray(field, np.float32)
