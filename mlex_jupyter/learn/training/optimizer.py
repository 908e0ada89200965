"""How a step is taken: a kernel as a whole, all else number by number.

A kernel's gradient, read as a matrix with a row for each filter, is made orthogonal before it is followed (Muon): what
it says weakly is learned as soon as what it says loudly, textures as soon as grey values. A step is a share of the
kernel's own length, so that one rate suits shallow layers and deep ones. Biases and normalisation go by AdamW.

The orthogonal matrix is found by Newton and Schulz's iteration over the products of its rows, which are few, and over
all kernels with as many rows at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

SLOPE = (3.4445, -4.7750, 2.0315)
"""Of the polynomial that draws every singular value towards 1, as Muon's authors found it."""
TURNS = 5
MOMENTUM = 0.6
OTHERS = 0.2
"""The rate of what is no kernel, as a share of the kernels'."""
TINY = 1e-12


class Muon(torch.optim.AdamW):
    """Muon for the kernels of a network, AdamW for the rest of it."""

    def __init__(self, network: nn.Module, rate: float, weight_decay: float) -> None:
        trained = [one for one in network.parameters() if one.requires_grad]
        self.kernels = [one for one in trained if one.ndim > 2]
        rest = [one for one in trained if one.ndim <= 2]
        groups = [
            {"params": self.kernels, "weight_decay": weight_decay, "share": 1.0},
            {"params": rest, "weight_decay": 0.0, "share": OTHERS},
        ]
        super().__init__([group for group in groups if group["params"]], lr=rate, fused=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; each group's `lr` is its `share` of the rate."""
        moved = [one for one in self.kernels if one.grad is not None]
        if moved:
            group = self.param_groups[0]
            steps = orthogonal([self._direction(one) for one in moved])
            for one, step in zip(moved, steps, strict=True):
                long = one.norm() / (step.norm() + TINY) * group["lr"]
                one.mul_(1 - group["lr"] * group["weight_decay"]).sub_(step.reshape(one.shape) * long)
                one.grad = None  # or AdamW would take a step of its own
        return super().step(closure)

    def _direction(self, kernel: Tensor) -> Tensor:
        """Where its gradient goes on average, and lately."""
        state = self.state[kernel]
        if "momentum" not in state:
            state["momentum"], state["step"] = torch.zeros_like(kernel), torch.zeros(())
        state["step"] += 1
        assert kernel.grad is not None
        state["momentum"].lerp_(kernel.grad, 1 - MOMENTUM)
        return kernel.grad.lerp(state["momentum"], MOMENTUM)


def orthogonal(given: list[Tensor]) -> list[Tensor]:
    """For each kernel the nearest whose filters are orthogonal and of one length, but for a common factor; flat."""
    flat = [one.reshape(len(one), -1) for one in given]
    wide = [one if one.shape[0] <= one.shape[1] else one.T for one in flat]
    wide = [one / (one.norm() + TINY) for one in wide]
    alike: dict[int, list[int]] = {}
    for index, one in enumerate(wide):
        alike.setdefault(len(one), []).append(index)
    found = list(wide)
    for indices in alike.values():
        turned = _turned(torch.stack([wide[index] @ wide[index].T for index in indices]))
        for index, turn in zip(indices, turned, strict=True):
            found[index] = turn @ wide[index]
    return [made if one.shape[0] <= one.shape[1] else made.T for one, made in zip(flat, found, strict=True)]


def _turned(products: Tensor) -> Tensor:
    """What rows with these products are to be multiplied by."""
    first, second, third = SLOPE
    one = torch.eye(products.shape[-1], dtype=products.dtype, device=products.device)
    turned = one.expand_as(products)
    for _ in range(TURNS):
        bend = torch.baddbmm(products, products, products, beta=second, alpha=third)
        bend.diagonal(dim1=1, dim2=2).add_(first)
        turned = bend @ turned
        products = bend @ products @ bend
    return turned
