"""Training that is not by steps: a network with `fit`, as the random forest, sees all labels once and is done.

To whoever follows it, it is a training of one epoch.
"""

from __future__ import annotations

from typing import Any

import torch

from mlex_jupyter.learn import machine
from mlex_jupyter.learn.models import build, contract, find_builder
from mlex_jupyter.learn.pace import Pace
from mlex_jupyter.learn.training.course import Course, Follower, Halted
from mlex_jupyter.learn.training.labelled import Labelled
from mlex_jupyter.learn.training.loop import Training
from mlex_jupyter.learn.training.state import State


def training_for(course: Course, labelled: Labelled, follower: Follower, **more: Any) -> Training:
    """The training that suits the network."""
    by_steps = contract(find_builder(course.builder)).trains == "steps"
    return (Training if by_steps else AtOnce)(course, labelled, follower, **more)


class AtOnce(Training):
    """One look at all labelled slices."""

    def _fresh(self) -> State:
        self.params = self.params.model_copy(update={"epochs": 1, "steps_per_epoch": 1})
        channels, classes = self.labelled.volume.shape_ZCYX[1], len(self.labelled.classes)
        network = build(self.course.builder, self.course.params, channels=channels, classes=classes).to(self.device)
        return State(network, torch.optim.SGD([torch.zeros(1)]))  # which has nothing to do

    def _say_what(self) -> None:
        labelled, count = self.labelled, sum(self.crops.counts)
        slices = f"{len(labelled.zs)} labelled slice{'s' if len(labelled.zs) > 1 else ''}"
        self.follower.note(f"{count} labelled pixels on {slices}, {self.judged_pixels} kept apart for validation")
        self.follower.note(f"{self.course.title}, on {machine.in_words(self.device)}")

    def run(self) -> None:
        """Fit, and judge what came out."""
        self.pace = Pace(1, self.standing.step, self.standing.seconds)
        self._progress()
        if self.standing.epoch:
            return
        network: Any = self.state.network
        loss = network.fit(self._slices(), seed=self.params.seed, jobs=machine.cpus())
        self.state.mean.load_state_dict(network.state_dict())
        self._count(loss)
        self._end_of_epoch()

    def _slices(self) -> Any:
        for z in self.labelled.zs:
            if self.follower.stopping:
                raise Halted(1)
            here = self.labelled[z]
            yield here.image_CYX, here.train_YX
