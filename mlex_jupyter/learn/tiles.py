"""Whole slices through a network, or tiles where a slice is too large: padded to fit, cut back exactly.

A tile carries a halo as wide as a pixel looks, and begins where pooling begins, so that its inner part comes out as
it would from the whole slice. Axes: B batch, C channel, H or Y row, W or X column.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mlex_jupyter.learn.machine import fast_math
from mlex_jupyter.learn.models import contract, find_builder, measure
from mlex_jupyter.types import Params

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

MIN_SIDE = 256
UNKNOWN_HALO = 64
"""For a network that does not say how far its pixels look: nearly always enough, but no promise."""


@dataclass(frozen=True)
class Fit:
    """How slices must be cut for one network on one machine."""

    multiple: int = 1
    """Sides divide by this."""
    halo: int = 0
    largest: int = 1 << 30
    """The longest side that memory allows."""


@dataclass(frozen=True)
class Tile:
    """A piece of a padded slice: what is read, and which part of it is kept."""

    read: tuple[slice, slice]
    inner: tuple[slice, slice]
    """Within what was read."""
    keep: tuple[slice, slice]
    """The same part, within the slice."""


def up_to(length: int, multiple: int) -> int:
    """The next length that divides."""
    return -(-length // multiple) * multiple


def padded(image_CYX: Floats, multiple: int) -> Floats:
    """The slice mirrored at its lower and right edges until its sides divide."""
    rows, columns = image_CYX.shape[-2:]
    more = up_to(rows, multiple) - rows, up_to(columns, multiple) - columns
    if more == (0, 0):
        return image_CYX
    return np.pad(image_CYX, [(0, 0), (0, more[0]), (0, more[1])], mode="symmetric")


def tiles(shape: tuple[int, int], fit: Fit) -> Iterator[Tile]:
    """Cut a slice, whose sides divide, into tiles that fit."""
    for rows in _cuts(shape[0], fit):
        for columns in _cuts(shape[1], fit):
            pairs = tuple(zip(rows, columns, strict=True))
            yield Tile(*pairs)


def _cuts(length: int, fit: Fit) -> Iterator[tuple[slice, slice, slice]]:
    halo = up_to(fit.halo, fit.multiple)
    largest = fit.largest // fit.multiple * fit.multiple
    step = length if length <= largest else max(fit.multiple, largest - 2 * halo)
    for start in range(0, length, step):
        stop = min(length, start + step)
        low, high = max(0, start - halo), min(length, stop + halo)
        yield slice(low, high), slice(start - low, stop - low), slice(start, stop)


def segment(network: nn.Module, images_BCYX: Floats, fit: Fit, device: torch.device) -> Bytes:
    """The most likely class of every pixel, 0 to K-1, of slices of one size."""
    rows, columns = images_BCYX.shape[-2:]
    whole = np.stack([padded(image, fit.multiple) for image in images_BCYX])
    found = np.empty((len(whole), *whole.shape[-2:]), np.uint8)
    for tile in tiles((whole.shape[-2], whole.shape[-1]), fit):
        logits_BCHW = forward(network, np.ascontiguousarray(whole[:, :, *tile.read]), device)
        found[:, *tile.keep] = logits_BCHW[:, :, *tile.inner].argmax(dim=1).to(torch.uint8).cpu().numpy()
    return found[:, :rows, :columns]


def forward(network: nn.Module, images_BCYX: Floats, device: torch.device) -> Tensor:
    """The logits of slices whose sides divide."""
    batch_BCHW = torch.from_numpy(images_BCYX).to(device, memory_format=torch.channels_last)
    exact = contextlib.nullcontext() if device.type == "cpu" else fast_math(device)
    with torch.inference_mode(), exact:
        logits_BCHW: Tensor = network(batch_BCHW)
    return logits_BCHW


def fit_for(network: nn.Module, builder: str, params: Params, device: torch.device, memory_gb: float) -> Fit:
    """How slices must be cut for this network in this memory."""
    promise = contract(find_builder(builder))
    multiple = measure(builder, promise.divisible_by, params) or 1
    halo = measure(builder, promise.halo, params)
    memory = memory_gb * 1e9
    if device.type == "cuda":
        memory = float(torch.cuda.mem_get_info(device)[0])
    pixels = memory * 0.6 / bytes_per_pixel(network, multiple, device)
    largest = max(up_to(MIN_SIDE, multiple), int(pixels**0.5))
    return Fit(multiple, UNKNOWN_HALO if halo is None else halo, largest)


def bytes_per_pixel(network: nn.Module, multiple: int, device: torch.device) -> float:
    """What a forward pass needs for each pixel: half of all that its layers give, since most is let go of early."""
    side = up_to(32, multiple)
    total = 0

    def count(module: nn.Module, given: Any, made: Any) -> None:
        nonlocal total
        if isinstance(made, Tensor):
            total += made.numel() * made.element_size()

    leaves = [module for module in network.modules() if not any(True for _ in module.children())]
    hooks = [module.register_forward_hook(count) for module in leaves]
    channels = next(iter(network.parameters())).shape[1]
    was_training = network.training
    try:
        network.eval()
        forward(network, np.zeros((1, channels, side, side), np.float32), device)
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return total / side**2 / 2
