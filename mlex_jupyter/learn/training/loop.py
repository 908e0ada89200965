"""The training loop: crops in, the best weights out. It knows no job; whoever wants to follow it hands in a `Follower`.

Every step is a function of the seed and of the step before, so that a training that goes on from a checkpoint comes
to the same bits as one that never stopped.

Axes: B batch, C channel or class, H row, W column.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn
from torch.nn import functional

from mlex_jupyter.errors import Invalid, MlexError
from mlex_jupyter.failpoints import failpoint
from mlex_jupyter.files import write_whole
from mlex_jupyter.learn import machine
from mlex_jupyter.learn.models import build, contract, find_builder
from mlex_jupyter.learn.pace import Pace
from mlex_jupyter.learn.params import TrainParams
from mlex_jupyter.learn.prediction.tiles import fit_for
from mlex_jupyter.learn.training import checkpoint, judge
from mlex_jupyter.learn.training.checkpoint import Standing
from mlex_jupyter.learn.training.crops import Crops
from mlex_jupyter.learn.training.inherit import inherit
from mlex_jupyter.learn.training.labelled import Labelled
from mlex_jupyter.learn.training.optimizer import Muon
from mlex_jupyter.learn.training.state import State
from mlex_jupyter.learn.training.together import Together, mixes_batches
from mlex_jupyter.types import Params

CHECKPOINT_S = 20.0
RISE = 5
"""So many steps lead up to the highest rate, in short trainings fewer."""
YOUNG, SEEN = 100, 2
"""So long do weights change so fast that statistics fall behind; they are taken anew over as many batches."""
METRICS_S, PROGRESS_S = 0.1, 1.0
UNLABELLED = -100
"""What torch's losses leave out; 255 as bytes."""


class Follower(Protocol):
    """Who follows a training: told what happens, and asked whether to stop."""

    stopping: bool

    def emit(self, kind: str, **values: JsonValue) -> None:
        """Something that a curve or a picture is drawn from."""

    def note(self, text: str) -> None:
        """A sentence for people."""

    def progress(
        self, done: int, total: int, unit: str, *, eta_s: float | None = None, score: float | None = None
    ) -> None:
        """How far it is."""


