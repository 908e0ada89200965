"""Training for values instead of classes: a picture without its noise, or whatever a pixel's surroundings tell.

Axes: B batch, C channel, H or Y row, W or X column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from mlex_jupyter.errors import Invalid
from mlex_jupyter.learn import grey
from mlex_jupyter.learn.models import contract, find_builder
from mlex_jupyter.learn.models.ensemble import Ensemble
from mlex_jupyter.learn.params import TrainParams
from mlex_jupyter.learn.prediction.tiles import Fit, fit_for, forward, logits_of, padded
from mlex_jupyter.learn.training.course import Course, Follower
from mlex_jupyter.learn.training.pairs import Pairs
from mlex_jupyter.learn.training.steps import Batch, Learning


class Restoring(Learning):
    """One training."""

    params: TrainParams

    def __init__(self, course: Course, pairs: Pairs, follower: Follower, **where: Any) -> None:
        self.pairs = pairs
        super().__init__(course, pairs.params, follower, **where)
        self.fit = fit_for(self.state.network, course.builder, course.params, self.device, course.memory_gb)
        taught = "what they shall become" if pairs.target is not None else "their own pixels, some of them hidden"
        follower.note(f"{len(pairs.zs)} slices, in crops of {pairs.side} × {pairs.side}, learn {taught}")
        self.say_network()

    def network(self) -> nn.Module:
        """One that gives one value for a pixel."""
        promise, network = contract(find_builder(self.course.builder)), self.built(1, 1)
        if promise.dims != 2 or promise.trains != "steps" or isinstance(network, Ensemble):
            raise Invalid(f"{promise.title} does not learn values.", hint="Choose one for slices, as unet or msdnet.")
        return network

    def batch(self, step: int, members: Sequence[int]) -> Batch:
        """Images, what they shall become, and where it counts."""
        return self.pairs.batch(step, members)

    def weight(self, batch: Batch) -> float:
        """The pixels that count."""
        return max(1.0, float(batch[2].sum()))

    def loss(self, made_B: Tensor, *targets_B: Tensor, weight: float) -> Tensor:
        """The mean square of what is wrong, over the pixels that count."""
        target_BHW, known_BHW = targets_B
        return ((made_B[:, 0] - target_BHW).square() * known_BHW).sum() / weight

    def look(self, epoch: int, loss: float) -> float:
        """How much of what differs between pixels it explains, on what was kept apart."""
        wrong, differs, count = self._judged()
        explained = 1 - wrong / differs if differs else 0.0
        rmse = float(np.sqrt(wrong / max(count, 1))) * self.pairs.gives.scale
        metrics: dict[str, float] = {"explained": round(explained, 5), "rmse": round(rmse, 6)}
        better = self.keep_if_better(epoch, explained, metrics | {"val_loss": round(wrong / max(count, 1), 5)})
        said: dict[str, JsonValue] = {"epoch": epoch, "epochs": self.params.epochs, "loss": round(loss, 5)}
        said |= {"val_loss": round(wrong / max(count, 1), 5), "dice": None, "dice_by_class": {}}
        self.follower.emit("epoch", **said, **metrics)
        self.follower.note(
            f"epoch {epoch:3d}  loss {loss:.3f}  explained {explained:.1%}, off by {rmse:.4g}"
            + ("  ← best, kept" if better else "")
        )
        return explained

    def _judged(self) -> tuple[float, float, float]:
        """Sums of squares: of what is wrong, and of what differs from the mean; and of how many pixels."""
        wrong = total = squares = count = 0.0
        for z in self.pairs.judging:
            shown = self.pairs.judged(int(z))
            made_YX = values(self.state.mean, shown.image_CYX, self.fit, self.device)
            known = shown.known_YX > 0
            true = shown.target_YX[known].astype(np.float64)
            wrong += float(((made_YX[known] - true) ** 2).sum())
            total, squares, count = total + true.sum(), squares + (true**2).sum(), count + len(true)
        return wrong, squares - total**2 / max(count, 1), count


def values(network: nn.Module, image_CYX: grey.Floats, fit: Fit, device: torch.device) -> grey.Floats:
    """What the network gives for every pixel of a slice."""
    network.eval()
    rows, columns = image_CYX.shape[-2:]
    whole_BCYX = padded(image_CYX[None], fit.multiple)
    found_YX = np.empty(whole_BCYX.shape[-2:], np.float32)
    for keep, made_BCHW in logits_of(lambda batch: forward(network, batch, device), whole_BCYX, fit):
        found_YX[keep] = made_BCHW[0, 0].float().cpu().numpy()
    return found_YX[:rows, :columns]
