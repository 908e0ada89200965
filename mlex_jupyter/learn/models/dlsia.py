# mypy: ignore-errors
"""DLSIA's networks behind our contract: its layers, our training, our files.

mypy leaves this file alone, since DLSIA carries no types.

DLSIA imports torchvision for two helpers that its networks never call, and torchvision is often missing or does not
fit the installed torch ("operator torchvision::nms does not exist"). Where, and only where, it cannot be imported,
a stand-in takes its place while `dlsia.core.helpers` is imported, and is removed at once: left in place, it would
break other packages that look for torchvision, and hide one that works.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
from collections.abc import Iterator
from typing import Annotated

import numpy as np
from pydantic import Field
from torch import nn

from mlex_jupyter.errors import Unavailable
from mlex_jupyter.learn.models import architecture
from mlex_jupyter.learn.models.unet import BLOCKS, LAYERS, PRESETS, Base, Depth, Growth

STAND_INS = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional", "torchvision.utils")


def _torchvision() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == "torchvision"]


def _works() -> bool:
    try:
        importlib.import_module("torchvision.transforms.functional")
        importlib.import_module("torchvision.utils")
    except Exception:  # a torchvision that does not fit its torch fails in many ways, RuntimeError among them
        return False
    return True


@contextlib.contextmanager
def stand_in_for_torchvision() -> Iterator[None]:
    """Let `import torchvision` succeed inside of the block, where it would not by itself."""
    if _works():
        yield
        return
    for name in _torchvision():  # what a broken one left half imported
        del sys.modules[name]
    for name in STAND_INS:
        sys.modules[name] = types.ModuleType(name)
    for name in STAND_INS[1:]:
        parent, _, child = name.rpartition(".")
        setattr(sys.modules[parent], child, sys.modules[name])
    sys.modules["torchvision.utils"].save_image = None
    try:
        yield
    finally:
        for name in _torchvision():
            del sys.modules[name]


def _its(module, name):
    try:
        with stand_in_for_torchvision():
            importlib.import_module("dlsia.core.helpers")
        return getattr(importlib.import_module(f"dlsia.core.networks.{module}"), name)
    except ImportError as error:
        raise Unavailable(
            f"DLSIA cannot be imported here: {error}.",
            hint="Install it with `pip install --no-deps dlsia qlty`, so that it does not replace torch.",
        ) from error


TUNet = _its("tunet", "TUNet")
TUNet3Plus = _its("tunet3plus", "TUNet3Plus")
MixedScaleDenseNetwork = _its("msdnet", "MixedScaleDenseNetwork")
random_SMS_network = _its("smsnet", "random_SMS_network")


class Tuned:
    """What its U-Nets do on their way down, said for itself."""

    def encode(self, x):
        """What each level makes of it, the deepest last."""
        made = []
        for level in range(self.depth):
            x = self._modules[self.step_down[level - 1]](made[-1]) if level else x
            made.append(self._modules[self.encoders[level]](x))
        return made


class TunedUNet(Tuned, TUNet):
    """DLSIA's tunable U-Net."""


class TunedUNet3Plus(Tuned, TUNet3Plus):
    """DLSIA's tunable U-Net 3+."""


Hidden = Annotated[float, Field(ge=1, le=3, description="How much wider it gets within a level.")]
Dilation = Annotated[int, Field(ge=1, le=15, description="The widest gap between the pixels that a filter takes.")]


@architecture(
    title="TUNet (DLSIA)",
    encodes=True,
    place=1,
    description="DLSIA's tunable U-Net, a proven choice for tomograms.",
    divisible_by="2**(depth-1)",
    halo="6*2**(depth-1)",
    presets=PRESETS,
)
def tunet(
    *,
    channels: int,
    classes: int,
    depth: Depth = 4,
    base_channels: Base = 16,
    growth_rate: Growth = 2.0,
    hidden_rate: Hidden = 1.0,
) -> nn.Module:
    """Build one with fresh weights."""
    return _tunet(2, channels, classes, depth, base_channels, growth_rate, hidden_rate)


