"""A trained network at work: raw slices in, class values and uncertainties out.

Axes: B batch, C channel, K class, Y row, X column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from mlex_jupyter.data.volume import Volume
from mlex_jupyter.errors import Invalid, NotFound
from mlex_jupyter.learn import grey
from mlex_jupyter.learn.machine import laid_out
from mlex_jupyter.learn.models import build, wants
from mlex_jupyter.learn.models.fold import folded
from mlex_jupyter.learn.prediction import bands, decide, slabs
from mlex_jupyter.learn.prediction.backends import Backend, Torch
from mlex_jupyter.learn.prediction.tiles import Fit, logits_of, padded, up_to
from mlex_jupyter.types import Trained

Bytes = NDArray[np.uint8]
SHOWN = {2: 64, 3: 32}
"""The side, by dimensions, of what a network is shown, to see which of its layers can be folded."""


@dataclass(frozen=True)
class Found:
    """Of some slices."""

    values_BYX: Bytes
    unsure_BYX: Bytes
    shares_BKYX: Bytes | None
    """The probability of every class, 255 for certain, where somebody wants to have it."""


class Segmenter:
    """One network, ready for slices of any size, or for slabs of them."""

    def __init__(self, model: Trained, backend: Backend, fit: Fit, *, probabilities: bool = False) -> None:
        self.model = model
        self.backend = backend
        self.fit = fit
        self.probabilities = probabilities
        self._values = [one.value for one in model.classes]

    def __call__(self, raw_BCYX: NDArray[Any]) -> Found:
        """Class values and uncertainties of slices of one size."""
        whole_BCYX = padded(raw_BCYX, self.fit.multiple)
        return self._decided(len(raw_BCYX), raw_BCYX.shape[-2:], logits_of(self._logits, whole_BCYX, self.fit))

    def slab(self, slab: slabs.Slab, tell: Callable[[float], None]) -> Found:
        """The same of the slices that a slab is for; told is the share that is done, part by part."""
        rows, columns = slab.raw_CZYX.shape[-2:]

        def told() -> Iterator[tuple[tuple[slice, slice], Tensor]]:
            done = 0
            for keep, logits_BKYX in slabs.logits_of(self._logits, slab, self.fit):
                yield keep, logits_BKYX
                down, right = (min(side, cut.stop) - cut.start for side, cut in zip((rows, columns), keep, strict=True))
                done += down * right
                tell(done / (rows * columns))

        return self._decided(slab.inner.stop - slab.inner.start, (rows, columns), told())

    def _decided(
        self, count: int, sides: tuple[int, ...], parts: Iterable[tuple[tuple[slice, slice], Tensor]]
    ) -> Found:
        """Classes and uncertainties of so many slices, whose logits come in parts."""
        shape = [up_to(side, self.fit.multiple) for side in sides]
        values, unsure = (np.empty((count, *shape), np.uint8) for _ in range(2))
        shares = np.empty((count, len(self._values), *shape), np.uint8) if self.probabilities else None
        for keep, logits_BKYX in parts:
            if shares is not None:
                shares[:, :, *keep] = decide.probabilities(logits_BKYX, len(self._values)).cpu().numpy()
            for into, found in zip((values, unsure), decide.decide(logits_BKYX, self._values), strict=True):
                into[:, *keep] = found.cpu().numpy()
        cut = tuple(slice(side) for side in sides)
        return Found(values[:, *cut], unsure[:, *cut], None if shares is None else shares[:, :, *cut])

    def _logits(self, raw_BCYX: NDArray[Any]) -> Tensor:
        logits = self.backend(grey.normalised(raw_BCYX, self.model.preprocessing))
        if not torch.isfinite(logits.sum()):
            raise Invalid(
                f"The network {self.model.architecture} gives values that are not numbers.",
                hint="Its weights are damaged, or its training diverged: train again with a lower learning rate.",
            )
        return logits


def in_slabs(
    model: Trained, network: nn.Module, volume: Volume, fit: Fit, device: torch.device, memory_gb: float
) -> Bytes:
    """The class values of a whole volume, of a 3-D network."""
    depth, channels, rows, columns = volume.shape_ZCYX
    if channels != model.channels:
        raise Invalid(f"This network takes {model.channels} channel(s); the volume has {channels}.")
    cut = slabs.cut_for(network, volume, range(depth), fit, device, memory_gb)
    segmenter, reader = Segmenter(model, Torch(network, device), cut.fit), slabs.Reader(volume, cut.fit)
    found = np.empty((depth, rows, columns), np.uint8)
    for zs in bands.pieces(range(depth), cut.band):
        found[zs.start : zs.stop] = segmenter.slab(reader(zs), lambda share: None).values_BYX
    return found


def load_network(model: Trained, weights: Path, device: torch.device) -> nn.Module:
    """The trained network, ready to predict. Weights are safetensors; nothing in them can run."""
    network = build(model.builder, model.params, channels=model.channels, classes=len(model.classes))
    try:
        network.load_state_dict(load_file(weights))
    except Exception as error:  # safetensors and torch have several errors for weights that do not fit
        first = " ".join(str(error).split())[:300]
        raise Invalid(
            f"The weights do not fit {model.architecture}: {first}",
            hint="Was the package that the architecture comes from changed? Train again, or install the old version.",
        ) from error
    wanted = wants(model.builder, model.params)
    sides = [up_to(SHOWN[wanted.dims], wanted.multiple)] * wanted.dims
    example = torch.randn(1, model.channels, *sides, generator=torch.Generator().manual_seed(0))
    return laid_out(folded(network, example), wanted.dims, device)


def weights_file(model: Trained, folder: Path) -> Path:
    """Where a model's weights are."""
    path = folder / model.weights
    if not path.is_file():
        raise NotFound(f"The model's weights are not at {path}.", hint="Was the run that made them deleted?")
    return path
