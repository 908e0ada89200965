"""Two versions beside each other: what was labelled more and less, on which slices, and as a picture.

A slice that did not change is one file under two names, so that only the others are read.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlex_jupyter.errors import Invalid
from mlex_jupyter.labels.bases import chunk, holds, plane
from mlex_jupyter.types import ClassChange, ClassInfo, LabelComparison, LabelSet

if TYPE_CHECKING:
    from mlex_jupyter.labels.tiles import Bytes

LARGEST = 4096
GROUND, REMOVED = 24, (255, 255, 255)
"""Where nothing is labelled, and where nothing is labelled any more."""
FAINT = 0.35
"""How strong the labels are that both have."""


def compare(before: LabelSet, after: LabelSet, shape: tuple[int, int, int]) -> LabelComparison:
    """What differs, from one version to another."""
    pairs = np.zeros((256, 256), np.int64)
    """Pixels by their value before and after."""
    slices = []
    for z in sorted({*before.slices, *after.slices}):
        if _same(Path(before.uri), Path(after.uri), z):
            continue
        then, now = (_plane(Path(one.uri), z, shape) for one in (before, after))
        differs = then != now
        if differs.any():
            slices.append(z)
            codes = then[differs].astype(np.int64) * 256 + now[differs]
            pairs += np.bincount(codes, minlength=1 << 16).reshape(256, 256)
    names = {one.value: one.name for one in (*before.classes, *after.classes)}
    return LabelComparison(
        name=after.name,
        dataset=after.dataset,
        version=before.version,
        other=after.version,
        classes=tuple(
            ClassChange(name=name, value=value, added=int(pairs[:, value].sum()), removed=int(pairs[value].sum()))
            for value, name in sorted(names.items())
        ),
        added=int(pairs[0].sum()),
        removed=int(pairs[:, 0].sum()),
        changed=int(pairs[1:, 1:].sum()),
        slices=tuple(slices),
    )


def difference_png(before: LabelSet, after: LabelSet, shape: tuple[int, int, int], z: int, size: int) -> bytes:
    """A slice: what is new in its class's colour, what is gone in white, what both have faintly."""
    if not 0 <= z < shape[0]:
        raise Invalid(f"There is no slice {z} there.", hint=f"Say an index from 0 to {shape[0] - 1}.")
    if not 1 <= size <= LARGEST:
        raise Invalid(f"A picture cannot have {size} pixels.", hint=f"Say a size from 1 to {LARGEST}.")
    then, now = (_plane(Path(one.uri), z, shape) for one in (before, after))
    colours = _colours((*before.classes, *after.classes))
    faint = (GROUND + (colours - GROUND) * FAINT).astype(np.uint8)
    picture = np.where((then == now)[..., None], faint[now], colours.astype(np.uint8)[now])
    picture[(now == 0) & (then != 0)] = REMOVED
    return _png(picture.astype(np.uint8), size)


def _same(before: Path, after: Path, z: int) -> bool:
    if not (holds(before, z) and holds(after, z)):
        return not holds(before, z) and not holds(after, z)
    return chunk(before, z).samefile(chunk(after, z))


def _plane(place: Path, z: int, shape: tuple[int, int, int]) -> Bytes:
    return plane(place, z) if holds(place, z) else np.zeros(shape[1:], np.uint8)


def _colours(classes: tuple[ClassInfo, ...]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    table = np.full((256, 3), float(GROUND))
    for one in classes:
        table[one.value] = tuple(bytes.fromhex(one.color[1:]))
    return table


def _png(pixels: Bytes, size: int) -> bytes:
    from PIL import Image

    picture = Image.fromarray(pixels)
    if (longest := max(picture.size)) > size:
        width, height = (max(1, round(side * size / longest)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.NEAREST)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
