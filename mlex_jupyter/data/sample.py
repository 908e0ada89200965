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
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from scipy import ndimage
from zarr.codecs import ZstdCodec

from mlex_jupyter.data.scribbles import scribble
from mlex_jupyter.errors import Conflict, Invalid, nearest
from mlex_jupyter.files import sync_folder
from mlex_jupyter.types import ClassInfo

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

PALETTE = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7")
LAMELLAE = 6.5
"""Voxels from one lamella of a rare body to the next."""


@dataclass(frozen=True)
class Sample:
    """A volume with everything that is known about it; all three arrays are z, y, x."""

    volume: Bytes
    truth: Bytes
    """The class of every voxel, 1 to K."""
    scribbles: Bytes
    """0 is unlabelled."""
    classes: tuple[ClassInfo, ...]


@dataclass(frozen=True)
class Recipe:
    """What a texture is made of. Values are the classes': 1 is always the pore, 4 the rare bright one."""

    names: tuple[str, str, str, str]
    grey: tuple[float, float, float, float]
    background: int
    """What is there before anything is put in."""
    bodies: int
    """The class of the bodies, apart from the rare ones."""
    radius: tuple[float, float]
    """Of the bodies, in voxels, at most and at least."""
    filled: float
    """How much of the volume the bodies shall take."""
    facets: int
    """Few make angular bodies, many make round ones."""
    rare: float
    """The share of the bodies' volume that the rare ones have."""
    clouds: float
    """The share of the background that is speckled, class 3."""


RECIPES = {
    "sand": Recipe(
        names=("Pore", "Grain", "Binder", "Heavy mineral"),
        grey=(0.13, 0.52, 0.52, 0.6),
        background=1,
        bodies=2,
        radius=(32.0, 13.0),
        filled=0.56,
        facets=13,
        rare=0.19,
        clouds=0.58,
    ),
    "foam": Recipe(
        names=("Bubble", "Polymer", "Filler", "Metal"),
        grey=(0.13, 0.52, 0.52, 0.6),
        background=2,
        bodies=1,
        radius=(30.0, 12.0),
        filled=0.55,
        facets=40,
        rare=0.18,
        clouds=0.58,
    ),
}


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
    truth, shade = _phases(recipe, shape, rng)
    volume = _scan(_attenuation(recipe, truth, shade, rng), rng)
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


# ---------------------------------------------------------------- what is there


