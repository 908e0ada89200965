"""A plain U-Net, our own: two convolutions a level, max-pooling down, transposed convolutions up.

Axes: B batch, C channel, H row, W column.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from mlex_jupyter.learn.models import architecture


class UNet(nn.Module):
    """Encoder, decoder, and a skip between each pair of levels."""

    def __init__(self, channels: int, classes: int, widths: list[int], dropout: float) -> None:
        super().__init__()
        before = [channels, *widths[:-1]]
        self.down = nn.ModuleList(_level(a, b) for a, b in zip(before, widths, strict=True))
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout2d(dropout)
        pairs = list(zip(widths[1:], widths[:-1], strict=True))[::-1]
        self.raise_ = nn.ModuleList(nn.ConvTranspose2d(deep, flat, 2, stride=2) for deep, flat in pairs)
        self.up = nn.ModuleList(_level(2 * flat, flat) for _, flat in pairs)
        self.out = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits of the same rows and columns."""
        skips: list[Tensor] = []
        for level in self.down[:-1]:
            skips.append(level(x_BCHW))
            x_BCHW = self.pool(skips[-1])
        x_BCHW = self.dropout(self.down[-1](x_BCHW))
        for raise_, level in zip(self.raise_, self.up, strict=True):
            x_BCHW = level(torch.cat((skips.pop(), raise_(x_BCHW)), dim=1))
        logits_BCHW: Tensor = self.out(x_BCHW)
        return logits_BCHW


def _level(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


@architecture(
    title="Plain U-Net",
    description="The classic encoder and decoder with skips. A good first choice.",
    divisible_by="2**(depth-1)",
    halo="6*2**(depth-1)",
    presets={
        "fast": {"depth": 3, "base_channels": 8},
        "balanced": {"depth": 4, "base_channels": 16},
        "best": {"depth": 5, "base_channels": 32},
    },
)
def unet(
    *,
    channels: int,
    classes: int,
    depth: Annotated[int, Field(ge=2, le=6, description="Levels; each halves the resolution.")] = 4,
    base_channels: Annotated[int, Field(ge=4, le=128, description="Feature maps of the first level.")] = 16,
    growth: Annotated[float, Field(ge=1, le=3, description="How many times wider each level is.")] = 2.0,
    dropout: Annotated[float, Field(ge=0, le=0.9, description="Share of deep feature maps left out.")] = 0.0,
) -> nn.Module:
    """Build one with fresh weights."""
    widths = [round(base_channels * growth**level) for level in range(depth)]
    return UNet(channels, classes, widths, dropout)
