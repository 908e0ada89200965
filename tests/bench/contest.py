"""A sample, two trainers, and a look at slices that neither has seen.

Both train the same network on the same scribbles. What a look takes does not count.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mlex_jupyter.data.sample import classes_of, make_sample
from mlex_jupyter.data.volume import Volume
from mlex_jupyter.forms import complete_params
from mlex_jupyter.learn import grey
from mlex_jupyter.learn.describe import find, of_entry_point
from mlex_jupyter.learn.models import build, wants
from mlex_jupyter.learn.score import Calibration, Confusion
from mlex_jupyter.learn.training.course import Course
from mlex_jupyter.learn.training.labelled import Labelled, Painted
from mlex_jupyter.learn.training.loop import Training
from mlex_jupyter.types import Params
from tests.bench import dlsia_trainer

Bytes = NDArray[np.uint8]
NETWORK = "tunet"
BUILDER = "mlex_jupyter.learn.models.dlsia:tunet"
SMALL: dict[str, Any] = {"depth": 3, "base_channels": 8}
"""The preset "fast"."""
PATCH, BATCH = dlsia_trainer.WINDOW, 8
HELD_OUT = 5


@dataclass(frozen=True)
class Problem:
    """A sample, painted on some slices; the others judge."""

    volume: Bytes
    truth: Bytes
    labels: Bytes
    texture: str
    judged: tuple[int, ...] = ()
    """The slices that judge, where they shall stay the same while labels change."""

    @classmethod
    def of(cls, texture: str, *, size: int = 192, slices: int = 24, seed: int = 7) -> Problem:
        """What `mlex sample` makes, smaller."""
        sample = make_sample(size=size, slices=slices, seed=seed, texture=texture)
        return cls(sample.volume, sample.truth, sample.scribbles, texture)

    @property
    def held_out(self) -> list[int]:
        """Slices that are neither labelled nor beside one that is, spread over the volume."""
        if self.judged:
            return list(self.judged)
        known = np.flatnonzero(self.labels.any(axis=(1, 2)))
        free = [z for z in range(len(self.volume)) if not known.size or np.abs(known - z).min() >= 2]
        return [free[int(at)] for at in np.linspace(0, len(free) - 1, min(HELD_OUT, len(free)))]

    def painted(self) -> Painted:
        """The labels as a training takes them."""
        zs = tuple(int(z) for z in np.flatnonzero(self.labels.any(axis=(1, 2))))
        return Painted("scribbles", self.labels, classes_of(self.texture), zs)

    def fresh(self, seed: int) -> nn.Module:
        """The network before any training."""
        torch.manual_seed(seed)
        return build(BUILDER, SMALL, channels=1, classes=len(classes_of(self.texture)))


@dataclass(frozen=True)
class Look:
    """How good a network is on the slices held out."""

    seconds: float
    """Of a processor, since the training began."""
    dice: float
    calibration: float


def look(network: nn.Module, images_ZCYX: Tensor, truth: Bytes) -> tuple[float, float]:
    """Dice over the classes, and how far off it is in how sure it is, over all pixels."""
    was = network.training
    network.eval()
    confusion, calibration = Confusion(4), Calibration()
    with torch.inference_mode():
        for image_CYX, truth_YX in zip(images_ZCYX, truth, strict=True):
            sure, found = network(image_CYX[None])[0].softmax(dim=0).max(dim=0)
            classes = found.numpy().astype(np.uint8)
            confusion.add(classes, truth_YX - 1)
            calibration.add(sure.numpy().ravel(), (classes == truth_YX - 1).ravel())
    network.train(was)
    return confusion.mean_dice(), calibration.error()


class Enough(Exception):
    """It is as good as somebody wanted to see."""


@dataclass
class Watched:
    """Looks at a training, outside of its time, until it is as good as that."""

    enough: float = 2.0
    looks: list[Look] = field(default_factory=list)
    begun: float = field(default_factory=time.process_time)
    aside: float = 0.0
    network: nn.Module | None = None
    """With the weights of the last look, where they are ours."""

    def look(self, how: Callable[[], tuple[float, float]]) -> None:
        """One more."""
        now = time.process_time()
        self.looks.append(Look(now - self.begun - self.aside, *how()))
        self.aside += time.process_time() - now
        if self.looks[-1].dice >= self.enough:
            raise Enough

    def seconds_to(self, dice: float) -> float:
        """Until it was first as good; infinite where it never was."""
        return next((one.seconds for one in self.looks if one.dice >= dice), float("inf"))


class Quiet:
    """Follows a training of ours without a word, and is told of its epochs."""

    stopping = False

    def __init__(self, told: Callable[[], None] | None = None) -> None:
        self.told = told

    def emit(self, kind: str, **values: Any) -> None:
        """Whoever wants to know is told of an epoch."""
        if kind == "epoch" and self.told:
            self.told()

    def note(self, text: str) -> None:
        """Nobody reads it."""

    def progress(self, done: int, total: int, unit: str, **more: float | None) -> None:
        """Nobody waits for it."""


def our_params(**given: Any) -> Params:
    """With all defaults that people get."""
    return complete_params(of_entry_point(find(NETWORK)), {**SMALL, "patch": PATCH, "batch": BATCH, **given})


def as_volume(problem: Problem) -> Volume:
    """The sample as a training reads it."""
    return Volume(problem.volume, uri="a sample", reader="array")


def our_training(problem: Problem, follower: Quiet, **given: Any) -> Training:
    """Ours, before its first step."""
    params = our_params(**given)
    seed = int(str(params["seed"]))
    labelled = Labelled(as_volume(problem), problem.painted(), wanted=wants(BUILDER, params), validation=0.2, seed=seed)
    return Training(Course(BUILDER, NETWORK, params), labelled, follower)


def ours(problem: Problem, *, enough: float = 2.0, **given: Any) -> Watched:
    """Our training, looked at after each epoch: at the weights that it would return."""
    follower = Quiet()
    training = our_training(problem, follower, **given)
    watched = Watched(enough)
    zs = problem.held_out
    how = training.labelled.preprocessing
    images = torch.from_numpy(np.stack([grey.normalised(problem.volume[z][None], how) for z in zs]))

    def see() -> tuple[float, float]:
        last = training.state.mean.state_dict()
        kept = {name: tensor.clone() for name, tensor in last.items()}
        found = look(training.state.load_best(), images, problem.truth[zs])
        training.state.mean.load_state_dict(kept)
        return found

    follower.told = lambda: watched.look(see)
    with contextlib.suppress(Enough):
        training.run()
    watched.network = training.state.load_best()
    return watched


def theirs(problem: Problem, *, rate: float, crops: int, seed: int = 0, enough: float = 2.0) -> Watched:
    """DLSIA's, for about as many crops, looked at after each epoch."""
    network = problem.fresh(seed)
    zs = problem.held_out
    dataset = dlsia_trainer.windows(problem.volume, problem.labels)
    images = dlsia_trainer.scaled(problem.volume)[zs]
    of_epoch = len(dataset) - max(1, int(0.2 * len(dataset)))
    watched = Watched(enough)
    with contextlib.suppress(Enough):
        dlsia_trainer.train(
            network,
            dataset,
            epochs=max(1, round(crops / of_epoch)),
            rate=rate,
            batch=BATCH,
            seed=seed,
            told=lambda: watched.look(lambda: look(network, images, problem.truth[zs])),
        )
    return watched


def spread(values: Sequence[float]) -> float:
    """How much they differ: their standard deviation."""
    return float(np.std(values))
