"""SimCLR: an encoder learns from slices alone, before there are labels, by telling two views of one patch from others.

A view is the patch as it might have been scanned as well: shifted, a little larger or smaller, flipped, turned by
quarters, brighter, darker, less sharp, noisier. Colours, cuts and odd angles, which no scan makes, are left out. The
encoder is that of any network with `encode`, a U-Net of ours or DLSIA's; its weights keep their names, so that such a
network can begin with them.
Axes: B batch, C channel, H row, W column, P projection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlex_jupyter.errors import Invalid

PROJECTED = 64


@dataclass(frozen=True)
class Changes:
    """How far a view may be from its patch; grey values are such that nearly all lie between -2 and 2."""

    scale: float = 0.2
    """By this share larger or smaller."""
    gain: float = 0.25
    """By this share more or less contrast."""
    offset: float = 0.3
    blur: float = 1.0
    """The widest Gaussian, in pixels."""
    noise: float = 0.25


class SimCLR(nn.Module):
    """A network whose encoder learns, and the head that is only there meanwhile."""

    def __init__(self, network: nn.Module, channels: int) -> None:
        super().__init__()
        self.network = network
        width = embed(network, torch.zeros(2, channels, 64, 64)).shape[1]
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, PROJECTED))

    def forward(self, views_BCHW: Tensor) -> Tensor:
        """Where each view lies on the sphere."""
        found_BP: Tensor = functional.normalize(self.head(embed(self.network, views_BCHW)), dim=1)
        return found_BP

    def loss(self, patches_BCHW: Tensor, side: int, dice: torch.Generator, changes: Changes | None = None) -> Tensor:
        """How badly the two views of each patch are told from those of the others."""
        changes = changes or Changes()
        first, second = (views(patches_BCHW, side, dice, changes) for _ in range(2))
        return nt_xent(*self(torch.cat((first, second))).chunk(2))


def embed(network: nn.Module, x_BCHW: Tensor) -> Tensor:
    """What the encoder makes of each image as a whole, as numbers: each level's features, averaged over the places.

    The levels near the image are among them since they are what tells one texture from another, and what a
    segmentation begins with.
    """
    return torch.cat([level.flatten(2).mean(dim=2) for level in _encode(network)(x_BCHW)], dim=1)


def nt_xent(first_BP: Tensor, second_BP: Tensor, temperature: float = 0.2) -> Tensor:
    """Cross-entropy of finding each view's partner among all others; the views have length 1."""
    both = torch.cat((first_BP, second_BP))
    near = both @ both.T / temperature
    near.fill_diagonal_(-torch.inf)
    count = len(first_BP)
    partner = torch.arange(2 * count, device=both.device).roll(count)
    return functional.cross_entropy(near, partner)


def encoder_weights(network: nn.Module) -> dict[str, Tensor]:
    """The encoder's part of a network's state, under the names that it has there."""
    used: set[nn.Module] = set()
    parts = [part for part in network.modules() if not any(True for _ in part.children())]
    hooks = [part.register_forward_hook(lambda part, given, made: used.add(part)) for part in parts]
    was_training = network.training
    try:
        with torch.inference_mode():
            first = next(iter(network.parameters()))
            embed(network.eval(), torch.zeros(1, first.shape[1], 64, 64, device=first.device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    names = [f"{name}." for name, part in network.named_modules() if part in used]
    return {key: value for key, value in network.state_dict().items() if key.startswith(tuple(names))}


def _encode(network: nn.Module) -> Callable[[Tensor], list[Tensor]]:
    found: Any = getattr(network, "encode", None)
    if found is None:
        raise Invalid(
            f"{type(network).__name__} has no encoder that could learn without labels.",
            hint="Choose a U-Net, or give the network a method `encode` that returns each level's features.",
        )
    return found  # type: ignore[no-any-return]


# ---------------------------------------------------------------- views


def views(patches_BCHW: Tensor, side: int, dice: torch.Generator, changes: Changes) -> Tensor:
    """One view of each patch, of this side."""
    if side > min(patches_BCHW.shape[-2:]):
        raise Invalid(f"A view of {side} pixels is larger than its patch.")
    return torch.stack([_view(patch, side, dice, changes) for patch in patches_BCHW])


def _view(patch_CHW: Tensor, side: int, dice: torch.Generator, changes: Changes) -> Tensor:
    cut = min(round(side * (1 + changes.scale * (2 * _share(dice) - 1))), *patch_CHW.shape[-2:])
    top, left = (_whole(dice, size - cut + 1) for size in patch_CHW.shape[-2:])
    view = patch_CHW[:, top : top + cut, left : left + cut]
    if cut != side:
        view = functional.interpolate(view[None], (side, side), mode="bilinear", align_corners=False)[0]
    view = torch.rot90(view, _whole(dice, 4), (1, 2))
    view = view.flip(2) if _whole(dice, 2) else view
    if _whole(dice, 2):
        view = _blurred(view, 0.2 + changes.blur * _share(dice))
    gain, offset = 1 + changes.gain * (2 * _share(dice) - 1), changes.offset * (2 * _share(dice) - 1)
    noise = torch.randn(view.shape, generator=dice).to(view) * changes.noise * _share(dice)
    return view * gain + offset + noise


def _blurred(view_CHW: Tensor, sigma: float) -> Tensor:
    t = torch.arange(-3, 4, device=view_CHW.device, dtype=view_CHW.dtype) / sigma
    kernel = torch.softmax(-t * t / 2, dim=0)
    wide = functional.pad(view_CHW[:, None], (3, 3, 3, 3), mode="reflect")
    return functional.conv2d(functional.conv2d(wide, kernel[None, None, :, None]), kernel[None, None, None])[:, 0]


def _whole(dice: torch.Generator, below: int) -> int:
    return int(torch.randint(below, (), generator=dice))


def _share(dice: torch.Generator) -> float:
    return float(torch.rand((), generator=dice))
