"""Pictures of a slice: the labels at the left, the prediction at the right, in class colours over the grey image."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlex_jupyter.files import write_whole
from mlex_jupyter.types import ClassInfo

Bytes = NDArray[np.uint8]
GAP = 4
WIDTH, KEPT = 512, 40


def picture(
    image_YX: NDArray[np.float32], labels: Bytes, found: Bytes, classes: Sequence[ClassInfo], width: int = 512
) -> bytes:
    """A PNG of at most this width; labels and prediction are class values, 0 is nothing."""
    grey = _grey(image_YX)
    panel = (width - GAP) // 2
    scale = panel / max(grey.shape)
    size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
    left = _panel(_coloured(grey, labels, classes, 0.78), size)
    right = _panel(_coloured(grey, found, classes, 0.5), size)
    both = Image.new("RGB", (2 * size[0] + GAP, size[1]), (17, 17, 17))
    both.paste(left, (0, 0))
    both.paste(right, (size[0] + GAP, 0))
    out = io.BytesIO()
    both.save(out, "PNG", compress_level=3)  # a tenth larger than the smallest, in a tenth of the time
    return out.getvalue()


def preview(folder: Path, z: int, raw_YX: NDArray[Any], found: Bytes, classes: Sequence[ClassInfo]) -> str:
    """Draw a slice as it is and as it was segmented, as the picture of a job; of earlier ones the newest stay."""
    place = folder / "pictures" / f"slice-{z:05d}.png"
    place.parent.mkdir(exist_ok=True)
    step = max(1, max(found.shape) // WIDTH)
    small = found[::step, ::step]
    drawn = picture(raw_YX[::step, ::step].astype(np.float32), np.zeros_like(small), small, classes, WIDTH)
    write_whole(place, drawn, durable=False)
    write_whole(folder / "picture.png", drawn, durable=False)
    for old in sorted(place.parent.glob("slice-*.png"), key=lambda one: one.stat().st_mtime)[:-KEPT]:
        old.unlink()
    return f"pictures/{place.name}"


def _grey(image_YX: NDArray[np.float32]) -> Bytes:
    low, high = np.percentile(image_YX, (0.5, 99.7))
    return np.asarray(np.clip((image_YX - low) / max(high - low, 1e-6) * 255, 0, 255), np.uint8)


def _coloured(grey: Bytes, values: Bytes, classes: Sequence[ClassInfo], strength: float) -> Bytes:
    """Colours laid over the grey, and drawn fully along the edges between classes."""
    palette = np.zeros((256, 3), np.float32)
    for one in classes:
        palette[one.value] = [int(one.color[at : at + 2], 16) for at in (1, 3, 5)]
    share = np.where(values > 0, np.float32(strength), np.float32(0))
    share[_edges(values) & (values > 0)] = 0.92
    mixed = grey[..., None] * (1 - share[..., None]) + palette[values] * share[..., None]
    return np.asarray(mixed.round(), np.uint8)


def _edges(values: Bytes) -> NDArray[np.bool_]:
    edges = np.zeros(values.shape, bool)
    edges[:-1] |= values[:-1] != values[1:]
    edges[:, :-1] |= values[:, :-1] != values[:, 1:]
    return edges


def _panel(pixels: Bytes, size: tuple[int, int]) -> Image.Image:
    image = Image.fromarray(pixels)
    if image.size == size:
        return image
    return image.resize(size, Image.Resampling.LANCZOS if size[0] < image.size[0] else Image.Resampling.NEAREST)
