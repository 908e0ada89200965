"""A plain U-Net, our own: two convolutions a level, max-pooling down, transposed convolutions up.

In two or three dimensions, or with neighbouring slices as channels. Axes: B batch, C channel, D slice, H row, W column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from mlex_jupyter.learn.models import architecture

LAYERS: dict[int, tuple[Any, Any, Any, Any, Any]] = {
    2: (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.ConvTranspose2d, nn.Dropout2d),
    3: (nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d, nn.ConvTranspose3d, nn.Dropout3d),
}


class UNet(nn.Module):
    """Encoder, decoder, and a skip between each pair of levels."""

    def __init__(self, channels: int, classes: int, widths: Sequence[int], dropout: float = 0.0, dims: int = 2) -> None:
        super().__init__()
        convolution, _, pool, raise_, drop = LAYERS[dims]
        before = [channels, *widths[:-1]]
        self.down = nn.ModuleList(_level(a, b, dims) for a, b in zip(before, widths, strict=True))
        self.pool = pool(2)
        self.dropout = drop(dropout)
        pairs = list(zip(widths[1:], widths[:-1], strict=True))[::-1]
        self.raise_ = nn.ModuleList(raise_(deep, flat, 2, stride=2) for deep, flat in pairs)
        self.up = nn.ModuleList(_level(2 * flat, flat, dims) for _, flat in pairs)
        self.out = convolution(widths[0], classes, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits of the same sides."""
        *skips, x_BCHW = self.encode(x_BCHW)
        x_BCHW = self.dropout(x_BCHW)
        for raise_, level in zip(self.raise_, self.up, strict=True):
            x_BCHW = level(torch.cat((skips.pop(), raise_(x_BCHW)), dim=1))
        logits_BCHW: Tensor = self.out(x_BCHW)
        return logits_BCHW

    def encode(self, x_BCHW: Tensor) -> list[Tensor]:
        """What each level makes of it on the way down, the deepest last."""
        made: list[Tensor] = []
        for level in self.down:
            made.append(level(self.pool(made[-1]) if made else x_BCHW))
        return made


def _level(channels: int, width: int, dims: int) -> nn.Sequential:
    convolution, normal, *_ = LAYERS[dims]
    return nn.Sequential(
        convolution(channels, width, 3, padding=1, bias=False),
        normal(width),
        nn.ReLU(inplace=True),
        convolution(width, width, 3, padding=1, bias=False),
        normal(width),
        nn.ReLU(inplace=True),
    )


Depth = Annotated[int, Field(ge=2, le=6, description="Levels; each halves the resolution.")]
Base = Annotated[int, Field(ge=4, le=128, description="Feature maps of the first level.")]
Growth = Annotated[float, Field(ge=1, le=3, description="How many times wider each level is.")]
Dropout = Annotated[float, Field(ge=0, le=0.9, description="Share of deep feature maps left out.")]
PRESETS = {
    "fast": {"depth": 3, "base_channels": 8},
    "balanced": {"depth": 4, "base_channels": 16},
    "best": {"depth": 5, "base_channels": 32},
}

BLOCKS = {"patch": 48, "batch": 4}
"""How training shows blocks: about as wide as a voxel looks, and as many voxels in a batch as pixels of crops."""


@architecture(
    title="Plain U-Net",
    encodes=True,
    place=2,
    description="The classic encoder and decoder with skips. A good first choice.",
    divisible_by="2**(depth-1)",
    halo="6*2**(depth-1)",
    presets=PRESETS,
)
def unet(
    *,
    channels: int,
    classes: int,
    depth: Depth = 4,
    base_channels: Base = 16,
    growth: Growth = 2.0,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """Build one with fresh weights."""
    return UNet(channels, classes, widths(depth, base_channels, growth), dropout)


@architecture(
    title="U-Net in 2.5-D",
    encodes=True,
    place=4,
    description="The plain U-Net with the slices above and below as channels: some depth, at the price of 2-D.",
    divisible_by="2**(depth-1)",
    halo="6*2**(depth-1)",
    neighbours="neighbours",
    presets=PRESETS,
)
def unet25d(
    *,
    channels: int,
    classes: int,
    depth: Depth = 4,
    base_channels: Base = 16,
    growth: Growth = 2.0,
    dropout: Dropout = 0.0,
    neighbours: Annotated[int, Field(ge=1, le=8, description="Slices above, and as many below, that it sees.")] = 2,
) -> nn.Module:
    """Build one with fresh weights: `channels` of each of `2*neighbours+1` slices, the topmost first."""
    return UNet(channels * (2 * neighbours + 1), classes, widths(depth, base_channels, growth), dropout)


@architecture(
    title="U-Net in 3-D",
    place=5,
    description="The plain U-Net over blocks instead of slices: for what only shows in depth. Takes memory and time.",
    divisible_by="2**(depth-1)",
    halo="6*2**(depth-1)",
    dims=3,
    training=BLOCKS,
    presets={
        "fast": {"depth": 3, "base_channels": 4},
        "balanced": {"depth": 3, "base_channels": 8},
        "best": {"depth": 4, "base_channels": 16},
    },
)
def unet3d(
    *,
    channels: int,
    classes: int,
    depth: Depth = 3,
    base_channels: Base = 8,
    growth: Growth = 2.0,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """Build one with fresh weights."""
    return UNet(channels, classes, widths(depth, base_channels, growth), dropout, dims=3)


def widths(depth: int, base_channels: int, growth: float) -> list[int]:
    """The feature maps of each level."""
    return [round(base_channels * growth**level) for level in range(depth)]
