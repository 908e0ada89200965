"""Train a network on the labelled pixels of a dataset.

    <job>/weights.safetensors, model.json     the best weights, and all that prediction needs beside them
    <job>/picture.png, labelled-slices.zarr   what they make of the labelled slices
    <job>/pictures/epoch-0003.png             one labelled slice, after each epoch

Axes: B batch, C channel or class, H row, W column.
"""

from __future__ import annotations

import hashlib
import math
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from mlex_jupyter.errors import Invalid, MlexError
from mlex_jupyter.failpoints import failpoint
from mlex_jupyter.files import write_whole
from mlex_jupyter.learn import checkpoint, judge, machine
from mlex_jupyter.learn.attempt import Attempt, Stopped
from mlex_jupyter.learn.checkpoint import Standing
from mlex_jupyter.learn.crops import Crops
from mlex_jupyter.learn.labelled import Labelled
from mlex_jupyter.learn.models import build, contract, find_builder, measure
from mlex_jupyter.learn.pace import Pace
from mlex_jupyter.learn.params import TrainParams
from mlex_jupyter.learn.state import State
from mlex_jupyter.learn.tiles import fit_for
from mlex_jupyter.types import Architecture, Output, Params, Result, Trained, TrainTask

CHECKPOINT_S = 20.0
METRICS_S, PROGRESS_S = 0.1, 1.0
UNLABELLED = -100
"""What torch's losses leave out; 255 as bytes."""


def train(attempt: Attempt) -> Result:
    """Train, or go on training, and leave the best weights in the job folder."""
    training = Training(attempt)
    training.resume()
    training.run()
    return training.finish()


