"""Tiles: cut with a halo and put together, they are what the whole slice gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from mlex_jupyter.learn.models import build
from mlex_jupyter.learn.models.fold import folded
from mlex_jupyter.learn.prediction.tiles import (
    Fit,
    bytes_per_pixel,
    fit_for,
    forward,
    logits_of,
    padded,
    segment,
    tiles,
)

CPU = torch.device("cpu")
UNET, TUNET = "mlex_jupyter.learn.models.unet:unet", "mlex_jupyter.learn.models.dlsia:tunet"


def settled(where: str, params: dict[str, int]) -> nn.Module:
    """A network whose normalisation has statistics."""
    torch.manual_seed(params["depth"])
    network = build(where, params, channels=1, classes=3).train()
    with torch.no_grad():
        network(torch.randn(4, 1, 64, 64))
    return network.eval()


def together(network: nn.Module, image: np.ndarray, fit: Fit) -> torch.Tensor:
    parts = list(logits_of(lambda batch: forward(network, batch, CPU), image, fit))
    assert len(parts) > 1, "nothing was cut"
    made = torch.full((1, parts[0][1].shape[1], *image.shape[-2:]), torch.nan)
    for keep, logits in parts:
        made[:, :, *keep] = logits
    return made


@pytest.mark.parametrize("shape", [(64, 64), (200, 72), (8, 304), (1000, 1000)])
@pytest.mark.parametrize("pixels", [48 * 48, 72 * 72, 300_000, 1 << 30])
def test_tiles_keep_every_pixel_once_and_are_of_one_size(shape: tuple[int, int], pixels: int) -> None:
    count = np.zeros(shape, int)
    sizes = set()
    fit = Fit(multiple=8, halo=10, largest=math.isqrt(pixels))
    for tile in tiles(shape, fit):
        count[tile.keep] += 1
        read = np.zeros(shape)[tile.read]
        assert read[tile.inner].shape == count[tile.keep].shape
        assert all(side % 8 == 0 for side in read.shape)
        sizes.add(read.shape)
        for cut, inner, length in zip(tile.read, tile.inner, shape, strict=True):
            assert inner.start >= 10 or cut.start == 0
            assert cut.stop - cut.start - inner.stop >= 10 or cut.stop == length
    assert (count == 1).all()
    assert len(sizes) == 1
    assert np.prod(sizes.pop()) <= max(pixels, (16 + 16 + 8) ** 2)


def test_of_the_cuts_that_fit_the_one_is_taken_that_computes_least() -> None:
    computed = sum(np.zeros((2048, 2048))[tile.read].size for tile in tiles((2048, 2048), Fit(8, 48, 1 << 10)))
    assert computed < 1.3 * 2048**2, "strips as wide as the slice have a halo on two sides only"


@pytest.mark.parametrize("where", [UNET, TUNET])
@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("largest", [140, 164])
def test_tiles_come_out_as_the_whole_slice(where: str, depth: int, largest: int) -> None:
    params = {"depth": depth, "base_channels": 4}
    network = settled(where, params)
    image = np.random.default_rng(depth).normal(size=(1, 1, 192, 224)).astype(np.float32)
    fit = fit_for(network, where, params, CPU, 8)
    assert fit.multiple == 2 ** (depth - 1) and fit.halo is not None
    whole = forward(network, image, CPU)
    made = together(network, image, Fit(fit.multiple, fit.halo, largest))
    assert (made - whole).abs().max() <= 1e-5 * whole.abs().max()


@pytest.mark.parametrize("where", [UNET, TUNET])
def test_folding_changes_no_more_than_rounding_does(where: str) -> None:
    network = settled(where, {"depth": 4, "base_channels": 4})
    image = np.random.default_rng(1).normal(size=(1, 1, 96, 96)).astype(np.float32)
    plain, fast = forward(network, image, CPU), forward(folded(network), image, CPU)
    assert (fast - plain).abs().max() <= 1e-5 * plain.abs().max()


def test_too_small_a_halo_would_be_noticed() -> None:
    params = {"depth": 4, "base_channels": 4}
    network = settled(UNET, params)
    image = np.random.default_rng(4).normal(size=(1, 1, 192, 224)).astype(np.float32)
    whole = forward(network, image, CPU)
    made = together(network, image, Fit(8, 8, 64))
    assert (made - whole).abs().max() > 1e-4 * whole.abs().max()


class Everywhere(nn.Module):
    """Each pixel sees the whole slice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.norm = nn.InstanceNorm2d(2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(image))


def test_without_a_halo_tiles_fade_into_each_other() -> None:
    torch.manual_seed(0)
    network = Everywhere().eval()
    image = np.random.default_rng(0).normal(size=(1, 1, 400, 300)).astype(np.float32)
    image += np.linspace(0, 3, 400, dtype=np.float32)[:, None]
    made = together(network, image, Fit(1, None, 200))
    assert torch.isfinite(made).all(), "every pixel has come out"
    steps = made.diff(dim=2).abs().mean(dim=(0, 1, 3))
    assert steps[2:-2].max() < 1.5 * steps.median(), "no seam stands out"
    assert Fit(1, None, 400).whole((400, 300)), "in one piece nothing is blended"


def test_any_size_is_padded_and_cut_back() -> None:
    image = np.arange(35, dtype=np.float32).reshape(1, 5, 7)
    assert padded(image, 4).shape == (1, 8, 8)
    assert np.array_equal(padded(image, 4)[:, :5, :7], image)
    assert padded(image, 1) is image
    network = build(UNET, {"depth": 3, "base_channels": 4}, channels=1, classes=2).eval()
    assert segment(network, image[None], Fit(4, 24), CPU).shape == (1, 5, 7)


def test_little_memory_means_smaller_tiles() -> None:
    network = build(UNET, {"base_channels": 8}, channels=1, classes=2)
    assert bytes_per_pixel(network, 8, CPU) > 8 * 4
    small, large = (fit_for(network, UNET, {"base_channels": 8}, CPU, memory_gb) for memory_gb in (0.2, 8))
    assert small.largest < large.largest
    assert (small.multiple, small.halo) == (8, 48)
    assert network.training, "looking at it changes nothing"
