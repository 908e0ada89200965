"""Learning by steps: batches in, the best weights out. It knows no job; who wants to follow it hands in a `Follower`.

What is shown, how wrong an answer is and how good the network has become say its kinds: `Training` for segmentation,
`Pretraining` for pictures alone, `Restoring` for values. All else is here, so that each of them is stopped, resumed,
shared between processes and taken in pieces alike. Every step is a function of the seed and of the step before, so
that one that goes on from a checkpoint comes to the same bits as one that never stopped.

Axes: B batch, then channels, rows and so on.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from mlex_jupyter.errors import Invalid, MlexError
from mlex_jupyter.failpoints import failpoint
from mlex_jupyter.files import write_whole
from mlex_jupyter.learn import machine
from mlex_jupyter.learn.models import build, contract, find_builder
from mlex_jupyter.learn.pace import Pace
from mlex_jupyter.learn.params import StepParams
from mlex_jupyter.learn.training import checkpoint
from mlex_jupyter.learn.training.checkpoint import Standing
from mlex_jupyter.learn.training.course import Course, Follower, Halted
from mlex_jupyter.learn.training.inherit import inherit
from mlex_jupyter.learn.training.state import State
from mlex_jupyter.learn.training.together import Together, mixes_batches

CHECKPOINT_S = 20.0
METRICS_S, PROGRESS_S = 0.1, 1.0


Batch = tuple[np.ndarray, ...]
"""Images first, then what there is to say of each."""


class Learning(abc.ABC):
    """One network that learns: what it is, how far it is, and how it goes on."""

    divides = True
    """Whether a batch can be taken in pieces whose gradients are added up."""

    def __init__(
        self,
        course: Course,
        params: StepParams,
        follower: Follower,
        *,
        folder: Path | None = None,
        together: Together | None = None,
    ) -> None:
        self.course = course
        self.params = params
        self.follower = follower
        self.folder = folder
        """Where checkpoints and pictures go; without one, nothing is kept but the weights in memory."""
        self.together = together or Together()
        self.device = machine.prepare()
        self.standing = Standing(step=0, epoch=0, parameters=course.identity)
        self.state = self._fresh()

    # ------------------------------------------------------------ what its kinds say

    @abc.abstractmethod
    def network(self) -> nn.Module:
        """What is trained, with fresh weights or with those that it begins with."""

    @abc.abstractmethod
    def batch(self, step: int, members: Sequence[int]) -> Batch:
        """What is shown at a step, those of its members that somebody wants. It is made in a thread of its own."""

    @abc.abstractmethod
    def loss(self, made_B: Tensor, *targets_B: Tensor, weight: float) -> Tensor:
        """How wrong the network's answers are, as a share of a batch of this weight."""

    @abc.abstractmethod
    def look(self, epoch: int, loss: float) -> float | None:
        """Look at how good it has become, keep the weights where it is better, and say so; None without a measure."""

    def weight(self, batch: Batch) -> float:
        """How much a batch counts for."""
        return float(len(batch[0]))

    def judges(self) -> bool:
        """Whether there is anything to judge by."""
        return True

    def score(self) -> float | None:
        """The best Dice so far, where that is what it is judged by."""
        return None

    def draw(self) -> tuple[bytes, dict[str, JsonValue]] | None:
        """A picture of what it has learned by now, and what it shows."""
        return None

    def too_large(self) -> MlexError:
        """That not even one piece of a batch fits into memory."""
        return MlexError("One batch is more than the memory holds.", hint="Train with a smaller batch or patch.")

    # ------------------------------------------------------------ the beginning

    def _fresh(self) -> State:
        torch.manual_seed(self.params.seed)
        network = self.network().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.together.same_everywhere(network.state_dict().values())
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=self.params.learning_rate, weight_decay=self.params.weight_decay
        )
        return State(network, optimizer)

    def built(self, channels: int, classes: int) -> nn.Module:
        """The network of its course; where that begins with weights, they are in it."""
        takes = contract(find_builder(self.course.builder)).channels
        if takes not in (None, channels):
            raise Invalid(f"{self.course.title} takes {takes} channels; the volume has {channels}.")
        network = build(self.course.builder, self.course.params, channels=channels, classes=classes)
        if self.course.start:
            fitting, total = inherit(network, self.course.start, whole=self.course.encoder)
            self.follower.note(f"It begins with weights that are there: {fitting} of {total} tensors fit")
        return network

    def say_network(self) -> None:
        """What learns, and on what machine."""
        count = sum(parameter.numel() for parameter in self.state.network.parameters())
        self.follower.note(f"{self.course.title}, {count / 1e6:.2f} M parameters, on {machine.in_words(self.device)}")
        if self.together.size > 1:
            differs = "; batch normalisation sees each share by itself" if mixes_batches(self.state.network) else ""
            self.follower.note(f"{self.together.size} processes share every batch{differs}")

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
            ahead: Future[Batch] = pool.submit(self.batch, self.standing.step, mine)
            while self.standing.step < self.total and not self._enough():
                batch = ahead.result()
                ahead = pool.submit(self.batch, self.standing.step + 1, mine)
                self._step(batch)
                failpoint("train.step")
                if self.standing.step % self.params.steps_per_epoch == 0:
                    self._end_of_epoch()
                elif self.pace.every("checkpoint", CHECKPOINT_S, at_once=False):
                    self._checkpoint()

    def _enough(self) -> bool:
        """Whether it has not become better for longer than somebody wants to wait."""
        waited = self.standing.epoch - self.standing.best_epoch
        enough = bool(self.params.patience and self.judges() and waited >= self.params.patience)
        if enough:
            self.follower.note(f"No better since epoch {self.standing.best_epoch}: it ends here")
        return enough

    def _step(self, batch: Batch) -> None:
        network, optimizer = self.state.network, self.state.optimizer
        network.train()
        for group in optimizer.param_groups:
            group["lr"] = self.params.learning_rate * rate(self.params.schedule, self.standing.step, self.total)
        weight, stopping = self.together.total(self.weight(batch), float(self.follower.stopping))
        if stopping:
            self._stop()
        optimizer.zero_grad(set_to_none=True)
        loss = self._learn_from(batch, weight)
        self.together.add_gradients(network.parameters())
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        self.state.follow(self.standing.step)
        self._count(*self.together.total(loss))

    def _learn_from(self, batch: Batch, weight: float) -> float:
        """Add up the gradients of a batch; in pieces, once the whole of it did not fit into memory."""
        while True:
            try:
                cut = [np.array_split(each, self.standing.pieces) for each in batch]
                return sum(self._learn_from_piece(*piece, weight=weight) for piece in zip(*cut, strict=True))
            except (MemoryError, RuntimeError) as error:
                if not machine.is_out_of_memory(error):
                    raise
            self._smaller_pieces(len(batch[0]))

    def _learn_from_piece(self, images: np.ndarray, *targets: np.ndarray, weight: float) -> float:
        images_B = torch.from_numpy(images).to(self.device, memory_format=torch.channels_last)
        targets_B = [torch.from_numpy(each).to(self.device) for each in targets]
        with machine.fast_math(self.device):
            made_B = self.state.network(images_B)
        loss = self.loss(made_B.float(), *targets_B, weight=weight)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def _smaller_pieces(self, batch: int) -> None:
        """Half of it at once from now on; its gradients are added up, so that it stays the same batch."""
        machine.let_go(self.device)
        self.state.optimizer.zero_grad(set_to_none=True)
        if not self.divides or self.together.size > 1 or self.standing.pieces >= batch:
            raise self.too_large()
        pieces = min(batch, self.standing.pieces * 2)
        self.standing = self._moved(pieces=pieces)
        self.follower.note(f"A batch of {batch} is more than the memory holds: it is taken in {pieces} pieces now")

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
        done, total = self.standing.epoch, self.params.epochs
        self.follower.progress(done, total, "epoch", eta_s=self.pace.eta_s(), score=self.score())

    # ------------------------------------------------------------ the end of an epoch

    def _end_of_epoch(self) -> None:
        epoch = self.standing.epoch + 1
        loss = self.standing.loss_sum / self.params.steps_per_epoch
        self.standing = self._moved(epoch=epoch, loss_sum=0.0)
        self._picture(epoch, self.look(epoch, loss))
        self._checkpoint()
        self._progress()

    def keep_if_better(self, epoch: int, score: float, metrics: dict[str, float]) -> bool:
        """Remember the weights where they are the best by now."""
        better = score > self.standing.best or not self.state.best
        if better:
            self.state.keep()
            self.standing = self._moved(best=score, best_epoch=epoch, best_metrics=metrics)
        return better

    def _picture(self, epoch: int, score: float | None) -> None:
        drawn = self.draw() if self.folder and self.together.leads else None
        if self.folder and drawn:
            path = self.folder / "pictures" / f"epoch-{epoch:04d}.png"
            path.parent.mkdir(exist_ok=True)
            write_whole(path, drawn[0], durable=False)
            dice = score and round(score, 5) if self.score() is not None else None
            self.follower.emit("picture", epoch=epoch, path=f"pictures/{path.name}", dice=dice, **drawn[1])

    def _checkpoint(self) -> None:
        if self.folder and self.together.leads:
            checkpoint.write(self.folder / "checkpoint", self.state, self._moved())

    def _stop(self) -> None:
        self._checkpoint()
        raise Halted(min(self.standing.epoch + 1, self.params.epochs))


def rate(schedule: str, step: int, total: int) -> float:
    """The share of the highest rate: up in the first tenth, then level, or along a cosine to nearly nothing."""
    rise = max(1, total // 10)
    if step < rise:
        return (step + 1) / rise
    if schedule == "level":
        return 1.0
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))
