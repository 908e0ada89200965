"""Painted volumes: labels as they come in a file, checked, copied slice by slice and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

from mlex_jupyter.data.volume import Volume
from mlex_jupyter.errors import Invalid
from mlex_jupyter.types import Dataset

HIGHEST = 255


def check_labels(volume: Volume, dataset: Dataset) -> None:
    """Invalid where these cannot be labels of this dataset: integers, one for each of its z, y and x."""
    lengths = dict(zip(dataset.axes, dataset.shape, strict=True))
    wanted = (lengths.get("z", 1), lengths["y"], lengths["x"])
    slices, channels, rows, columns = volume.shape_ZCYX
    if channels != 1 or (slices, rows, columns) != wanted:
        raise Invalid(
            f"The labels have the shape {volume.shape} ({volume.axes}), and the dataset {dataset.name!r} has "
            f"{wanted} (zyx): they must be the same.",
            hint="Labels have one value for each pixel of the dataset, without channels.",
        )
    if volume.dtype.kind not in "bui":
        raise Invalid(f"The labels are {volume.dtype.name}; labels are whole numbers.", hint="Save them as uint8.")


def create(place: Path, shape: tuple[int, int, int]) -> Any:
    """An empty zarr of uint8, a chunk a slice; slices without labels take no room."""
    import zarr
    from zarr.codecs import ZstdCodec

    return zarr.create_array(
        place,
        shape=shape,
        chunks=(1, *shape[1:]),
        dtype="uint8",
        compressors=ZstdCodec(level=1),
        fill_value=0,
        dimension_names=("z", "y", "x"),
        config={"write_empty_chunks": False},
    )


def copy_labels(volume: Volume, place: Path) -> Generator[dict[str, int], None, Counter[tuple[int, int]]]:
    """Write labels as a zarr of uint8, and count the pixels of each (z, value) above 0; says each slice it has done."""
    import numpy as np

    slices, _, rows, columns = volume.shape_ZCYX
    out = create(place, (slices, rows, columns))
    painted: Counter[tuple[int, int]] = Counter()
    for z in range(slices):
        labels_YX = volume.slice_CYX(z)[0]
        if (low := int(labels_YX.min())) < 0 or (high := int(labels_YX.max())) > HIGHEST:
            raise Invalid(
                f"Slice {z} has the label {low if low < 0 else high}; labels are 0 (unlabelled) to {HIGHEST}.",
                hint="Number the classes from 1 on.",
            )
        if high:
            out[z] = labels_YX.astype(np.uint8)
            counts = np.bincount(labels_YX.ravel().astype(np.uint8), minlength=HIGHEST + 1)
            painted.update({(z, int(value)): int(counts[value]) for value in np.flatnonzero(counts[1:]) + 1})
        yield {"done": z + 1, "of": slices}
    return painted
