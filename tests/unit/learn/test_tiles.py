"""Tiles: cut with a halo and put together, they are what the whole slice gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mlex_jupyter.learn.models import build, contract, find_builder, measure
from mlex_jupyter.learn.models.fold import folded
from mlex_jupyter.learn.tiles import Fit, bytes_per_pixel, fit_for, forward, padded, segment, tiles

CPU = torch.device("cpu")
UNET, TUNET = "mlex_jupyter.learn.models.unet:unet", "mlex_jupyter.learn.models.dlsia:tunet"


@pytest.mark.parametrize("shape", [(64, 64), (200, 72), (8, 304)])
@pytest.mark.parametrize("largest", [48, 64, 1000])
def test_tiles_keep_every_pixel_once(shape: tuple[int, int], largest: int) -> None:
    count = np.zeros(shape, int)
    for tile in tiles(shape, Fit(multiple=8, halo=10, largest=largest)):
        count[tile.keep] += 1
        read = np.zeros(shape)[tile.read]
        assert read[tile.inner].shape == count[tile.keep].shape
        assert max(read.shape) <= max(largest, 8 + 2 * 16)
        assert all(side % 8 == 0 for side in read.shape)
    assert (count == 1).all()


@pytest.mark.parametrize("where", [UNET, TUNET])
@pytest.mark.parametrize("depth", [2, 3, 4])
def test_the_declared_halo_makes_tiles_equal_to_the_whole_slice(where: str, depth: int) -> None:
    torch.manual_seed(depth)
    params = {"depth": depth, "base_channels": 4}
    network = build(where, params, channels=1, classes=3).train()
    with torch.no_grad():
        network(torch.randn(4, 1, 64, 64))  # so that the normalisation has statistics
    network = folded(network)
    image = np.random.default_rng(depth).normal(size=(1, 1, 192, 224)).astype(np.float32)
    promise = contract(find_builder(where))
    multiple, halo = (measure(where, rule, params) for rule in (promise.divisible_by, promise.halo))
    assert multiple == 2 ** (depth - 1) and halo is not None
    whole = forward(network, image, CPU)[0]
    for tile in tiles((192, 224), Fit(multiple, halo, largest=max(136, 2 * halo + 8))):
        piece = forward(network, np.ascontiguousarray(image[:, :, *tile.read]), CPU)[0]
        assert torch.allclose(piece[:, *tile.inner], whole[:, *tile.keep], atol=1e-4)


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
    small, large = (fit_for(network, UNET, {"base_channels": 8}, CPU, memory_gb) for memory_gb in (0.5, 8))
    assert small.largest < large.largest
    assert (small.multiple, small.halo) == (8, 48)
    assert network.training, "looking at it changes nothing"
