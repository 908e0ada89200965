"""What surrounds a pixel, in numbers: smoothed, edges, blobs, ridges and texture, at several scales.

Filters are Gaussians and their derivatives, cut off where they are nearly nothing, so that a pixel's features depend
on a finite part of the slice. Axes: B batch, C channel, F feature, H row, W column, N piece of a filter.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

EACH = 8
"""Features a scale and channel: smoothed, gradient, Laplacian, difference of Gaussians; eigenvalues of the Hessian and
of the structure tensor."""
CUT = 3.0
"""Filters end after so many standard deviations."""
DERIVATIVES = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
"""Along rows, along columns."""


def radius(sigma: float) -> int:
    """How far a filter reaches."""
    return math.ceil(CUT * sigma)


def reach(scales: int) -> int:
    """How far a pixel looks: the structure tensor filters what is filtered."""
    return max(2 * radius(sigma) for sigma in sigmas(scales))


def sigmas(scales: int) -> list[float]:
    """The scales, in pixels."""
    return [2.0**index for index in range(scales)]


def count(channels: int, scales: int) -> int:
    """How many features a pixel has."""
    return channels * (1 + EACH * scales)


def features(x_BCHW: Tensor, scales: int) -> Tensor:
    """All features of every pixel, the grey value first."""
    batch, channels, *sides = x_BCHW.shape
    x = x_BCHW.reshape(batch * channels, 1, *sides).contiguous()
    found = [x]
    before = x
    for sigma in sigmas(scales):
        part = _at(x, sigma)
        found += [part, before - part[:, :1]]
        before = part[:, :1]
    return torch.cat(found, dim=1).reshape(batch, -1, *sides)


def _at(x: Tensor, sigma: float) -> Tensor:
    """The features of one scale, as channels."""
    g, gy, gx, gyy, gxy, gxx = torch.chunk(_filtered(x, sigma, DERIVATIVES), len(DERIVATIVES), dim=1)
    products = torch.cat((gy * gy, gy * gx, gx * gx), dim=1).flatten(0, 1)[:, None]
    tensor = _filtered(products, sigma, ((0, 0),)).reshape(len(x), 3, *x.shape[-2:])
    return torch.cat(
        (
            g,
            (gy * gy + gx * gx).sqrt(),
            gyy + gxx,
            *_eigenvalues(gyy, gxy, gxx),
            *_eigenvalues(*torch.chunk(tensor, 3, dim=1)),
        ),
        dim=1,
    )


def _filtered(x: Tensor, sigma: float, wanted: tuple[tuple[int, int], ...]) -> Tensor:
    """Derivatives of the smoothed image, by plain convolutions: a tile gives the very bits of the whole."""
    far = radius(sigma)
    most = max(max(one) for one in wanted) + 1
    kernels_NK = _kernels(sigma, x.dtype, x.device)[:most]
    along = functional.conv2d(functional.pad(x, (0, 0, far, far), mode="replicate"), kernels_NK[:, None, :, None])
    along = functional.pad(along, (far, far, 0, 0), mode="replicate")
    made = [
        functional.conv2d(along[:, row : row + 1], kernels_NK[None, column : column + 1, None])
        for row, column in wanted
    ]
    return torch.cat(made, dim=1)


def _kernels(sigma: float, kind: torch.dtype, device: torch.device) -> Tensor:
    """A Gaussian and its first two derivatives, each times sigma as often, so that scales compare."""
    t = torch.arange(-radius(sigma), radius(sigma) + 1, dtype=torch.float64) / sigma
    g = torch.exp(-t * t / 2)
    g = g / g.sum()
    second = (t * t - 1) * g
    return torch.stack((g, t * g, second - second.mean())).to(device, kind)


def _eigenvalues(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Of the symmetric matrix [[a, b], [b, c]], the larger first."""
    middle, apart = (a + c) / 2, (((a - c) / 2) ** 2 + b * b).sqrt()
    return middle + apart, middle - apart
