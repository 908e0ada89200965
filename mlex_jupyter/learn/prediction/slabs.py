"""Volumes through a 3-D network, slab by slab: some slices, with as many above and below as a voxel looks.

A slab is read as it lies in the file, goes through the network in one piece or in tiles with a halo, and gives the
slices in its middle exactly as the whole volume would. How thick it is, is chosen by what memory holds so that as
little as possible is computed twice. Axes: B batch, C channel, K class, Z slice, Y row, X column.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mlex_jupyter.data.volume import Volume
from mlex_jupyter.errors import Invalid, MlexError
from mlex_jupyter.learn.prediction import bands, room, tiles
from mlex_jupyter.learn.prediction.ledger import Plan
from mlex_jupyter.learn.prediction.tiles import Fit, up_to

AT_ONCE = 2
"""Slabs in memory: one is computed, and one read ahead or written."""
THICKNESSES = 48
"""So many are compared, to find the one that computes least."""


@dataclass(frozen=True)
class Slab:
    """What is read to compute some slices."""

    raw_CZYX: NDArray[Any]
    inner: slice
    """Where in it the slices lie that are kept."""


@dataclass(frozen=True)
class Cut:
    """How a volume is cut."""

    band: int
    """Slices of a slab that are kept; slabs begin at multiples of it."""
    fit: Fit
    useful: int
    """Voxels that somebody wants,"""
    computed: int
    """and those that are computed for it."""

    @property
    def share(self) -> float:
        """Of all that is computed, what is of use."""
        return self.useful / self.computed


def around(zs: range, depth: int, fit: Fit) -> range:
    """The slices that are read to compute these: with the halo, from where pooling begins to where it ends."""
    halo = depth if fit.halo is None else fit.halo
    start = max(0, zs.start - halo) // fit.multiple * fit.multiple
    return range(start, min(up_to(zs.stop + halo, fit.multiple), up_to(depth, fit.multiple)))


def cut_for(
    network: nn.Module, volume: Volume, scope: range, fit: Fit, device: torch.device, memory_gb: float, kept: int = 1
) -> Cut:
    """How to cut a volume for a network in this memory; `kept` bytes stay of each voxel. What cannot be is refused."""
    free, each = room.budget(memory_gb, device), room.bytes_per_voxel(network, fit.multiple, device)
    check(volume, fit, int(free / each))
    depth, channels, rows, columns = volume.shape_ZCYX
    read = channels * volume.dtype.itemsize
    return cut((depth, rows, columns), scope, fit, free=free, each=each, kept=kept, read=read)


def cut(sides_ZYX: Sequence[int], scope: range, fit: Fit, *, free: float, each: float, kept: float, read: float) -> Cut:
    """The thickness that computes least, in this room: bytes for a voxel computed, and for one kept and one read."""
    if fit.halo is None:  # as `check` allows where all of it fits
        padded = [up_to(side, fit.multiple) for side in sides_ZYX]
        return _cut(sides_ZYX, scope, padded[0], replace(fit, largest=math.ceil(math.prod(padded) ** (1 / 3))))
    found: list[Cut] = []
    for band in _thicknesses(sides_ZYX[0], fit.multiple):
        thick = max(len(around(zs, sides_ZYX[0], fit)) for zs in bands.pieces(scope, band))
        slice_ = math.prod(sides_ZYX[1:])
        beside = AT_ONCE * slice_ * (thick * read + min(band, len(scope)) * kept)
        least = thick * math.prod(min(up_to(side, fit.multiple), _smallest(fit)) for side in sides_ZYX[1:])
        voxels = max(least, int((free - beside) / each))
        if voxels == least and found:
            break  # thicker ones leave even less room
        found.append(_cut(sides_ZYX, scope, band, replace(fit, largest=tiles.root(voxels, 3))))
    return min(found, key=lambda one: one.computed)


def less(plan: Plan, sides_YX: Sequence[int], each: float) -> tuple[Plan, str]:
    """Half as many voxels at once, where that was more than the memory held; and how to say it."""
    thick = plan.band + 2 * up_to(plan.halo or 0, plan.multiple)
    shape = tuple(up_to(side, plan.multiple) for side in sides_YX)

    def tile(of: Plan) -> list[int]:
        cut = next(tiles.tiles(shape, flat(Fit(of.multiple, of.halo, of.largest, 3), thick)))  # type: ignore[arg-type]
        return [thick, *(side.stop - side.start for side in cut.read)]

    before = tile(plan)
    smaller = plan.model_copy(update={"largest": tiles.root(math.prod(before) // 2, 3)})
    words = "{} × {} × {} voxels at once are more than the memory holds".format(*before)
    if plan.halo is None or math.prod(tile(smaller)) >= math.prod(before):
        raise MlexError(
            f"{words}, and these slabs cannot be cut smaller.",
            hint=f"They take some {math.prod(before) * each / 1e9:.2g} GB: predict again, and ask for less "
            "(--memory-gb), so that slabs are thinner; or take a machine with more memory.",
        )
    return smaller, "{}: from now on {} × {} × {}".format(words, *tile(smaller))


def too_large() -> MlexError:
    """What to say where slabs themselves, beside the network, do not fit."""
    return MlexError(
        "The slabs that are read are more than the memory holds.",
        hint="Predict again, and ask for less (--memory-gb), so that they are thinner.",
    )


def in_words(band: int, fit: Fit, count: int, useful: float | None) -> str:
    """How it is cut, for the log."""
    if fit.halo is None:
        return "A voxel sees the whole volume in this network: it is computed in one piece"
    slices = f"{min(band, count)} slice{'s' if min(band, count) > 1 else ''}"
    share = f"; {useful:.0%} of what is computed is of use" if useful else ""
    return f"Slabs of {slices} are computed with a halo of {fit.halo}: exactly as the whole volume{share}"


def _thicknesses(depth: int, multiple: int) -> list[int]:
    """From thin to thick."""
    most = up_to(depth, multiple) // multiple
    counts = sorted({-(-most // parts) for parts in range(1, most + 1)})
    return [count * multiple for count in counts[:: -(-len(counts) // THICKNESSES)]]


def _smallest(fit: Fit) -> int:
    return up_to(2 * (fit.halo or 0) + fit.multiple, fit.multiple)


def _cut(sides_ZYX: Sequence[int], scope: range, band: int, fit: Fit) -> Cut:
    depth, rows, columns = sides_ZYX
    shape = up_to(rows, fit.multiple), up_to(columns, fit.multiple)
    area: dict[int, int] = {}
    computed = 0
    for zs in bands.pieces(scope, band):
        thick = len(around(zs, depth, fit))
        if thick not in area:
            area[thick] = sum(
                math.prod(side.stop - side.start for side in tile.read) for tile in tiles.tiles(shape, flat(fit, thick))
            )
        computed += thick * area[thick]
    return Cut(band, fit, len(scope) * rows * columns, computed)


def flat(fit: Fit, thick: int) -> Fit:
    """How the slices of a slab must be cut, all alike, for blocks that fit."""
    return replace(fit, dims=2, largest=tiles.root(fit.pixels // thick, 2))


def logits_of(
    forward: Callable[[NDArray[Any]], Tensor], slab: Slab, fit: Fit
) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """The logits of the slices that are kept, part by part: which rows and columns, and ZKYX of them."""
    whole_CZYX = tiles.padded(slab.raw_CZYX, fit.multiple)
    for tile in tiles.tiles(whole_CZYX.shape[-2:], flat(fit, whole_CZYX.shape[1])):
        logits_BKZYX = forward(np.ascontiguousarray(whole_CZYX[None, :, :, *tile.read]))
        yield tile.keep, logits_BKZYX[0, :, slab.inner, *tile.inner].transpose(0, 1)


def check(volume: Volume, fit: Fit, largest: int) -> None:
    """Refuse what a 3-D network cannot do, in words."""
    depth, _, rows, columns = volume.shape_ZCYX
    if depth == 1:
        raise Invalid(ONE_SLICE, hint=TAKE_2D)
    if fit.halo is None and math.prod(up_to(side, fit.multiple) for side in (depth, rows, columns)) > largest:
        raise Invalid(
            "A voxel sees the whole volume in this network, and the whole of it is more than the memory holds.",
            hint="Ask for more memory (--memory-gb), or choose a network in which a voxel looks a certain way far.",
        )


ONE_SLICE = "A 3-D network needs slices above and below; this volume has one slice."
TAKE_2D = "Choose a 2-D network, as unet or tunet."


class Reader:
    """Reads slabs of a volume; used from one thread."""

    def __init__(self, volume: Volume, fit: Fit) -> None:
        self.fit = fit
        self._depth = volume.shape_ZCYX[0]
        self._slices = bands.Reader(volume)
        self.channels, self.kept_bytes = self._slices.channels, self._slices.kept_bytes

    def __call__(self, zs: range) -> Slab:
        """What it takes to compute these slices; beyond the last one, the last ones are mirrored."""
        wide = around(zs, self._depth, self.fit)
        places = [mirrored(z, self._depth) for z in wide]
        raw_ZCYX = self._slices(range(min(places), max(places) + 1))
        if wide.stop > self._depth:
            raw_ZCYX = raw_ZCYX[[place - min(places) for place in places]]
        return Slab(raw_ZCYX.swapaxes(0, 1), slice(zs.start - wide.start, zs.stop - wide.start))

    def alone(self, slab: Slab) -> NDArray[Any]:
        """The first slice that is kept: its first channel."""
        alone_YX: NDArray[Any] = slab.raw_CZYX[0, slab.inner.start]
        return alone_YX


def mirrored(place: int, length: int) -> int:
    """Where a place beyond the end comes from, as NumPy's `symmetric` padding has it."""
    place %= 2 * length
    return place if place < length else 2 * length - 1 - place