class Training:
    """One training: what is trained, on what, and how far it is."""

    def __init__(self, attempt: Attempt) -> None:
        job = attempt.job
        if not (isinstance(job.spec.task, TrainTask) and job.data and job.labels and job.architecture):
            raise Invalid("This job does not say what to train on what.")
        self.attempt = attempt
        self.architecture: Architecture = job.architecture
        self.all_params: Params = job.spec.task.params
        own = {name: value for name, value in self.all_params.items() if name in TrainParams.model_fields}
        self.params = TrainParams.model_validate(own)
        self.device = machine.prepare()
        builder = self.architecture.builder
        multiple = measure(builder, contract(find_builder(builder)).divisible_by, self.all_params) or 1
        self.labelled = Labelled(
            job.data, job.labels, multiple=multiple, validation=self.params.validation, seed=self.params.seed
        )
        self.crops = Crops(self.labelled, self.params)
        self.standing = Standing(step=0, epoch=0, parameters=self._identity())
        self.state = self._fresh()
        self.fit = fit_for(self.state.network, builder, self.all_params, self.device, job.spec.resources.memory_gb)
        self.weights_C = torch.from_numpy(self.crops.weights()).to(self.device)
        self.judged_pixels = self.labelled.judged_pixels()
        self._say_what()

    def _fresh(self) -> State:
        torch.manual_seed(self.params.seed)
        channels = self.labelled.volume.shape_ZCYX[1]
        takes = contract(find_builder(self.architecture.builder)).channels
        if takes not in (None, channels):
            raise Invalid(f"{self.architecture.title} takes {takes} channels; the volume has {channels}.")
        network = build(
            self.architecture.builder, self.all_params, channels=channels, classes=len(self.labelled.classes)
        )
        network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=self.params.learning_rate, weight_decay=self.params.weight_decay
        )
        return State(network, optimizer)

    def _identity(self) -> str:
        job = self.attempt.job
        assert job.data and job.labels
        parts = (self.architecture.builder, sorted(self.all_params.items()), job.data.id, job.labels.uri)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def _say_what(self) -> None:
        labelled, crops, params = self.labelled, self.crops, self.params
        slices = f"{len(labelled.zs)} labelled slice{'s' if len(labelled.zs) > 1 else ''}"
        note = self.attempt.note
        note(f"{slices} → {params.batch * params.steps_per_epoch} crops of {crops.side} × {crops.side} an epoch")
        if crops.side != params.patch:
            note(f"Crops of {params.patch} do not fit these slices and this network; {crops.side} is used")
        note(f"{sum(crops.counts)} labelled pixels to train on, {self.judged_pixels} kept apart for validation")
        if not self.judged_pixels:
            note("There are too few labels to keep any apart: no Dice, and the newest weights count as the best")
        count = sum(parameter.numel() for parameter in self.state.network.parameters())
        note(f"{self.architecture.title}, {count / 1e6:.2f} M parameters, on {machine.in_words(self.device)}")

    # ------------------------------------------------------------ the loop

    def resume(self) -> None:
        """Go on from the newest checkpoint, where there is one."""
        found = checkpoint.read(self.attempt.folder.checkpoint, self.state, self.standing.parameters)
        if found:
            self.standing = found
            self.attempt.note(f"Going on from epoch {found.epoch}, step {found.step}")

    def run(self) -> None:
        """Train until all epochs are done."""
        total = self.params.epochs * self.params.steps_per_epoch
        self.pace = Pace(total, self.standing.step, self.standing.seconds)
        self._progress()
        with ThreadPoolExecutor(1) as pool:
            ahead: Future[Any] = pool.submit(self.crops.batch, self.standing.step)
            while self.standing.step < total:
                if self.attempt.stopping:
                    self._stop()
                images, targets = ahead.result()
                ahead = pool.submit(self.crops.batch, self.standing.step + 1)
                self._step(images, targets, total)
                failpoint("train.step")
                if self.standing.step % self.params.steps_per_epoch == 0:
                    self._end_of_epoch()
                elif self.pace.every("checkpoint", CHECKPOINT_S, at_once=False):
                    self._checkpoint()

    def _step(self, images: np.ndarray, targets: np.ndarray, total: int) -> None:
        network, optimizer = self.state.network, self.state.optimizer
        network.train()
        for group in optimizer.param_groups:
            group["lr"] = self.params.learning_rate * schedule(self.standing.step, total)
        images_BCHW = torch.from_numpy(images).to(self.device, memory_format=torch.channels_last)
        targets_BHW = torch.from_numpy(targets).to(self.device)
        optimizer.zero_grad(set_to_none=True)
        with machine.fast_math(self.device):
            logits_BCHW = network(images_BCHW)
        loss = self.loss(logits_BCHW.float(), targets_BHW)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        self.state.follow(self.standing.step)
        self._count(loss.item())

    def loss(self, logits_BCHW: Tensor, targets_BHW: Tensor) -> Tensor:
        """Weighted cross-entropy over the labelled pixels."""
        targets_BHW = torch.where(targets_BHW == 255, UNLABELLED, targets_BHW)
        return functional.cross_entropy(logits_BCHW, targets_BHW, self.weights_C, ignore_index=UNLABELLED)

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
            self.attempt.emit("metrics", step=step, epoch=epoch, loss=round(loss, 5))
        if self.pace.every("progress", PROGRESS_S):
            self._progress()

    def _moved(self, **changes: Any) -> Standing:
        return self.standing.model_copy(update={**changes, "seconds": self.pace.seconds()})

    def _progress(self) -> None:
        best = self.standing.best if self.standing.best >= 0 else None
        done, total = self.standing.epoch, self.params.epochs
        self.attempt.progress(done, total, "epoch", eta_s=self.pace.eta_s(), score=best)

    def _end_of_epoch(self) -> None:
        epoch = self.standing.epoch + 1
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

    def _keep_newest(self, epoch: int, loss: float) -> None:
        """With nothing to judge by, no epoch can be called the best."""
        self.state.keep()
        self.standing = self._moved(best_epoch=epoch)
        said = {"epoch": epoch, "epochs": self.params.epochs, "loss": round(loss, 5)}
        self.attempt.emit("epoch", **said, val_loss=None, dice=None, dice_by_class={})
        self.attempt.note(f"epoch {epoch:3d}  loss {loss:.3f}")

    def _judge(self, epoch: int, loss: float) -> float:
        """Look at the labelled pixels kept apart, keep the best weights, and say how good they are."""
        judged = judge.judge(self.state.mean, self.labelled, self.fit, self.device, self.weights_C.cpu().numpy())
        metrics = judged.metrics(self.labelled.classes)
        better = judged.dice > self.standing.best
        if better:
            self.state.keep()
            self.standing = self._moved(best=judged.dice, best_epoch=epoch, best_metrics=metrics)
        self.attempt.emit(
            "epoch",
            epoch=epoch,
            epochs=self.params.epochs,
            loss=round(loss, 5),
            val_loss=round(judged.loss, 5),
            dice=round(judged.dice, 5),
            dice_by_class={one.name: metrics.get(f"dice/{one.name}") for one in self.labelled.classes},
        )
        self.attempt.note(
            f"epoch {epoch:3d}  loss {loss:.3f}  val {judged.loss:.3f}  dice {judged.dice:.3f}"
            + ("  ← best, kept" if better else "")
        )
        return judged.dice

    def _picture(self, epoch: int, dice: float | None) -> None:
        z = judge.shown(self.labelled)
        path = self.attempt.path / "pictures" / f"epoch-{epoch:04d}.png"
        path.parent.mkdir(exist_ok=True)
        found = judge.values(self.state.mean, self.labelled, z, self.fit, self.device)
        write_whole(path, judge.picture(self.labelled, z, found), durable=False)
        self.attempt.emit("picture", epoch=epoch, z=z, path=f"pictures/{path.name}", dice=dice and round(dice, 5))

    def _checkpoint(self) -> None:
        checkpoint.write(self.attempt.folder.checkpoint, self.state, self._moved())

    def _stop(self) -> None:
        self._checkpoint()
        epoch = min(self.standing.epoch + 1, self.params.epochs)
        raise Stopped(f"Stopped at epoch {epoch}; its checkpoint is kept.")

    # ------------------------------------------------------------ the end

    def finish(self) -> Result:
        """Leave weights, contract, picture and the segmented labelled slices."""
        path, standing, labelled = self.attempt.path, self.standing, self.labelled
        write_whole(path / "weights.safetensors", save(self.state.best))
        trained = Trained(
            architecture=self.architecture.name,
            builder=self.architecture.builder,
            params=self.all_params,
            channels=labelled.volume.shape_ZCYX[1],
            classes=labelled.classes,
            preprocessing=labelled.preprocessing,
            weights="weights.safetensors",
        )
        write_whole(path / "model.json", trained.model_dump_json(indent=2))
        judge.write_labelled_slices(path, self.state.load_best(), labelled, self.fit, self.device)
        best = f", with a Dice of {standing.best:.3f} on the labelled pixels kept apart" if self.judged_pixels else ""
        self.attempt.note(f"The weights of epoch {standing.best_epoch} are kept{best}")
        return Result(attempt=self.attempt.number, outputs=self._outputs(), metrics=standing.best_metrics)

    def _outputs(self) -> tuple[Output, ...]:
        """What is left, and from what it was made. The slices are no dataset: each training would lengthen the list."""
        job, count = self.attempt.job, len(self.labelled.zs)
        assert job.data and job.labels
        source = (job.data.id, job.labels.id, job.id)
        predicted = f"Prediction of its {f'{count} labelled slices' if count > 1 else 'labelled slice'}"
        return (
            Output(kind="weights", name=self.architecture.name, ref="weights.safetensors", derived_from=source),
            Output(kind="picture", name="Labels and prediction", ref="picture.png", derived_from=source),
            Output(kind="slices", name=predicted, ref=judge.SLICES, derived_from=source),
        )


def schedule(step: int, total: int) -> float:
    """The share of the highest learning rate: up in the first tenth, then along a cosine to nearly nothing."""
    rise = max(1, total // 10)
    if step < rise:
        return (step + 1) / rise
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))
