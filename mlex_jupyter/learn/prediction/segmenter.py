"""A trained network at work: raw slices in, class values and uncertainties out.

Axes: B batch, C channel, K class, Y row, X column.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from mlex_jupyter.errors import Invalid, NotFound
from mlex_jupyter.learn import grey
from mlex_jupyter.learn.models import build, contract, find_builder, measure
from mlex_jupyter.learn.models.fold import folded
from mlex_jupyter.learn.prediction import decide
from mlex_jupyter.learn.prediction.backends import Backend
from mlex_jupyter.learn.prediction.tiles import Fit, logits_of, padded, up_to
from mlex_jupyter.types import Trained

Bytes = NDArray[np.uint8]
SHOWN = 64
"""The side of what a network is shown, to see which of its layers can be folded."""


@dataclass(frozen=True)
class Found:
    """Of some slices."""

    values_BYX: Bytes
    unsure_BYX: Bytes
    shares_BKYX: Bytes | None
    """The probability of every class, 255 for certain, where somebody wants to have it."""


class Segmenter:
    """One network, ready for slices of any size."""

    def __init__(self, model: Trained, backend: Backend, fit: Fit, *, probabilities: bool = False) -> None:
        self.model = model
        self.backend = backend
        self.fit = fit
        self.probabilities = probabilities
        self._values = [one.value for one in model.classes]

    def __call__(self, raw_BCYX: NDArray[Any]) -> Found:
        """Class values and uncertainties of slices of one size."""
        rows, columns = raw_BCYX.shape[-2:]
        whole_BCYX = padded(raw_BCYX, self.fit.multiple)
        shape = whole_BCYX.shape[-2:]
        values, unsure = (np.empty((len(raw_BCYX), *shape), np.uint8) for _ in range(2))
        shares = np.empty((len(raw_BCYX), len(self._values), *shape), np.uint8) if self.probabilities else None
        for keep, logits_BKYX in logits_of(self._logits, whole_BCYX, self.fit):
            if shares is not None:
                shares[:, :, *keep] = decide.probabilities(logits_BKYX, len(self._values)).cpu().numpy()
            for into, found in zip((values, unsure), decide.decide(logits_BKYX, self._values), strict=True):
                into[:, *keep] = found.cpu().numpy()
        cut = slice(rows), slice(columns)
        return Found(values[:, *cut], unsure[:, *cut], None if shares is None else shares[:, :, *cut])

    def _logits(self, raw_BCYX: NDArray[Any]) -> Tensor:
        logits = self.backend(grey.normalised(raw_BCYX, self.model.preprocessing))
        if not torch.isfinite(logits.sum()):
            raise Invalid(
                f"The network {self.model.architecture} gives values that are not numbers.",
                hint="Its weights are damaged, or its training diverged: train again with a lower learning rate.",
            )
        return logits


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
    side = up_to(SHOWN, measure(model.builder, contract(find_builder(model.builder)).divisible_by, model.params) or 1)
    example_BCHW = torch.randn(1, model.channels, side, side, generator=torch.Generator().manual_seed(0))
    ready: nn.Module = folded(network, example_BCHW).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return ready


def weights_file(model: Trained, folder: Path) -> Path:
    """Where a model's weights are."""
    path = folder / model.weights
    if not path.is_file():
        raise NotFound(f"The model's weights are not at {path}.", hint="Was the run that made them deleted?")
    return path
