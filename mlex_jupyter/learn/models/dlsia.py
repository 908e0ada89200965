# mypy: ignore-errors
"""DLSIA's tunable U-Net behind our contract: its network, our training, our files.

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

from pydantic import Field
from torch import nn

from mlex_jupyter.errors import Unavailable
from mlex_jupyter.learn.models import architecture

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


def _tunet_class():
    try:
        with stand_in_for_torchvision():
            importlib.import_module("dlsia.core.helpers")
        return importlib.import_module("dlsia.core.networks.tunet").TUNet
    except ImportError as error:
        raise Unavailable(
            f"DLSIA cannot be imported here: {error}.",
            hint="Install it with `pip install --no-deps dlsia qlty`, so that it does not replace torch.",
        ) from error


TUNet = _tunet_class()


@architecture(
    title="TUNet (DLSIA)",
    description="DLSIA's tunable U-Net, a proven choice for tomograms.",
    divisible_by="2**(depth-1)",
    halo="6*2**(depth-1)",
)
def tunet(
    *,
    channels: int,
    classes: int,
    depth: Annotated[int, Field(ge=2, le=6, description="Levels; each halves the resolution.")] = 4,
    base_channels: Annotated[int, Field(ge=4, le=128, description="Feature maps of the first level.")] = 16,
    growth_rate: Annotated[float, Field(ge=1, le=3, description="How many times wider each level is.")] = 2.0,
    hidden_rate: Annotated[float, Field(ge=1, le=3, description="How much wider it gets within a level.")] = 1.0,
) -> nn.Module:
    """Build one with fresh weights."""
    side = 2 ** (depth + 2)  # only used to work out the steps between levels, the same for every side that divides
    return TUNet(
        image_shape=(side, side),
        in_channels=channels,
        out_channels=classes,
        depth=depth,
        base_channels=base_channels,
        growth_rate=growth_rate,
        hidden_rate=hidden_rate,
        activation=nn.ReLU(),
    )
