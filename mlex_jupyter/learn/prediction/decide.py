"""From logits to classes, and how sure they are: argmax and entropy, both as bytes.

Entropy is counted against that of a pixel of which nothing is known, so that 0 is certain and 255 is a guess. Of an
ensemble it is the standard deviation, over its members, of the probability of the class that their mean chooses: 0
where they agree, 255 where one half is certain of it and the other half of another. On a processor planes.py does it, a
few rows at a time. Axes: B batch, M member, K class, H row, W column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mlex_jupyter.learn.prediction.planes import Planes

BLOCK = 1 << 15
"""Pixels of a block on a processor."""


def decide(logits_BKHW: Tensor, values: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The value of the most likely class of every pixel (of equals the first), and its uncertainty, as uint8.

    Where there are several times as many channels as classes they are those of several members, one after the other.
    NaN where it should be a number comes out as 255 in the second; `torch.isfinite` of the logits tells more.
    """
    batch, channels, rows, columns = logits_BKHW.shape
    found = torch.empty((batch, rows, columns), dtype=torch.uint8, device=logits_BKHW.device)
    unsure = torch.empty_like(found)
    if logits_BKHW.device.type != "cpu":
        for one in range(batch):
            _block(logits_BKHW[one].float().contiguous(), values, found[one], unsure[one])
        return found, unsure
    step = max(1, BLOCK // columns)
    decided = Planes(values, channels, step * columns)
    for logits_KHW, found_HW, unsure_HW in zip(logits_BKHW.float().numpy(), found.numpy(), unsure.numpy(), strict=True):
        for top in range(0, rows, step):
            block = slice(top, min(rows, top + step))
            decided(logits_KHW[:, block], found_HW[block], unsure_HW[block])
    return found, unsure


def _block(planes_KHW: Tensor, values: Sequence[int], found: Tensor, unsure: Tensor) -> None:
    if len(planes_KHW) > len(values):
        shares_MKHW = torch.stack(planes_KHW.tensor_split(len(planes_KHW) // len(values))).softmax(dim=1)
        _choose(shares_MKHW.mean(dim=0), values, found)
        doubt = _spread(shares_MKHW, values, found)
    else:
        doubt = _entropy(planes_KHW, _choose(planes_KHW, values, found))
    unsure.copy_(torch.nan_to_num_(doubt, nan=255.0, posinf=255.0))


def _choose(planes_KHW: Tensor, values: Sequence[int], found: Tensor) -> Tensor:
    """The value of the largest, and how large it is."""
    found.fill_(values[0])
    best = planes_KHW[0].clone()
    for plane, value in zip(planes_KHW[1:], values[1:], strict=True):
        found.masked_fill_(plane > best, value)
        torch.maximum(best, plane, out=best)
    return best


def _spread(shares_MKHW: Tensor, values: Sequence[int], found: Tensor) -> Tensor:
    """From 0 to 255, rounded; a probability's standard deviation is one half at the most."""
    spread_KHW = shares_MKHW.std(dim=0, correction=0)
    spread_HW = torch.zeros_like(spread_KHW[0])
    for plane_HW, value in zip(spread_KHW, values, strict=True):
        torch.where(found == value, plane_HW, spread_HW, out=spread_HW)
    return spread_HW.mul_(2 * 255).round_().clamp_(0, 255)


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


def probabilities(logits_BKHW: Tensor, classes: int) -> Tensor:
    """Of every class, as uint8: 255 is certain. Of several members their mean."""
    each_MBKHW = torch.stack(logits_BKHW.float().tensor_split(logits_BKHW.shape[1] // classes, dim=1))
    return each_MBKHW.softmax(dim=2).mean(dim=0).mul_(255).round_().to(torch.uint8)
