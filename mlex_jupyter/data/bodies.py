"""What is there before anybody looks: bodies and clouds, as the class of every voxel.

A body is a rounded polyhedron. Where two meet, a voxel is the one's in which it lies deeper.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlex_jupyter.data.fields import Floats, inside, smooth_field
from mlex_jupyter.data.recipes import Recipe

Bytes = NDArray[np.uint8]
Shape = tuple[int, int, int]

PORE, CLOUD, RARE = 1, 3, 4
CLOUDS = 36.0
"""Voxels from one cloud to the next, more or less."""
LAMELLAE, DEPTH_OF_LAMELLAE = 6.5, 0.16
"""Rare bodies have lamellae, as many ores: so many voxels from one to the next, so much brighter and darker."""
RIM = 0.13
"""How much darker the outermost voxel of a body is."""
SMALL_SIZE = 160
"""Where slices are smaller than this, bodies are too, down to the half."""


def phases(recipe: Recipe, shape: Shape, rng: np.random.Generator) -> tuple[Bytes, Floats]:
    """The class of every voxel, and how much brighter than its class it is."""
    truth = np.full(shape, recipe.background, np.uint8)
    clouds = smooth_field(shape, CLOUDS, rng)
    truth[clouds > np.quantile(clouds[:: max(1, shape[0] // 16)], 1 - recipe.clouds)] = CLOUD
    scene = Scene(truth, np.zeros(shape, np.float32), np.ones(shape, np.float32))
    centers, radii = _places(recipe, shape, rng)
    kinds = np.full(len(radii), recipe.bodies, np.uint8)
    kinds[_rare(recipe, centers, radii, shape, rng)] = RARE
    for center, radius, kind in zip(centers, radii, kinds, strict=True):
        scene.put(center, radius, int(kind), recipe.facets, rng)
    outside = ~inside(shape[1])
    scene.truth[:, outside] = PORE
    scene.shade[:, outside] = 0
    return scene.truth, scene.shade


def _places(recipe: Recipe, shape: Shape, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres and radii, the large ones first, each where it does not lie in another."""
    largest, least = np.array(recipe.radius) * min(1.0, max(0.5, shape[1] / SMALL_SIZE))
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
    recipe: Recipe, centers: NDArray[np.float64], radii: NDArray[np.float64], shape: Shape, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Bodies of usual sizes, of which much is seen, that together have the rare ones' share of what is seen."""
    central = np.hypot(*(centers[:, 1:] - shape[1] / 2).T) < 0.45 * shape[1]
    heights = np.arange(shape[0])[:, None] - centers[:, 0]
    volumes = np.clip(radii**2 - heights**2, 0, None).sum(axis=0) * central
    order = rng.permutation(np.flatnonzero(volumes))
    if not order.size:
        return order
    usual = np.abs(radii - np.median(radii)) < 0.35 * np.ptp(radii)
    well_seen = volumes >= np.median(volumes[order])
    order = order[np.argsort(~(usual & well_seen)[order], kind="stable")]
    shares = np.cumsum(volumes[order]) / volumes.sum()
    return order[: 1 + int((shares < recipe.rare).sum())]


@dataclass(frozen=True)
class Scene:
    """What bodies are put into."""

    truth: Bytes
    shade: Floats
    closest: Floats
    """How far out each voxel lies in its body: 0 in the middle, 1 at the surface and where there is no body."""

    def put(self, center: NDArray[np.float64], radius: float, kind: int, facets: int, rng: np.random.Generator) -> None:
        """Put one body in, so far as it lies in the volume."""
        normals, reach = _polyhedron(radius, facets, rng)
        low = np.maximum(0, np.floor(center - reach)).astype(int)
        high = np.minimum(self.truth.shape, np.ceil(center + reach) + 1).astype(int)
        brighter = np.float32(np.clip(rng.normal(0, 0.09), -0.16, 0.16) * (0.3 if kind == RARE else 1))
        lamella = rng.normal(size=3) * (0.5, 1, 1)
        if (high <= low).any():
            return
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        zyx = [np.arange(a, b, dtype=np.float32) - np.float32(c) for a, b, c in zip(low, high, center, strict=True)]
        out = _outness(normals, reach.astype(np.float32), zyx)
        here = out < self.closest[box]
        self.closest[box][here] = out[here]
        self.truth[box][here] = kind
        shade = np.full(out.shape, brighter)
        if kind == RARE:
            wave = (lamella * 2 * np.pi / np.linalg.norm(lamella) / LAMELLAE).astype(np.float32)
            shade += np.float32(DEPTH_OF_LAMELLAE) * np.sin(_along(wave, zyx))
        shade[out > max(0.0, 1 - 1.1 / radius) ** 8] -= np.float32(RIM)
        self.shade[box][here] = shade[here]


def _polyhedron(radius: float, facets: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.float64]]:
    """The normals of its facets, each divided by its distance from the middle, and how far it reaches."""
    normals = rng.normal(size=(facets, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    stretch = rng.uniform(0.78, 1.25, 3)
    normals /= stretch
    normals /= (radius * rng.uniform(0.82, 1.0, facets))[:, None]
    return normals.astype(np.float32), radius * stretch * 1.25


def _outness(normals: Floats, reach: Floats, zyx: list[Floats]) -> Floats:
    """How far out each voxel is; the eighth power rounds the edges where facets meet.

    An ellipsoid closes the body where no facet does.
    """
    z, y, x = (np.square(axis / length) for axis, length in zip(zyx, reach, strict=True))
    total: Floats = np.square(np.square(z[:, None, None] + y[:, None] + x))
    for normal in normals:
        plane = np.maximum(_along(normal, zyx), 0)
        plane *= plane
        plane *= plane
        plane *= plane
        total += plane
    return total


def _along(direction: Floats, zyx: list[Floats]) -> Floats:
    """The place of every voxel along a direction."""
    z, y, x = (axis * part for axis, part in zip(zyx, direction, strict=True))
    return np.asarray(z[:, None, None] + y[:, None] + x)