class Halted(Exception):
    """Its follower wanted it to stop; a checkpoint is written where there is a place for it."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"Stopped at epoch {epoch}; its checkpoint is kept.")


@dataclass(frozen=True)
class Course:
    """What is trained: a network by its builder, and all parameters, its own and those of training."""

    builder: str
    title: str
    params: Params
    identity: str = ""
    """What is trained on what, in one text: a checkpoint of anything else is of no use."""
    memory_gb: float = 4.0
    start: Path | None = None
    """The weights that it begins with; without any, chance gives them."""


class Training:
    """One training: what is trained, on what, and how far it is."""

    def __init__(
        self,
        course: Course,
        labelled: Labelled,
        follower: Follower,
        *,
        folder: Path | None = None,
        together: Together | None = None,
    ) -> None:
        self.course = course
        self.labelled = labelled
        self.follower = follower
        self.folder = folder
        """Where checkpoints and pictures go; without one, nothing is kept but the weights in memory."""
        self.together = together or Together()
        self.params = TrainParams.of(course.params)
        self.device = machine.prepare()
        self.crops = Crops(labelled, self.params)
        self.standing = Standing(step=0, epoch=0, parameters=course.identity)
        self.state = self._fresh()
        self.fit = fit_for(self.state.network, course.builder, course.params, self.device, course.memory_gb)
        self.weights = self.crops.weights()
        self.weights_C = torch.from_numpy(self.weights).to(self.device)
        self.judged_pixels = labelled.judged_pixels()
        self._say_what()

    def _fresh(self) -> State:
        torch.manual_seed(self.params.seed)
        channels = self.labelled.volume.shape_ZCYX[1]
        takes = contract(find_builder(self.course.builder)).channels
        if takes not in (None, channels):
            raise Invalid(f"{self.course.title} takes {takes} channels; the volume has {channels}.")
        network = build(self.course.builder, self.course.params, channels=channels, classes=len(self.labelled.classes))
        if self.course.start:
            fitting, total = inherit(network, self.course.start)
            self.follower.note(f"It begins with weights that are there: {fitting} of {total} tensors fit")
        network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.together.same_everywhere(network.state_dict().values())
        return State(network, Muon(network, self.params.learning_rate, self.params.weight_decay))

    def _say_what(self) -> None:
        labelled, crops, params = self.labelled, self.crops, self.params
        slices = f"{len(labelled.zs)} labelled slice{'s' if len(labelled.zs) > 1 else ''}"
        note = self.follower.note
        note(f"{slices} → {params.batch * params.steps_per_epoch} crops of {crops.side} × {crops.side} an epoch")
        if crops.side != params.patch:
            note(f"Crops of {params.patch} do not fit these slices and this network; {crops.side} is used")
        note(f"{sum(crops.counts)} labelled pixels to train on, {self.judged_pixels} kept apart for validation")
        if not self.judged_pixels:
            note("There are too few labels to keep any apart: no Dice, and the newest weights count as the best")
        count = sum(parameter.numel() for parameter in self.state.network.parameters())
        note(f"{self.course.title}, {count / 1e6:.2f} M parameters, on {machine.in_words(self.device)}")
        if self.together.size > 1:
            differs = "; batch normalisation sees each share by itself" if mixes_batches(self.state.network) else ""
            note(f"{self.together.size} processes share every batch{differs}")

    # ------------------------------------------------------------ the loop

    def resume(self) -> None:
        """Go on from the newest checkpoint, where there is one."""
        place = self.folder and self.folder / "checkpoint"
        found = checkpoint.read(place, self.state, self.standing.parameters) if place else None
        if found:
            self.standing = found
            self.follower.note(f"Going on from epoch {found.epoch}, step {found.step}")

    @property
    def total(self) -> int:
        """How many steps there are to be."""
        return self.params.epochs * self.params.steps_per_epoch

    def run(self) -> None:
        """Train until all epochs are done, or nothing has become better for as long as was asked."""
        self.pace = Pace(self.total, self.standing.step, self.standing.seconds)
        self._progress()
        mine = self.together.share(self.params.batch)
        with ThreadPoolExecutor(1) as pool:
            ahead: Future[Any] = pool.submit(self.crops.batch, self.standing.step, mine)
            while self.standing.step < self.total and not self._enough():
                images, targets = ahead.result()
                ahead = pool.submit(self.crops.batch, self.standing.step + 1, mine)
                self._step(images, targets)
                failpoint("train.step")
                if self.standing.step % self.params.steps_per_epoch == 0:
                    self._end_of_epoch()
                elif self.pace.every("checkpoint", CHECKPOINT_S, at_once=False):
                    self._checkpoint()

    def _enough(self) -> bool:
        """Whether it has not become better for longer than somebody wants to wait."""
        waited = self.standing.epoch - self.standing.best_epoch
        enough = bool(self.params.patience and self.judged_pixels and waited >= self.params.patience)
        if enough:
            self.follower.note(f"No better since epoch {self.standing.best_epoch}: it ends here")
        return enough

    def _step(self, images: np.ndarray, targets: np.ndarray) -> None:
        network, optimizer = self.state.network, self.state.optimizer
        network.train()
        now = self.params.learning_rate * rate(self.params.schedule, self.standing.step, self.total)
        for group in optimizer.param_groups:
            group["lr"] = now * group["share"]
        weight = float(self.weights[targets[targets != 255]].sum())
        weight, stopping = self.together.total(weight, float(self.follower.stopping))
        if stopping:
            self._stop()
        optimizer.zero_grad(set_to_none=True)
        loss = self._learn_from(images, targets, weight)
        self.together.add_gradients(network.parameters())
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        self.state.follow(self.standing.step)
        self._count(*self.together.total(loss))

    def _learn_from(self, images: np.ndarray, targets: np.ndarray, weight: float) -> float:
        """Add up the gradients of a batch; in pieces, once the whole of it did not fit into memory."""
        while True:
            try:
                cut = [np.array_split(both, self.standing.pieces) for both in (images, targets)]
                return sum(self._learn_from_piece(*piece, weight=weight) for piece in zip(*cut, strict=True))
            except (MemoryError, RuntimeError) as error:
                if not machine.is_out_of_memory(error):
                    raise
            self._smaller_pieces(len(images))

    def _learn_from_piece(self, images: np.ndarray, targets: np.ndarray, *, weight: float) -> float:
        images_BCHW = torch.from_numpy(images).to(self.device, memory_format=torch.channels_last)
        targets_BHW = torch.from_numpy(targets).to(self.device)
        with machine.fast_math(self.device):
            logits_BCHW = self.state.network(images_BCHW)
        loss = self.loss(logits_BCHW.float(), targets_BHW, weight)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def _smaller_pieces(self, batch: int) -> None:
        """Half of it at once from now on; its gradients are added up, so that it stays the same batch."""
        machine.let_go(self.device)
        self.state.optimizer.zero_grad(set_to_none=True)
        if self.together.size > 1 or self.standing.pieces >= batch:
            raise MlexError(
                f"One crop of {self.crops.side} × {self.crops.side} is more than the memory holds.",
                hint=f"Train with a patch of {self.crops.side // 2}, or fewer base_channels.",
            )
        pieces = min(batch, self.standing.pieces * 2)
        self.standing = self._moved(pieces=pieces)
        self.follower.note(f"A batch of {batch} is more than the memory holds: it is taken in {pieces} pieces now")

    def loss(self, logits_BCHW: Tensor, targets_BHW: Tensor, weight: float) -> Tensor:
        """Weighted cross-entropy over the labelled pixels, as a share of a batch whose pixels weigh this much."""
        targets_BHW = torch.where(targets_BHW == 255, UNLABELLED, targets_BHW)
        total = functional.cross_entropy(
            logits_BCHW, targets_BHW, self.weights_C, ignore_index=UNLABELLED, reduction="sum"
        )
        return total / weight

    def _count(self, loss: float) -> None:
        step = self.standing.step + 1
        epoch = self.standing.epoch + 1
        if not math.isfinite(loss):
            raise MlexError(
                f"The training diverged in epoch {epoch}: its loss is no longer a number.",
                hint="Use a lower learning rate.",
            )
        self.standing = self._moved(step=step, loss_sum=self.standing.loss_sum + loss)
        self.pace.step()
        if self.pace.every("metrics", METRICS_S):
            memory_gb = round(machine.memory_gb(self.device), 2)
            self.follower.emit("metrics", step=step, epoch=epoch, loss=round(loss, 5), memory_gb=memory_gb)
        if self.pace.every("progress", PROGRESS_S):
            self._progress()

    def _moved(self, **changes: Any) -> Standing:
        return self.standing.model_copy(update={**changes, "seconds": self.pace.seconds()})

    def _progress(self) -> None:
        best = self.standing.best if self.standing.best >= 0 else None
        done, total = self.standing.epoch, self.params.epochs
        self.follower.progress(done, total, "epoch", eta_s=self.pace.eta_s(), score=best)

    # ------------------------------------------------------------ the end of an epoch

    def _end_of_epoch(self) -> None:
        epoch = self.standing.epoch + 1
        if self.standing.step <= YOUNG and self.together.leads:
            self.state.take_statistics(self._lately())
        loss = self.standing.loss_sum / self.params.steps_per_epoch
        self.standing = self._moved(epoch=epoch, loss_sum=0.0)
        dice = None
        if self.judged_pixels:
            dice = self._judge(epoch, loss)
        else:
            self._keep_newest(epoch, loss)
        self._picture(epoch, dice)
        self._checkpoint()
        self._progress()

    def _lately(self) -> Iterator[Tensor]:
        """The images of the last batches."""
        for step in range(max(0, self.standing.step - SEEN), self.standing.step):
            images, _ = self.crops.batch(step, range(self.params.batch))
            yield torch.from_numpy(images).to(self.device, memory_format=torch.channels_last)

    def _keep_newest(self, epoch: int, loss: float) -> None:
        """With nothing to judge by, no epoch can be called the best."""
        self.state.keep()
        self.standing = self._moved(best_epoch=epoch)
        said = {"epoch": epoch, "epochs": self.params.epochs, "loss": round(loss, 5)}
        self.follower.emit("epoch", **said, val_loss=None, dice=None, dice_by_class={})
        self.follower.note(f"epoch {epoch:3d}  loss {loss:.3f}")

    def _judge(self, epoch: int, loss: float) -> float:
        """Look at the labelled pixels kept apart, keep the best weights, and say how good they are."""
        judged = self._judged()
        metrics = judged.metrics(self.labelled.classes)
        [dice] = self.together.total(judged.dice if self.together.leads else 0.0)
        better = dice > self.standing.best
        if better:
            self.state.keep()
            self.standing = self._moved(best=dice, best_epoch=epoch, best_metrics=metrics)
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

    def _judged(self) -> judge.Judgement:
        """How good the mean of the weights is; what the others think of theirs does not count."""
        if not self.together.leads:
            return judge.Judgement.none(len(self.labelled.classes))
        return judge.judge(self.state.mean, self.labelled, self.fit, self.device, self.weights)

    def _picture(self, epoch: int, dice: float | None) -> None:
        if not (self.folder and self.together.leads):
            return
        z = judge.shown(self.labelled)
        path = self.folder / "pictures" / f"epoch-{epoch:04d}.png"
        path.parent.mkdir(exist_ok=True)
        found = judge.values(self.state.mean, self.labelled, z, self.fit, self.device)
        write_whole(path, judge.picture(self.labelled, z, found), durable=False)
        self.follower.emit("picture", epoch=epoch, z=z, path=f"pictures/{path.name}", dice=dice and round(dice, 5))

    def _checkpoint(self) -> None:
        if self.folder and self.together.leads:
            checkpoint.write(self.folder / "checkpoint", self.state, self._moved())

    def _stop(self) -> None:
        self._checkpoint()
        raise Halted(min(self.standing.epoch + 1, self.params.epochs))


def rate(schedule: str, step: int, total: int) -> float:
    """The share of the highest rate: up in a few steps, then level, or along a cosine to nearly nothing."""
    rise = min(RISE, max(1, total // 10))
    if step < rise:
        return (step + 1) / rise
    if schedule == "level":
        return 1.0
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))
