"""Training for segmentation: crops around labelled pixels in, classes out, judged by Dice on labels kept apart.

Axes: B batch, C channel or class, H row, W column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from pydantic import JsonValue
from torch import Tensor, nn
from torch.nn import functional

from mlex_jupyter.errors import MlexError
from mlex_jupyter.learn import machine
from mlex_jupyter.learn.params import TrainParams
from mlex_jupyter.learn.prediction.tiles import fit_for
from mlex_jupyter.learn.training import judge
from mlex_jupyter.learn.training.course import Course, Follower
from mlex_jupyter.learn.training.crops import Crops
from mlex_jupyter.learn.training.labelled import Labelled
from mlex_jupyter.learn.training.steps import Batch, Learning

YOUNG, SEEN = 100, 2
"""So long do weights change so fast that statistics fall behind; they are taken anew over as many batches."""
UNLABELLED = -100
"""What torch's losses leave out; 255 as bytes."""


class Training(Learning):
    """One training: what is trained, on what, and how far it is."""

    params: TrainParams

    def __init__(self, course: Course, labelled: Labelled, follower: Follower, **where: Any) -> None:
        params = TrainParams.of(course.params)
        self.labelled = labelled
        self.crops = Crops(labelled, params)
        super().__init__(course, params, follower, **where)
        self.fit = fit_for(self.state.network, course.builder, course.params, self.device, course.memory_gb)
        self.weights = self.crops.weights()
        self.weights_C = torch.from_numpy(self.weights).to(self.device)
        self.judged_pixels = labelled.judged_pixels()
        self._say_what()

    def network(self) -> nn.Module:
        """One for these channels and classes."""
        return self.built(self.labelled.volume.shape_ZCYX[1], len(self.labelled.classes))

    def _say_what(self) -> None:
        labelled, crops, params = self.labelled, self.crops, self.params
        slices = f"{len(labelled.zs)} labelled slice{'s' if len(labelled.zs) > 1 else ''}"
        note = self.follower.note
        note(f"{slices} → {params.batch * params.steps_per_epoch} crops of {crops.in_words()} an epoch")
        if set(crops.sides) != {params.patch}:
            used = crops.side if len(set(crops.sides)) == 1 else crops.in_words()
            note(f"Crops of {params.patch} do not fit these slices and this network; {used} is used")
        note(f"{sum(crops.counts)} labelled pixels to train on, {self.judged_pixels} kept apart for validation")
        if not self.judged_pixels:
            note("There are too few labels to keep any apart: no Dice, and the newest weights count as the best")
        self.say_network()

    # ------------------------------------------------------------ a step

    def batch(self, step: int, members: Sequence[int]) -> Batch:
        """Images and classes."""
        return self.crops.batch(step, members)

    def weight(self, batch: Batch) -> float:
        """The weight of its labelled pixels."""
        targets = batch[1]
        return float(self.weights[targets[targets != 255]].sum())

    def loss(self, made_B: Tensor, *targets_B: Tensor, weight: float) -> Tensor:
        """Weighted cross-entropy over the labelled pixels."""
        targets_BHW = torch.where(targets_B[0] == 255, UNLABELLED, targets_B[0])
        total = functional.cross_entropy(made_B, targets_BHW, self.weights_C, ignore_index=UNLABELLED, reduction="sum")
        return total / weight

    def too_large(self) -> MlexError:
        """What would fit."""
        return MlexError(
            f"One crop of {self.crops.in_words()} is more than the memory holds.",
            hint=f"Train with a patch of {self.crops.side // 2}, or fewer base_channels.",
        )

    # ------------------------------------------------------------ the end of an epoch

    def judges(self) -> bool:
        """Whether any labels were kept apart."""
        return bool(self.judged_pixels)

    def score(self) -> float | None:
        """The best Dice so far."""
        return self.standing.best if self.standing.best >= 0 else None

    def look(self, epoch: int, loss: float) -> float | None:
        """Look at the labelled pixels kept apart, keep the best weights, and say how good they are."""
        if self.standing.step <= YOUNG and self.together.leads:
            self.state.take_statistics(self._lately())
        if not self.judged_pixels:
            self._keep_newest(epoch, loss)
            return None
        judged = self._judged()
        metrics = judged.metrics(self.labelled.classes)
        [dice] = self.together.total(judged.dice if self.together.leads else 0.0)
        better = self.keep_if_better(epoch, dice, metrics)
        self.follower.emit(
            "epoch",
            epoch=epoch,
            epochs=self.params.epochs,
            loss=round(loss, 5),
            val_loss=round(judged.loss, 5),
            dice=round(dice, 5),
            dice_by_class={one.name: metrics.get(f"dice/{one.name}") for one in self.labelled.classes},
        )
        self.follower.note(
            f"epoch {epoch:3d}  loss {loss:.3f}  val {judged.loss:.3f}  dice {dice:.3f}"
            + ("  ← best, kept" if better else "")
        )
        return dice

    def _lately(self) -> Iterator[Tensor]:
        """The images of the last batches."""
        for step in range(max(0, self.standing.step - SEEN), self.standing.step):
            images = self.batch(step, range(self.params.batch))[0]
            yield machine.on(self.device, torch.from_numpy(images))

    def _keep_newest(self, epoch: int, loss: float) -> None:
        """With nothing to judge by, no epoch can be called the best."""
        self.state.keep()
        self.standing = self._moved(best_epoch=epoch)
        said = {"epoch": epoch, "epochs": self.params.epochs, "loss": round(loss, 5)}
        self.follower.emit("epoch", **said, val_loss=None, dice=None, dice_by_class={})
        self.follower.note(f"epoch {epoch:3d}  loss {loss:.3f}")

    def _judged(self) -> judge.Judgement:
        """How good the mean of the weights is; what the others think of theirs does not count."""
        if not self.together.leads:
            return judge.Judgement.none(len(self.labelled.classes))
        return judge.judge(self.state.mean, self.labelled, self.fit, self.device, self.weights, self.crops.blocks)

    def draw(self) -> tuple[bytes, dict[str, JsonValue]]:
        """The same slice each time, labels and prediction side by side."""
        z = judge.shown(self.labelled)
        seen = judge.around(self.labelled, z)
        how = (self.fit, self.device, self.crops.blocks, seen)
        (found,) = judge.values(self.state.mean, self.labelled, range(z, z + 1), *how)
        return judge.picture(self.labelled, z, found), {"z": z}