def _phases(recipe: Recipe, shape: tuple[int, int, int], rng: np.random.Generator) -> tuple[Bytes, Floats]:
    """The class of every voxel, and how much brighter than its class each body is."""
    truth = np.full(shape, recipe.background, np.uint8)
    clouds = _smooth_field(shape, 36.0, rng)
    truth[clouds > np.quantile(clouds[:: max(1, shape[0] // 16)], 1 - recipe.clouds)] = 3
    shade = np.zeros(shape, np.float32)
    closest = np.ones(shape, np.float32)
    centers, radii = _places(recipe, shape, rng)
    kinds = np.full(len(radii), recipe.bodies, np.uint8)
    kinds[_rare(recipe, centers, radii, shape, rng)] = 4
    for center, radius, kind in zip(centers, radii, kinds, strict=True):
        _put(truth, shade, closest, center, radius, int(kind), recipe.facets, rng)
    outside = ~_inside(shape[1])
    truth[:, outside] = 1
    shade[:, outside] = 0
    return truth, shade


def _places(
    recipe: Recipe, shape: tuple[int, int, int], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres and radii, the large ones first, each where it does not lie in another."""
    largest, least = recipe.radius
    margin = largest * 0.6
    room = np.array(shape, float) + 2 * margin
    radii: list[float] = []
    left = recipe.filled * float(np.prod(room))
    while left > 0:
        radii.append(least + (largest - least) * rng.beta(1.3, 1.7))
        left -= 4.2 * radii[-1] ** 3
    ordered = np.sort(np.array(radii))[::-1]
    centers = np.empty((len(ordered), 3))
    placed: list[int] = []
    for index, radius in enumerate(ordered):
        tries = rng.random((40, 3)) * room - margin
        taken = centers[placed]
        gaps = np.linalg.norm(tries[:, None] - taken[None], axis=2) - 0.86 * (radius + ordered[placed])
        free = np.flatnonzero((gaps > 0).all(axis=1))
        if free.size:
            centers[index] = tries[free[0]]
            placed.append(index)
    return centers[placed], ordered[placed]


def _rare(
    recipe: Recipe,
    centers: NDArray[np.float64],
    radii: NDArray[np.float64],
    shape: tuple[int, int, int],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Bodies in the field of view, neither large nor tiny, that together have the rare ones' share of what is seen."""
    inside = np.hypot(*(centers[:, 1:] - shape[1] / 2).T) < 0.45 * shape[1]
    heights = np.arange(shape[0])[:, None] - centers[:, 0]
    volumes = np.clip(radii**2 - heights**2, 0, None).sum(axis=0) * inside
    usual = np.abs(radii - np.mean(recipe.radius)) < 0.35 * np.ptp(recipe.radius)
    order = rng.permutation(np.flatnonzero(usual & (volumes > 0)))
    shares = np.cumsum(volumes[order]) / volumes.sum()
    return order[: 1 + int((shares < recipe.rare).sum())]


def _put(
    truth: Bytes,
    shade: Floats,
    closest: Floats,
    center: NDArray[np.float64],
    radius: float,
    kind: int,
    facets: int,
    rng: np.random.Generator,
) -> None:
    """Put one rounded polyhedron in; where two meet, the voxel is the one's in which it lies deeper."""
    normals = rng.normal(size=(facets, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    stretch = rng.uniform(0.78, 1.25, 3)
    normals /= stretch
    normals = (normals / (radius * rng.uniform(0.82, 1.0, facets))[:, None]).astype(np.float32)
    reach = radius * stretch * 1.25
    low = np.maximum(0, np.floor(center - reach)).astype(int)
    high = np.minimum(truth.shape, np.ceil(center + reach) + 1).astype(int)
    brighter: Any = np.float32(np.clip(rng.normal(0, 0.09), -0.16, 0.16) * (0.3 if kind == 4 else 1))
    lamella = rng.normal(size=3) * (0.5, 1, 1)
    if (high <= low).any():
        return
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    z, y, x = (np.arange(a, b, dtype=np.float32) - np.float32(c) for a, b, c in zip(low, high, center, strict=True))
    depth = np.zeros([b - a for a, b in zip(low, high, strict=True)], np.float32)
    for nz, ny, nx in normals:
        plane = (nz * z)[:, None, None] + (ny * y)[:, None] + nx * x
        np.maximum(plane, 0, out=plane)
        plane *= plane
        plane *= plane
        plane *= plane
        depth += plane
    here = depth < closest[box]
    closest[box][here] = depth[here]
    truth[box][here] = kind
    if kind == 4:  # lamellae, as in many ores
        nz, ny, nx = (lamella * 2 * np.pi / np.linalg.norm(lamella) / LAMELLAE).astype(np.float32)
        brighter = brighter + np.float32(0.16) * np.sin((nz * z)[:, None, None] + (ny * y)[:, None] + nx * x)
    rim = depth > max(0.0, 1 - 1.1 / radius) ** 8
    shade[box][here] = np.where(rim, brighter - np.float32(0.13), brighter)[here]


def _inside(size: int) -> NDArray[np.bool_]:
    """The round field of view."""
    middle = (size - 1) / 2
    y, x = np.ogrid[:size, :size]
    return np.asarray((y - middle) ** 2 + (x - middle) ** 2 < (0.485 * size) ** 2)


# ---------------------------------------------------------------- what the scanner sees


def _attenuation(recipe: Recipe, truth: Bytes, shade: Floats, rng: np.random.Generator) -> Floats:
    grey = np.array([0.0, *recipe.grey], np.float32)[truth]
    grey += shade * (truth != 1)
    specks = _noise(truth.shape, 0.9, rng)
    grey += (truth == 3) * np.float32(0.24) * np.clip(specks, -2.2, 2.2)
    outside = ~_inside(truth.shape[1])
    grey[:, outside] = 0.10
    blurred = ndimage.gaussian_filter(grey, (0.4, 0.6, 0.6))
    fringe = blurred - ndimage.gaussian_filter(blurred, (0.8, 1.8, 1.8))
    return np.asarray(blurred + np.float32(0.35) * fringe, np.float32)


def _scan(grey: Floats, rng: np.random.Generator) -> Bytes:
    """Cupping, rings, noise and drift, as a detector and a reconstruction leave them."""
    slices, size, _ = grey.shape
    shift = size * rng.uniform(-0.015, 0.015, 2)
    y, x = np.ogrid[:size, :size]
    radius = np.hypot(y - (size - 1) / 2 - shift[0], x - (size - 1) / 2 - shift[1]).astype(np.float32)
    cup = (0.87 + 0.22 * np.minimum(1, radius / (size / 2)) ** 2).astype(np.float32)
    columns = np.arange(radius.max() + 3)
    z = np.arange(slices) / max(1, slices - 1)
    phase = rng.uniform(0, 2 * np.pi, 2)
    gain = 1 + 0.07 * np.sin(2.2 * np.pi * z + phase[0]) + 0.05 * (z - 0.5)
    offset = 0.02 * np.sin(3.1 * np.pi * z + phase[1])
    faulty = rng.normal(0, 1, columns.size) * (rng.random(columns.size) < 0.09)
    rings = np.stack([0.045 * faulty * rng.uniform(0.5, 1.3, columns.size), 0.012 * rng.normal(size=columns.size)])
    noise = _noise((slices, size, size), 0.75, rng)
    inside = _inside(size)
    out = np.empty(grey.shape, np.uint8)
    for index in range(slices):
        fade = 0.75 + 0.25 * np.cos(2 * np.pi * (z[index] * 1.7 + columns * 0.13))
        ring = np.interp(radius, columns, rings[0] * fade + rings[1])
        picture = (
            grey[index] * cup * gain[index] + offset[index] + (ring + 0.062 * noise[index]) * np.where(inside, 1, 0.25)
        )
        out[index] = np.clip(picture * 255, 0, 255)
    return out


def _noise(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> Floats:
    """Correlated noise of unit deviation."""
    noise = rng.standard_normal(shape, np.float32)
    noise = ndimage.gaussian_filter(noise, (sigma * 0.8, sigma, sigma), mode="wrap")
    noise /= noise.std()
    return np.asarray(noise)


def _smooth_field(shape: tuple[int, int, int], length: float, rng: np.random.Generator) -> Floats:
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
