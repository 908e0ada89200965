"""From logits to classes, and how sure they are: argmax and entropy, both as bytes, a few rows at a time.

Entropy is counted against that of a pixel of which nothing is known, so that 0 is certain and 255 is a guess. Rows are
taken in blocks that stay in a processor's cache, class by class in planes, since that is what vectorises: torch's own
argmax takes the tenth part of a network's time. Axes: B batch, K class, H row, W column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

BLOCK = 1 << 15
"""Pixels of a block."""


def decide(logits_BKHW: Tensor, values: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The value of the most likely class of every pixel (of equals the first), and its uncertainty, as uint8.

    NaN where it should be a number comes out as 255 in the second; `torch.isfinite` of the logits tells more.
    """
    batch, _, rows, columns = logits_BKHW.shape
    found = torch.empty((batch, rows, columns), dtype=torch.uint8, device=logits_BKHW.device)
    unsure = torch.empty_like(found)
    step = max(1, BLOCK // columns) if logits_BKHW.device.type == "cpu" else rows
    for one in range(batch):
        for top in range(0, rows, step):
            block = slice(top, min(rows, top + step))
            planes_KHW = logits_BKHW[one, :, block].float().contiguous()
            _block(planes_KHW, values, found[one, block], unsure[one, block])
    return found, unsure


def _block(planes_KHW: Tensor, values: Sequence[int], found: Tensor, unsure: Tensor) -> None:
    found.fill_(values[0])
    best = planes_KHW[0].clone()
    for plane, value in zip(planes_KHW[1:], values[1:], strict=True):
        found.masked_fill_(plane > best, value)
        torch.maximum(best, plane, out=best)
    unsure.copy_(torch.nan_to_num_(_entropy(planes_KHW, best), nan=255.0, posinf=255.0))


def _entropy(planes_KHW: Tensor, best: Tensor) -> Tensor:
    """From 0 to 255, rounded."""
    classes = len(planes_KHW)
    if classes == 1:
        return torch.zeros_like(best)
    if classes == 2:  # of two, one difference says it all
        below = -(planes_KHW[1] - planes_KHW[0]).abs_()
        share = below.exp()
        whole = share + 1
        entropy = whole.log().sub_(below.mul_(share).div_(whole))
    else:
        below = planes_KHW.sub_(best)
        shares = below.exp()
        whole = shares.sum(dim=0)
        entropy = whole.log().sub_(below.mul_(shares).sum(dim=0).div_(whole))
    return entropy.mul_(255 / math.log(classes)).round_().clamp_(0, 255)


def probabilities(logits_BKHW: Tensor) -> Tensor:
    """Of every class, as uint8: 255 is certain."""
    return torch.softmax(logits_BKHW.float(), dim=1).mul_(255).round_().to(torch.uint8)
