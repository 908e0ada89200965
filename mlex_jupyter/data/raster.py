"""Raster: a slice as numbers, one or two bytes a pixel, which a screen colours by itself while the contrast is moved.

    {"height": 512, "width": 512, "bits": 16, "low": -0.2, "high": 3.1, "dark": 0.1, "bright": 2.4}
    <newline, then the pixels row by row, the lowest byte first>

A pixel of 0 has the value `low`, the largest one `high`; `dark` and `bright` are a good contrast to begin with.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlex_jupyter.data.pictures import as_labels, contrast, shown_plane
from mlex_jupyter.data.shelf import Shelf
from mlex_jupyter.types import Dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOOKED_AT = 1 << 16
"""Of so many pixels the contrast is found."""


def raster(
    dataset: Dataset, axis: int, index: int | None, size: int, pyramid: Path | None, shelf: Shelf
) -> tuple[dict[str, Any], bytes]:
    """What is said of the pixels, and the pixels; no side is much longer than `size`."""
    values, _, _ = shown_plane(dataset, axis, index, size, pyramid, shelf)
    if dataset.classes:
        values = as_labels(values)
    codes, low, high = _coded(values)
    dark, bright = contrast(values.reshape(-1)[:: max(1, values.size // LOOKED_AT)])
    height, width = codes.shape
    said = {"height": height, "width": width, "bits": 8 * codes.itemsize}
    return said | {"low": low, "high": high, "dark": dark, "bright": bright}, codes.tobytes()


def _coded(values: NDArray[Any]) -> tuple[NDArray[Any], float, float]:
    """Numbers of one byte or two as they are; others between the least and the largest. What is no number is 0."""
    import numpy as np

    if values.dtype in (np.uint8, np.bool_):
        return values.astype(np.uint8, copy=False), 0.0, 255.0
    if values.dtype == np.uint16:
        return values.astype("<u2", copy=False), 0.0, 65535.0
    wide = values.astype(np.float64)
    finite = np.isfinite(wide)
    low, high = (float(wide[finite].min()), float(wide[finite].max())) if finite.any() else (0.0, 0.0)
    span = (high - low) or 1.0
    part = np.where(finite, wide - low, 0.0) / span
    return np.asarray((np.clip(part, 0, 1) * 65535).round(), "<u2"), low, low + span
