"""Pictures: one slice as a small PNG, grey for a volume and in class colours for a segmentation."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlex_jupyter.data.pyramid import SMALL, cost, level_for
from mlex_jupyter.data.shelf import Shelf
from mlex_jupyter.data.volume import SPACE, Empty, Volume
from mlex_jupyter.errors import Invalid
from mlex_jupyter.types import ClassInfo, Dataset, LabelSet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LARGEST = 4096
CONTRAST_PERCENTILES = (0.5, 99.5)
UNLABELLED = (24, 24, 24)
OVERLAY_STRENGTH = 0.6


def slice_png(
    dataset: Dataset,
    *,
    axis: int = 0,
    index: int | None = None,
    size: int = 512,
    overlay: LabelSet | None = None,
    pyramid: Path | None = None,
    shelf: Shelf | None = None,
) -> bytes:
    """A slice across z, y or x (axis 0, 1, 2), the middle one by default, no side longer than `size` pixels.

    Of several channels the first is shown. Only a slice is read, though across y or x that touches every chunk.
    """
    with contextlib.closing(Shelf()) as own:
        shelf = shelf or own
        values, place, level = shown_plane(dataset, axis, index, size, pyramid, shelf)
        if dataset.classes:
            return _png(_colors(dataset.classes)[as_labels(values)], size, smooth=False)
        grey = _grey(values)
        if overlay is None:
            return _png(grey, size, smooth=True)
        labels = as_labels(_plane(shelf.path(overlay.uri, "zyx"), axis, place, size, 2**level))
        return _png(_over(grey, labels, overlay.classes), size, smooth=False)


def shown_plane(
    dataset: Dataset, axis: int, index: int | None, size: int, pyramid: Path | None, shelf: Shelf
) -> tuple[NDArray[Any], int, int]:
    """A slice as coarse as it is shown, its index, and the level of the pyramid that it is from."""
    if not 1 <= size <= LARGEST:
        raise Invalid(f"A picture cannot have {size} pixels.", hint=f"Say a size from 1 to {LARGEST}.")
    volume = shelf.dataset(dataset)
    place = _place(volume, dataset, axis, index)
    level = _level(pyramid, volume, axis, size) if pyramid else 0
    if not (pyramid and level):
        return _plane(volume, axis, place, size), place, 0
    coarse = shelf.path(str(pyramid / str(level)), SPACE)
    return _plane(coarse, axis, min(place >> level, _depth(coarse, axis) - 1), size), place, level


def whole_plane(
    dataset: Dataset, axis: int, index: int | None, shelf: Shelf, empty: Empty | None = None
) -> NDArray[Any]:
    """All values of a slice across z, y or x, as they are; of several channels the first."""
    import numpy as np

    volume = shelf.dataset(dataset)
    return np.ascontiguousarray(_plane(volume, axis, _place(volume, dataset, axis, index), empty=empty))


def _place(volume: Volume, dataset: Dataset, axis: int, index: int | None) -> int:
    """The index of the slice that is meant, the middle one where none is said."""
    depth = _depth(volume, axis)
    place = depth // 2 if index is None else index
    if not 0 <= place < depth:
        raise Invalid(f"{dataset.name} has no slice {place} there.", hint=f"Say an index from 0 to {depth - 1}.")
    return place


def _depth(volume: Volume, axis: int) -> int:
    z, _, y, x = volume.shape_ZCYX
    if not 0 <= axis <= 2:
        raise Invalid(f"There is no axis {axis} to cut across.", hint="Say 0 for z, 1 for y, 2 for x.")
    return (z, y, x)[axis]


def _level(pyramid: Path, volume: Volume, axis: int, size: int) -> int:
    """The level of the display pyramid to show; 0 where the volume itself is quick."""
    if cost(volume.shape, volume.chunks, volume.axes, volume.dtype.itemsize, SPACE[axis]) <= SMALL:
        return 0
    depth, _, rows, columns = volume.shape_ZCYX
    return level_for(pyramid, (depth, rows, columns), axis, size)


def _plane(
    volume: Volume, axis: int, place: int, size: int | None = None, step: int = 1, empty: Empty | None = None
) -> NDArray[Any]:
    """The values of a slice, in the order of z, y, x; every n-th where there are many more than the size shown."""
    depths = dict(zip(SPACE, (volume.shape_ZCYX[0], *volume.shape_ZCYX[2:]), strict=True))
    across = SPACE[axis]
    shown = [letter for letter in SPACE if letter != across]
    step = max(step, max(depths[letter] for letter in shown) // (2 * size)) if size else step
    cut = {letter: slice(None, None, step) for letter in shown} | {across: slice(place, place + 1), "c": slice(0, 1)}
    piece = volume.read(tuple(cut[letter] for letter in volume.axes), empty)
    kept = [letter for letter in volume.axes if letter not in (across, "c")]
    flat = piece[tuple(slice(None) if letter in kept else 0 for letter in volume.axes)]
    plane: NDArray[Any] = flat.transpose([kept.index(letter) for letter in shown if letter in kept])
    return plane if plane.ndim == len(shown) else plane[None]  # a picture cut across y or x is one row


def _grey(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey from black to white between the percentiles; what is not a number is black."""
    import numpy as np

    low, high = contrast(values)
    scaled = (np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low) - low) / ((high - low) or 1.0)
    return np.asarray((np.clip(scaled, 0, 1) * 255).round(), np.uint8)


def contrast(values: NDArray[Any]) -> tuple[float, float]:
    """The values that are shown black and white."""
    import numpy as np

    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, CONTRAST_PERCENTILES)
    if high <= low:  # next to nothing differs from the rest: then the extremes say more
        low, high = finite.min(), finite.max()
    return float(low), float(high)


def as_labels(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Values of classes; those that cannot be are the nearest that can."""
    import numpy as np

    return np.asarray(np.clip(values, 0, 255), np.uint8)


def _colors(classes: Sequence[ClassInfo]) -> NDArray[np.uint8]:
    """A colour for each of 256 values."""
    import numpy as np

    table = np.full((256, 3), UNLABELLED, np.uint8)
    for found in classes:
        table[found.value] = tuple(bytes.fromhex(found.color[1:]))
    return table


def _over(grey: NDArray[np.uint8], labels: NDArray[np.uint8], classes: Sequence[ClassInfo]) -> NDArray[np.uint8]:
    """The labels' colours laid thinly over the grey."""
    import numpy as np

    strength = np.where(labels > 0, OVERLAY_STRENGTH, 0.0)[..., None]
    mixed = grey[..., None] * (1 - strength) + _colors(classes)[labels] * strength
    return np.asarray(mixed.round(), np.uint8)


def _png(pixels: NDArray[np.uint8], size: int, *, smooth: bool) -> bytes:
    """A PNG no larger than asked; classes are never mixed."""
    from PIL import Image

    picture = Image.fromarray(pixels)
    if (longest := max(picture.size)) > size:
        width, height = (max(1, round(side * size / longest)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BOX if smooth else Image.Resampling.NEAREST)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
