"""How far a pixel looks: found out from the network itself, where its contract gives no rule.

One row of an image becomes not-a-number, and spreads through convolutions, pools, upsamplings and skips to just those
logits that depend on it, whatever the weights are. Axes: B batch, C channel, then rows, columns and so on.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mlex_jupyter.learn.models import contract, find_builder, measure

LENGTHS = (128, 256, 1024, 4096)
"""What is tried one after the other, until the row is farther from both ends than it spreads."""
TRIES = ((torch.float64, 8), (torch.float64, 64), (torch.float32, 64))
"""Precision and width. A narrow image is quick, and some networks do not take it; some insist on single precision,
in which oneDNN mixes neighbouring pixels on the way (Winograd), so that rather more is found than there is."""


def halo(where: str, params: Mapping[str, Any], network: nn.Module, channels: int) -> int | None:
    """How many pixels a tile needs around it to come out as from the whole slice; None where no number is enough.

    Said by its contract, else by the network's own `halo`, else found out. `channels` are all that the network takes.
    """
    promise = contract(find_builder(where))
    if not promise.finite_halo:
        return None
    said = measure(where, promise.halo, params)
    if said is not None:
        return said
    return reach(network, measure(where, promise.divisible_by, params) or 1, channels, promise.dims)


def reach(network: nn.Module, multiple: int, channels: int, dims: int = 2) -> int | None:
    """The same, of any network: counted from the block of `multiple` pixels that a logit is in, where tiles are cut."""
    if isinstance(own := getattr(network, "halo", None), int):
        return own
    probe = copy.deepcopy(network).cpu().eval()
    for kind, width in TRIES[:-1]:
        with contextlib.suppress(RuntimeError):
            return _reach(probe.to(kind), multiple, channels, [width] * dims)
    kind, width = TRIES[-1]
    return _reach(probe.to(kind), multiple, channels, [width] * dims)


def _reach(probe: nn.Module, multiple: int, channels: int, widths: list[int]) -> int | None:
    farthest = 0
    for axis in range(len(widths)):
        found = _along(probe, axis, multiple, channels, widths)
        if found is None:
            return None
        farthest = max(farthest, found)
    return farthest


def _along(probe: nn.Module, axis: int, multiple: int, channels: int, widths: list[int]) -> int | None:
    for least in LENGTHS:
        sides = [-(-side // multiple) * multiple for side in (*widths[:axis], least, *widths[axis + 1 :])]
        first = sides[axis] // 2 // multiple * multiple
        farthest = 0
        for row in range(first, first + multiple):  # each place in a block, since pooling sees them differently
            touched = _touched(probe, axis, row, channels, sides)
            if len(touched) and not multiple <= touched[0] <= touched[-1] < sides[axis] - multiple:
                break  # it may go on beyond the ends
            block = touched // multiple * multiple
            beyond = torch.maximum(block - row, row - (block + multiple - 1))
            farthest = max(farthest, 0, *beyond.tolist())
        else:
            return farthest
    return None


def _touched(probe: nn.Module, axis: int, row: int, channels: int, sides: list[int]) -> Tensor:
    """The rows of logits that depend on a row, in order."""
    image = torch.zeros(1, channels, *sides, dtype=_kind(probe))
    image.select(2 + axis, row).fill_(torch.nan)
    with torch.inference_mode():
        logits = probe(image)
    others = [dim for dim in range(logits.ndim) if dim != 2 + axis]
    rows: Tensor = logits.isnan().any(dim=others).nonzero().flatten()
    return rows


def _kind(probe: nn.Module) -> torch.dtype:
    held = (*probe.parameters(), *probe.buffers())
    return next((one.dtype for one in held if one.is_floating_point()), torch.float32)
