"""Make a trained network faster to predict with: fold every batch normalisation into the convolution before it.

Within an `nn.Sequential` one follows from the other. Elsewhere it is seen what a forward pass does with an example, and
what comes out is compared: where a convolution's result is also used for something else, nothing is folded.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
ROUNDING = 1e-4


def folded(network: nn.Module, example_BCHW: Tensor | None = None) -> nn.Module:
    """A copy for prediction, equal but for rounding. With an example, also what stands in no `nn.Sequential`."""
    network = copy.deepcopy(network).eval()
    for part in network.modules():
        if isinstance(part, nn.Sequential):
            for first, second in pairwise(list(part)):
                if _fits(first, second):
                    _fold(network, first, second)
    return network if example_BCHW is None else _fold_what_follows(network, example_BCHW)


def _fold_what_follows(network: nn.Module, example_BCHW: Tensor) -> nn.Module:
    """All at once where that is equal, else one by one those that are."""
    if not any(_is_normal(part) for part in network.modules()):
        return network
    wanted, pairs = _watched(network, example_BCHW)
    for some in (pairs, *([pair] for pair in pairs if len(pairs) > 1)):
        tried = copy.deepcopy(network)
        for names in some:
            _fold(tried, *(tried.get_submodule(name) for name in names))
        if _is_equal(tried, example_BCHW, wanted):
            network = tried
            if some is pairs:
                break
    return network


def _is_equal(network: nn.Module, example_BCHW: Tensor, wanted: Tensor) -> bool:
    with torch.inference_mode():
        found = network(example_BCHW)
    return torch.allclose(found, wanted, rtol=ROUNDING, atol=ROUNDING * float(wanted.abs().max()))


def _watched(network: nn.Module, example_BCHW: Tensor) -> tuple[Tensor, list[tuple[str, str]]]:
    """What the network makes of an example, and which normalisation took just what a convolution gave, by name."""
    made: dict[int, nn.Module] = {}
    kept: list[Tensor] = []  # so that no address is used twice
    pairs: list[tuple[nn.Module, nn.Module]] = []
    calls: list[nn.Module] = []

    def watch(module: nn.Module, given: Any, result: Tensor) -> None:
        calls.append(module)
        if _is_normal(module) and id(given[0]) in made:
            pairs.append((made[id(given[0])], module))
        elif isinstance(module, CONVOLUTIONS):
            made[id(result)] = module
            kept.append(result)

    parts = [part for part in network.modules() if isinstance(part, CONVOLUTIONS) or _is_normal(part)]
    hooks = [part.register_forward_hook(watch) for part in parts]
    try:
        with torch.inference_mode():
            wanted: Tensor = network(example_BCHW)
    finally:
        for hook in hooks:
            hook.remove()
    named = {part: name for name, part in network.named_modules()}
    once = [pair for pair in pairs if _fits(*pair) and all(calls.count(one) == 1 for one in pair)]
    return wanted, [(named[first], named[second]) for first, second in once]


def _is_normal(part: nn.Module) -> bool:
    return isinstance(part, nn.modules.batchnorm._BatchNorm)


def _fits(first: nn.Module, second: nn.Module) -> bool:
    return (
        isinstance(first, CONVOLUTIONS)
        and isinstance(second, nn.modules.batchnorm._BatchNorm)
        and second.running_mean is not None
        and first.out_channels == second.num_features
    )


def _fold(network: nn.Module, first: Any, second: Any) -> None:
    fused = fuse_conv_bn_eval(first, second)
    for parent, name in list(_places(network, first)):
        setattr(parent, name, fused)
    for parent, name in list(_places(network, second)):
        setattr(parent, name, nn.Identity())


def _places(network: nn.Module, wanted: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    for part in network.modules():
        for name, child in part.named_children():
            if child is wanted:
                yield part, name
