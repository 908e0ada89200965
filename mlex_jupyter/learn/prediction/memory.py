"""How much is computed at once: what memory allows, as measured on the network; and half of it where that was too much.

Of what a prediction may hold, slices that are read, found and written take a part, and the objects that are counted.
The rest is for the network's layers, and decides how large a tile is. GPUs have memory of their own for those.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import psutil

from mlex_jupyter.errors import MlexError
from mlex_jupyter.learn import machine
from mlex_jupyter.learn.prediction.backends import Backend, trim
from mlex_jupyter.learn.prediction.ledger import Plan
from mlex_jupyter.learn.prediction.tiles import LEAST_PIXELS, Fit, tiles, up_to

MOST_BYTES = 1.5e9
"""Of the whole process on a processor, beyond the weights: however large the volume is."""
SPARE_BYTES = 0.05e9
"""For what is not foreseen."""
COUNTED = 16
"""Bytes for each pixel of a slice while its objects are counted: 5 for real ones, some 25 for nothing but noise."""
SMALL, LARGE = 256, 512
"""The sides of what a network is measured on."""
SURE_BYTES = 0.4e9
"""A slice that is estimated to take no more takes less than there is, though estimates may be wrong by a factor."""
ROUND = 64
"""The side of a tile is rounded down to this, so that the next time it is cut alike."""


def held(sides: Sequence[int], pixel_bytes: int, found_bytes: int, ahead: int) -> float:
    """What slices take that are not in the network: some are read ahead, one is computed, some wait to be written."""
    return math.prod(sides) * ((pixel_bytes + found_bytes) * (ahead + 1) + COUNTED)


def left(held_bytes: float, weights_bytes: float, memory_gb: float) -> float:
    """What remains for the layers of a network, of what a job may take and of what the machine has."""
    trim()
    left = min(MOST_BYTES + weights_bytes, memory_gb * 1e9) - _resident()
    return min(left, psutil.virtual_memory().available, machine.free_bytes()) - SPARE_BYTES - held_bytes


def measured(backend: Backend, multiple: int) -> float:
    """By how many bytes the process grows for each further pixel on its way through the layers."""
    resident, pixels = [], []
    for least in (SMALL, LARGE):
        side = up_to(least, multiple)
        backend(np.zeros((1, backend.channels, side, side), np.float32))
        resident.append(_resident())
        pixels.append(side**2)
    return (resident[1] - resident[0]) / (pixels[1] - pixels[0])


def fitted(fit: Fit, sides: Sequence[int], bytes_left: float, estimate: float, backend: Backend) -> Fit:
    """The largest tile that keeps to what is left, if the slice is so large that it matters."""
    if math.prod(sides) * estimate <= min(SURE_BYTES, bytes_left):
        return fit
    pixel_bytes = max(measured(backend, fit.multiple), estimate / 4)  # what was let go of may be used again
    side = math.isqrt(max(LEAST_PIXELS, int(bytes_left / pixel_bytes)))
    return replace(fit, largest=side // ROUND * ROUND)


def less(plan: Plan, sides: Sequence[int], pixel_bytes: float) -> tuple[Plan, str]:
    """Half as much at once: fewer slices, then smaller tiles; and how to say it."""
    if plan.batch > 1:
        smaller = plan.model_copy(update={"batch": plan.batch // 2})
        return smaller, f"{plan.batch} slices at once are more than the memory holds: from now on {smaller.batch}"
    shape = up_to(sides[-2], plan.multiple), up_to(sides[-1], plan.multiple)
    before = _tile(shape, plan)
    smaller = plan.model_copy(update={"largest": math.isqrt(math.prod(before) // 2)})
    after = _tile(shape, smaller)
    words = "{} × {} pixels".format(*before)
    if math.prod(after) >= math.prod(before):
        raise MlexError(
            f"{words} at once are more than the memory holds, and with this network pieces cannot be smaller.",
            hint=f"They take some {_gb(math.prod(before) * pixel_bytes)} beside the {_gb(_resident())} in use: close "
            "other programs, take a machine with more memory, or train a network with fewer channels.",
        )
    return smaller, f"{words} at once are more than the memory holds: from now on {after[0]} × {after[1]}"


def too_large(sides: Sequence[int], held_bytes: float) -> MlexError:
    """What to say where the slices themselves, beside the network, do not fit."""
    return MlexError(
        f"Slices of {sides[-2]} × {sides[-1]} pixels are more than the memory holds.",
        hint=f"Beside the network they take some {_gb(held_bytes)}: close other programs, or take a machine with more "
        "memory. What is written is kept; `mlex resume` goes on.",
    )


def _tile(shape: tuple[int, int], plan: Plan) -> tuple[int, int]:
    rows, columns = next(tiles(shape, Fit(plan.multiple, plan.halo, plan.largest))).read
    return rows.stop - rows.start, columns.stop - columns.start


def _resident() -> int:
    resident: int = psutil.Process().memory_info().rss
    return resident


def _gb(size: float) -> str:
    return f"{size / 1e9:.2g} GB"
