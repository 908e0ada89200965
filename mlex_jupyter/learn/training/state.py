"""What is trained: a network, the mean of its weights over the last steps, the best of these means, an optimizer.

The mean is what is judged, kept and predicted with. It is better than the weights of any one step, and as good at
the end of an epoch in which the loss jumps as in one in which it does not.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

SPAN = 0.1
"""The mean is over about this share of the steps done."""
LONGEST = 1000
"""And over about this many steps at most."""


class State:
    """All that changes in a training, but for how far it is."""

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.network = network
        self.optimizer = optimizer
        self.mean: nn.Module = copy.deepcopy(network).eval().requires_grad_(False)
        self.best: dict[str, Tensor] = {}

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Let the mean take in the weights of this step, the first being 0."""
        share = max(1 / LONGEST, 1 / (1 + SPAN * step))
        for mean, now in zip(self.mean.state_dict().values(), self.network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, share)
            else:
                mean.copy_(now)

    def keep(self) -> None:
        """Remember the mean as the best so far."""
        self.best = packed(self.mean.state_dict())

    def load_best(self) -> nn.Module:
        """The network with the best weights."""
        self.mean.load_state_dict(self.best)
        return self.mean

    def tensors(self) -> dict[str, Tensor]:
        """All of it, by name."""
        tensors = {f"network/{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"mean/{name}": tensor for name, tensor in self.mean.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{name}": value for name, value in values.items()}
        return packed(tensors)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put all of it back."""
        self.network.load_state_dict(_part(tensors, "network/"))
        self.mean.load_state_dict(_part(tensors, "mean/"))
        self.best = _part(tensors, "best/")
        values: dict[int, dict[str, Any]] = {}
        for name, tensor in _part(tensors, "optimizer/").items():
            index, _, key = name.partition("/")
            values.setdefault(int(index), {})[key] = tensor
        groups = self.optimizer.state_dict()["param_groups"]  # numbers that the parameters give, not the training
        self.optimizer.load_state_dict({"param_groups": groups, "state": values})


def packed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of tensors, in the layout that safetensors keeps, of which nothing is shared."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
