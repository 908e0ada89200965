"""What is trained: a network, the mean of its weights over the last steps, the best of these means, an optimizer.

The mean is what is judged, kept and predicted with. It is better than the weights of any one step, and as good at
the end of an epoch in which the loss jumps as in one in which it does not.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
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
        pairs = list(zip(self.mean.state_dict().values(), network.state_dict().values(), strict=True))
        self._averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counted = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Let the mean take in the weights of this step, the first being 0."""
        share = max(1 / LONGEST, 1 / (1 + SPAN * step))
        means, now = zip(*self._averaged, strict=True)
        torch._foreach_lerp_(means, now, share)
        for count, new in self._counted:
            count.copy_(new)

    @torch.no_grad()
    def take_statistics(self, images: Iterable[Tensor]) -> None:
        """Let the mean's batch normalisation forget what it knew of other weights, and look at these images."""
        normal = [one for one in self.mean.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
        moving = [one for one in normal if one.momentum]  # what is frozen stays
        if not moving:
            return
        momenta = [one.momentum for one in moving]
        for one in moving:
            one.reset_running_stats()
            one.train().momentum = None
        for images_BCHW in images:
            self.mean(images_BCHW)
        for one, momentum in zip(moving, momenta, strict=True):
            one.eval().momentum = momentum

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
