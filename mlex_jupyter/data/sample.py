"""A synthetic tomogram with its truth, and with the scribbles that a person might have painted on three slices.

It is a problem, not a toy. Two phases have the same mean grey value and differ by texture only; specks of the
textured one are as dark as the pores and as bright as the heavy minerals; rings, cupping, correlated noise and a
drift along z do the rest. Thresholds and classifiers that look at one pixel fail on it, a network that sees
neighbourhoods does not. What lies around the sample is air, and counts as pore.

    sand   angular grains, some of them heavy minerals, in air, partly bound by a speckled binder
    foam   bubbles in a polymer, with clouds of a speckled filler and a few metal particles
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from mlex_jupyter.data.bodies import phases
from mlex_jupyter.data.recipes import RECIPES
from mlex_jupyter.data.scanner import attenuation, scan
from mlex_jupyter.data.scribbles import scribble
from mlex_jupyter.errors import Conflict, Invalid, nearest
from mlex_jupyter.files import sync_folder
from mlex_jupyter.types import ClassInfo

Bytes = NDArray[np.uint8]

PALETTE = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7")


@dataclass(frozen=True)
class Sample:
    """A volume with everything that is known about it; all three arrays are z, y, x."""

    volume: Bytes
    truth: Bytes
    """The class of every voxel, 1 to K."""
    scribbles: Bytes
    """0 is unlabelled."""
    classes: tuple[ClassInfo, ...]


def make_sample(*, size: int = 256, slices: int = 64, seed: int = 7, texture: str = "sand") -> Sample:
    """Make a tomogram of `slices` × `size` × `size` voxels; the same arguments make the same one."""
    if texture not in RECIPES:
        hint = nearest(texture, RECIPES) or f"There are: {', '.join(RECIPES)}."
        raise Invalid(f"No texture {texture!r} for a sample.", hint=hint)
    if not (32 <= size <= 4096 and 1 <= slices <= 4096 and seed >= 0):
        raise Invalid("A sample has 32 to 4096 pixels a side and 1 to 4096 slices, and its seed is not negative.")
    recipe = RECIPES[texture]
    rng = np.random.default_rng([seed, len(texture)])
    shape = (slices, size, size)
    truth, shade = phases(recipe, shape, rng)
    volume = scan(attenuation(recipe, truth, shade, rng), rng)
    classes = classes_of(texture)
    return Sample(volume, truth, scribble(truth, len(classes), rng), classes)


def classes_of(texture: str) -> tuple[ClassInfo, ...]:
    """What the values of a texture's ground truth mean."""
    named = zip(RECIPES[texture].names, PALETTE, strict=True)
    return tuple(ClassInfo(value=value, name=name, color=color) for value, (name, color) in enumerate(named, start=1))


def write_sample(folder: Path, sample: Sample) -> dict[str, Path]:
    """Write a sample as three zarr arrays into a folder that appears whole, and must not exist yet."""
    if folder.exists():
        raise Conflict(f"{folder.name} is there already.", hint="Choose another name, or use the one that is there.")
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    arrays = {"volume": sample.volume, "truth": sample.truth, "scribbles": sample.scribbles}
    try:
        for name, array in arrays.items():
            _write_zarr(beside / f"{name}.zarr", array)
        for file in beside.rglob("*"):
            _sync(file)
        sync_folder(beside)
        os.rename(beside, folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    sync_folder(folder.parent)
    return {name: folder / f"{name}.zarr" for name in arrays}


def _write_zarr(path: Path, array: Bytes) -> None:
    chunks = (1, *array.shape[1:])
    made = zarr.create_array(
        path,
        shape=array.shape,
        chunks=chunks,
        dtype=array.dtype,
        compressors=ZstdCodec(level=1),
        fill_value=0,
        dimension_names=("z", "y", "x"),
        config={"write_empty_chunks": False},
    )
    made[:] = array


def _sync(path: Path) -> None:
    if path.is_dir():
        sync_folder(path)
        return
    with path.open("rb") as file:
        os.fsync(file.fileno())
