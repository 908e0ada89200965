"""What a scanner makes of the phases: grey values, blurred, with cupping, rings, noise and drift."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mlex_jupyter.data.fields import Floats, inside, noise
from mlex_jupyter.data.recipes import Recipe

Bytes = NDArray[np.uint8]


def attenuation(recipe: Recipe, truth: Bytes, shade: Floats, rng: np.random.Generator) -> Floats:
    """The grey values before there is a scanner's fault in them: of classes, bodies and specks, a little blurred."""
    grey = np.array([0.0, *recipe.grey], np.float32)[truth]
    grey += shade * (truth != 1)
    specks = noise(truth.shape, 0.9, rng)
    grey += (truth == 3) * np.float32(0.24) * np.clip(specks, -2.2, 2.2)
    outside = ~inside(truth.shape[1])
    grey[:, outside] = 0.10
    blurred = ndimage.gaussian_filter(grey, (0.4, 0.6, 0.6))
    fringe = blurred - ndimage.gaussian_filter(blurred, (0.8, 1.8, 1.8))
    return np.asarray(blurred + np.float32(0.35) * fringe, np.float32)


def scan(grey: Floats, rng: np.random.Generator) -> Bytes:
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
    grain = noise((slices, size, size), 0.75, rng)
    quiet = np.where(inside(size), 1, 0.25)
    out = np.empty(grey.shape, np.uint8)
    for index in range(slices):
        fade = 0.75 + 0.25 * np.cos(2 * np.pi * (z[index] * 1.7 + columns * 0.13))
        ring = np.interp(radius, columns, rings[0] * fade + rings[1])
        picture = grey[index] * cup * gain[index] + offset[index] + (ring + 0.062 * grain[index]) * quiet
        out[index] = np.clip(picture * 255, 0, 255)
    return out