@architecture(
    title="TUNet in 3-D (DLSIA)",
    place=6,
    description="DLSIA's tunable U-Net over blocks instead of slices: for what only shows in depth.",
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
def tunet3d(
    *,
    channels: int,
    classes: int,
    depth: Depth = 3,
    base_channels: Base = 8,
    growth_rate: Growth = 2.0,
    hidden_rate: Hidden = 1.0,
) -> nn.Module:
    """Build one with fresh weights."""
    return _tunet(3, channels, classes, depth, base_channels, growth_rate, hidden_rate)


def _tunet(dims, channels, classes, depth, base_channels, growth_rate, hidden_rate):
    convolution, normal, down, up, _ = LAYERS[dims]
    side = 2 ** (depth + 2)  # only used to work out the steps between levels, the same for every side that divides
    network = TunedUNet(
        image_shape=(side,) * dims,
        in_channels=channels,
        out_channels=classes,
        depth=depth,
        base_channels=base_channels,
        growth_rate=growth_rate,
        hidden_rate=hidden_rate,
        conv_kernel=convolution,
        kernel_down=down,
        kernel_up=up,
        normalization=normal,
        activation=nn.ReLU(),
    )
    return _forgetful(network)


@architecture(
    title="TUNet3+ (DLSIA)",
    encodes=True,
    description="DLSIA's U-Net 3+: every level sees all others, which helps where things differ in size. Slower.",
    divisible_by="2**(depth-1)",
    presets={
        "fast": {"depth": 3, "base_channels": 8},
        "balanced": {"depth": 4, "base_channels": 16},
        "best": {"depth": 4, "base_channels": 32, "carryover_channels": 32},
    },
)
def tunet3plus(
    *,
    channels: int,
    classes: int,
    depth: Depth = 4,
    base_channels: Base = 16,
    growth_rate: Growth = 2.0,
    hidden_rate: Hidden = 1.0,
    carryover_channels: Annotated[
        int, Field(ge=0, le=128, description="Feature maps of each skip; 0 for as many as the first level has.")
    ] = 0,
) -> nn.Module:
    """Build one with fresh weights, for slices of any size whose sides divide."""
    side = 2 ** (depth + 2)
    network = TunedUNet3Plus(
        image_shape=(side, side),
        in_channels=channels,
        out_channels=classes,
        depth=depth,
        base_channels=base_channels,
        growth_rate=growth_rate,
        hidden_rate=hidden_rate,
        carryover_channels=carryover_channels,
        activation=nn.ReLU(),
    )
    for level in range(1, depth - 1):
        del network._modules[f"Decode_{level}"]  # its forward pass has no use for them, and they would never be trained
    for name, skip in network.named_modules():
        if isinstance(skip, nn.Sequential) and isinstance(skip[0], nn.Upsample):
            # It upsamples to the sizes of `image_shape`; by a factor is the same there, and right for any other size.
            deep, flat = (int(word) for word in name.removeprefix("Skip_connection_").split("_to_"))
            skip[0] = nn.Upsample(scale_factor=2 ** (deep - flat), mode="nearest")
    return _forgetful(network)


@architecture(
    title="MSDNet (DLSIA)",
    description="DLSIA's mixed-scale dense network: few weights, learns from few labels, full resolution throughout.",
    presets={
        "fast": {"layers": 12, "max_dilation": 6},
        "balanced": {"layers": 24, "max_dilation": 8},
        "best": {"layers": 60, "max_dilation": 10},
    },
)
def msdnet(
    *,
    channels: int,
    classes: int,
    layers: Annotated[int, Field(ge=1, le=200, description="Layers; each sees all before it.")] = 24,
    layer_width: Annotated[int, Field(ge=1, le=16, description="Feature maps that each layer adds.")] = 1,
    max_dilation: Dilation = 8,
) -> nn.Module:
    """Build one with fresh weights."""
    return MixedScaleDenseNetwork(
        in_channels=channels,
        out_channels=classes,
        num_layers=layers,
        layer_width=layer_width,
        max_dilation=max_dilation,
        activation=nn.ReLU(),
    )


@architecture(
    title="SMSNet (DLSIA)",
    description="DLSIA's sparse mixed-scale network: a random graph of few weights. Several make a varied ensemble.",
    presets={
        "fast": {"layers": 10, "width": 4},
        "balanced": {"layers": 20, "width": 4},
        "best": {"layers": 40, "width": 8},
    },
)
def smsnet(
    *,
    channels: int,
    classes: int,
    layers: Annotated[int, Field(ge=3, le=200, description="Nodes between input and output.")] = 20,
    width: Annotated[int, Field(ge=1, le=32, description="Feature maps that each connection carries.")] = 4,
    max_dilation: Dilation = 8,
    alpha: Annotated[float, Field(ge=0, le=5, description="How much short connections are preferred.")] = 0.5,
    gamma: Annotated[float, Field(ge=0, le=5, description="How much few connections a node are preferred.")] = 1.0,
    graph: Annotated[int, Field(ge=0, le=2**31 - 1, description="Another number draws another graph.")] = 0,
) -> nn.Module:
    """Build one with fresh weights; the same parameters always draw the same graph, so that saved weights fit."""
    with _drawn_from(graph):
        network = random_SMS_network(
            in_channels=channels,
            out_channels=classes,
            layers=layers,
            dilation_choices=list(range(1, max_dilation + 1)),
            hidden_out_channels=[width],
            layer_probabilities={
                "LL_alpha": alpha,
                "LL_gamma": gamma,
                "LL_max_degree": None,
                "LL_min_degree": 1,
                "IL": 0.25,
                "LO": 0.5,
                "IO": True,
            },
        )
    for part in network.modules():
        for name, layer in part.named_children():
            if isinstance(layer, nn.BatchNorm2d):  # its own would normalise by each picture anew, tiles apart from it
                setattr(part, name, nn.BatchNorm2d(layer.num_features))
    return _forgetful(network)


@contextlib.contextmanager
def _drawn_from(seed):
    """Numpy's global dice, which DLSIA throws, show the same each time inside of the block."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)


def _forgetful(network):
    """Let go of what a forward pass leaves on the network: it takes memory, and keeps it from being copied."""
    network.register_forward_hook(_forget)
    return network


def _forget(network, given, made):
    for left in ("partials_encoder", "partials_decoder", "node_layer_accumulator"):
        kept = getattr(network, left, {})
        kept.update(dict.fromkeys(kept))
