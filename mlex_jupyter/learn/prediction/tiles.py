"""Whole slices through a network, or tiles where a slice is too large: padded to fit, cut back exactly.

What is said of slices holds of blocks of them, too, where a network sees three dimensions (slabs.py).

A tile carries a halo as wide as a pixel looks, and begins where pooling begins, so that its inner part comes out as
it would from the whole slice. All tiles of a slice are of one size: what is compiled for one serves for all. Where no
halo is wide enough, tiles overlap and are blended. Axes: B batch, C channel, H or Y row, W or X column.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mlex_jupyter.learn.machine import fast_math, on
from mlex_jupyter.learn.models import channels_of, contract, find_builder, measure
from mlex_jupyter.learn.models.reach import halo as halo_of
from mlex_jupyter.learn.prediction.room import bytes_per_voxel
from mlex_jupyter.types import Params

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Forward = Callable[[Floats], Tensor]
"""Slices whose sides divide, to logits."""

LEAST_PIXELS = 1 << 16
MOST_TILES = 128
"""A side is cut into no more: beyond that a halo costs nearly everything anyway."""
MOST_BYTES = 0.8e9
"""What a forward pass may take on a processor: larger ones are no faster there."""
BLENDED = 64
"""How far tiles reach over each other where no halo is wide enough."""


@dataclass(frozen=True)
class Fit:
    """How slices must be cut for one network on one machine."""

    multiple: int = 1
    """Sides divide by this."""
    halo: int | None = 0
    """How far a pixel looks; None where it sees the whole slice, so that tiles are blended and not exact."""
    largest: int = 1 << 20
    """The side of the largest square or cube that memory allows; a tile of any shape has no more pixels."""
    dims: int = 2

    @property
    def pixels(self) -> int:
        """The most at once."""
        return int(self.largest**self.dims)

    def whole(self, shape: tuple[int, ...]) -> bool:
        """Whether a slice, or block, of this shape goes through in one piece."""
        return math.prod(up_to(side, self.multiple) for side in shape[-self.dims :]) <= self.pixels


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


def padded(image_CYX: NDArray[Any], multiple: int) -> NDArray[Any]:
    """The slice, or each of several, mirrored at its lower and right edges until its sides divide."""
    rows, columns = image_CYX.shape[-2:]
    more = up_to(rows, multiple) - rows, up_to(columns, multiple) - columns
    if more == (0, 0):
        return image_CYX
    around = [(0, 0)] * (image_CYX.ndim - 2)
    return np.pad(image_CYX, [*around, (0, more[0]), (0, more[1])], mode="symmetric")


def tiles(shape: tuple[int, int], fit: Fit) -> Iterator[Tile]:
    """Cut a slice, whose sides divide, into as little as possible that fits."""
    halo = up_to(BLENDED if fit.halo is None else fit.halo, fit.multiple)
    parts = _parts(shape, fit, halo)
    for rows in _cuts(shape[0], parts[0], halo, fit.multiple):
        for columns in _cuts(shape[1], parts[1], halo, fit.multiple):
            yield Tile(*zip(rows, columns, strict=True))


def _parts(shape: tuple[int, int], fit: Fit, halo: int) -> tuple[int, int]:
    """Into how many rows and columns of tiles: those that fit and compute the least; else the smallest tiles."""
    if math.prod(shape) <= fit.pixels:
        return 1, 1
    counts = [np.arange(1, min(MOST_TILES, max(1, side // fit.multiple)) + 1) for side in shape]
    reads = [np.array([_read(n, int(k), halo, fit.multiple) for k in ks]) for n, ks in zip(shape, counts, strict=True)]
    area = np.multiply.outer(*reads)
    over = np.maximum(area - fit.pixels, 0)
    total = np.where(over == over.min(), area * np.multiply.outer(*counts), np.iinfo(np.int64).max)
    row, column = np.unravel_index(int(total.argmin()), total.shape)
    return int(row) + 1, int(column) + 1


def _step(length: int, parts: int, halo: int, multiple: int) -> int:
    return max(multiple, up_to(-(-max(0, length - 2 * halo) // parts), multiple))


def _read(length: int, parts: int, halo: int, multiple: int) -> int:
    return length if parts == 1 else min(length, _step(length, parts, halo, multiple) + 2 * halo)


def _cuts(length: int, parts: int, halo: int, multiple: int) -> Iterator[tuple[slice, slice, slice]]:
    read, step = _read(length, parts, halo, multiple), _step(length, parts, halo, multiple)
    kept = 0
    while kept < length:
        low = max(0, min(kept - halo, length - read))
        high = low + read
        stop = length if high >= length else low + (step + halo if low else read - halo)
        yield slice(low, high), slice(kept - low, stop - low), slice(kept, stop)
        kept = stop


def logits_of(forward: Forward, images_BCYX: Floats, fit: Fit) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """The logits of slices whose sides divide, part by part: where each belongs, and what it is."""
    shape = images_BCYX.shape[-2], images_BCYX.shape[-1]
    if fit.halo is None and not fit.whole(shape):
        yield from _blended(forward, images_BCYX, fit)
        return
    for tile in tiles(shape, fit):
        logits_BCHW = forward(np.ascontiguousarray(images_BCYX[:, :, *tile.read]))
        yield tile.keep, logits_BCHW[:, :, *tile.inner]


def _blended(forward: Forward, images_BCYX: Floats, fit: Fit) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """Tiles that fade into each other. What a row of tiles leaves unfinished waits for the next row."""
    rows, columns = images_BCYX.shape[-2:]
    cut: dict[tuple[int, int], list[Tile]] = {}
    for tile in tiles((rows, columns), fit):
        cut.setdefault((tile.read[0].start, tile.read[0].stop), []).append(tile)
    bands = sorted(cut)
    summed = weighed = None
    for (top, bottom), following in zip(bands, [*bands[1:], (rows, rows)], strict=True):
        for tile in cut[top, bottom]:
            logits_BCHW = forward(np.ascontiguousarray(images_BCYX[:, :, *tile.read])).float()
            if summed is None or weighed is None:
                shape = (*logits_BCHW.shape[:2], bottom - top, columns)
                summed, weighed = logits_BCHW.new_zeros(shape), logits_BCHW.new_zeros(shape[-2:])
            fade_HW = _fade(tile, (rows, columns)).to(logits_BCHW.device)
            summed[..., tile.read[1]] += logits_BCHW * fade_HW
            weighed[:, tile.read[1]] += fade_HW
        assert summed is not None and weighed is not None
        done = following[0] - top
        yield (slice(top, top + done), slice(0, columns)), summed[..., :done, :] / weighed[:done]
        if done < bottom - top:
            summed, weighed = _moved(summed, done), _moved(weighed, done)


def _moved(rows: Tensor, by: int) -> Tensor:
    moved = torch.zeros_like(rows)
    moved[..., : rows.shape[-2] - by, :] = rows[..., by:, :]
    return moved


def _fade(tile: Tile, shape: tuple[int, int]) -> Tensor:
    """From next to nothing at an edge within the slice to one where no other tile reaches."""
    sides = []
    for read, length in zip(tile.read, shape, strict=True):
        size = read.stop - read.start
        places = torch.arange(size, dtype=torch.float32)
        ramp = torch.ones(size)
        if read.start:
            ramp = torch.minimum(ramp, (places + 1) / BLENDED)
        if read.stop < length:
            ramp = torch.minimum(ramp, (size - places) / BLENDED)
        sides.append(ramp)
    return sides[0][:, None] * sides[1]


def segment(network: nn.Module, images_BCYX: Floats, fit: Fit, device: torch.device) -> Bytes:
    """The most likely class of every pixel, 0 to K-1, of slices of one size."""
    rows, columns = images_BCYX.shape[-2:]
    whole = padded(images_BCYX, fit.multiple)
    found = np.empty((len(whole), *whole.shape[-2:]), np.uint8)
    for keep, logits_BCHW in logits_of(lambda batch: forward(network, batch, device), whole, fit):
        found[:, *keep] = logits_BCHW.argmax(dim=1).to(torch.uint8).cpu().numpy()
    return found[:, :rows, :columns]


def forward(network: nn.Module, images_BCYX: Floats, device: torch.device) -> Tensor:
    """The logits of slices, or blocks, whose sides divide."""
    batch_BCHW = on(device, torch.from_numpy(images_BCYX))
    exact = contextlib.nullcontext() if device.type == "cpu" else fast_math(device)
    with torch.inference_mode(), exact:
        logits_BCHW: Tensor = network(batch_BCHW)
    return logits_BCHW


def fit_for(network: nn.Module, builder: str, params: Params, device: torch.device, memory_gb: float) -> Fit:
    """How slices must be cut for this network in this memory."""
    multiple = measure(builder, contract(find_builder(builder)).divisible_by, params) or 1
    channels = channels_of(network)
    memory = min(memory_gb * 0.6e9, MOST_BYTES)
    if device.type == "cuda":
        memory = 0.6 * float(torch.cuda.mem_get_info(device)[0])
    dims = contract(find_builder(builder)).dims
    each = bytes_per_pixel(network, multiple, device) if dims == 2 else bytes_per_voxel(network, multiple, device)
    pixels = max(LEAST_PIXELS, int(memory / each))
    return Fit(multiple, halo_of(builder, params, network, channels), root(pixels, dims), dims)


def root(pixels: int, dims: int) -> int:
    """The side of the largest square or cube of so many pixels."""
    side: int = round(float(pixels) ** (1.0 / dims))
    return side if math.prod([side] * dims) <= pixels else side - 1


def _same(given: Any, made: Tensor) -> bool:
    """Whether a layer gives what it was given: a ReLU in place, or one that was folded away."""
    return bool(given) and isinstance(given[0], Tensor) and given[0].data_ptr() == made.data_ptr()


def bytes_per_pixel(network: nn.Module, multiple: int, device: torch.device) -> float:
    """What a forward pass needs for each pixel: half of all that its layers give, since most is let go of early."""
    side = up_to(32, multiple)
    total = 0

    def count(module: nn.Module, given: Any, made: Any) -> None:
        nonlocal total
        if isinstance(made, Tensor) and not _same(given, made):
            total += made.numel() * made.element_size()

    leaves = [module for module in network.modules() if not any(True for _ in module.children())]
    hooks = [module.register_forward_hook(count) for module in leaves]
    channels = channels_of(network)
    was_training = network.training
    try:
        network.eval()
        forward(network, np.zeros((1, channels, side, side), np.float32), device)
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return total / side**2 / 2
