"""The task "estimate": a few steps of a training for real, to say how long all of it takes and what fits into memory.

    <job>/estimate.json      a `Measurement`

The time is that of the training's own loop, with its loader beside it, and of one end of an epoch. The memory is the
highest that was seen with small batches and with the wanted one; it grows with the crops in a batch and the pixels of a
crop, so the largest that fit are worked out, and tried, where that does not take long.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import math
import shutil
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from pydantic import JsonValue

from mlex_jupyter.files import write_whole
from mlex_jupyter.learn import machine
from mlex_jupyter.learn.attempt import Attempt, Stopped
from mlex_jupyter.learn.params import TrainParams
from mlex_jupyter.learn.training.atonce import AtOnce
from mlex_jupyter.learn.training.course import Course, Halted
from mlex_jupyter.learn.training.crops import Crops
from mlex_jupyter.learn.training.labelled import Labelled
from mlex_jupyter.learn.training.loop import Training
from mlex_jupyter.learn.training.task import training_of
from mlex_jupyter.types import Measurement, Output, Result

STEPS, LEAST = 12, 4
"""So many steps are timed, but fewer where they take long; the first is left out, since it is slower."""
STEPS_S = 10.0
TRIED_S = 20.0
"""What is expected to take longer is not tried out."""
SPARE = 0.95
"""The share of the memory that may be used: not all is known beforehand."""
MOST_BATCH, MOST_PATCH = 1024, 4096
LEAST_GB = 1e-6
"""A crop takes more than this, whatever noise there is."""
CLEAR = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Seen:
    """What some steps took."""

    batch: int
    step_s: float
    steps: int
    memory_gb: float
    whole: bool
    """Whether the batch went through in one piece."""


class Quiet:
    """Follows a training whose result nobody wants."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt

    @property
    def stopping(self) -> bool:
        """Whether somebody wants the measuring to stop."""
        return self.attempt.stopping

    def emit(self, kind: str, **values: JsonValue) -> None:
        """No curve is drawn of it."""

    def note(self, text: str) -> None:
        """It was said already."""

    def progress(self, done: int, total: int, unit: str, **more: float | None) -> None:
        """What counts here are steps."""


class Few(Quiet):
    """Lets a training make a few steps; it is asked before each."""

    def __init__(self, attempt: Attempt, steps: int) -> None:
        super().__init__(attempt)
        self.steps = steps
        self.times: list[float] = []

    @property
    def stopping(self) -> bool:
        """Whether enough were made, or they took long enough."""
        self.times.append(time.monotonic())
        made, took = len(self.times) - 1, self.times[-1] - self.times[0]
        if self.steps == STEPS:
            self.attempt.progress(min(made, STEPS), STEPS, "step")
        return made >= self.steps or (made >= LEAST and took > STEPS_S) or self.attempt.stopping

    def step_s(self) -> float:
        """The usual time of a step."""
        took = [after - before for before, after in itertools.pairwise(self.times)]
        return statistics.median(took[1:] or took)


def estimate(attempt: Attempt) -> Result:
    """Measure, and leave what was found."""
    training = training_of(attempt)
    start_s = time.time() - psutil.Process().create_time()
    measure = _at_once if isinstance(training, AtOnce) else _by_steps
    found = measure(attempt, training.course, training.labelled, training.params, training.crops.side, start_s)
    attempt.note(
        f"{found.step_s:.3g} s a step, {found.epoch_s:.3g} s an epoch, about {found.total_s:.0f} s in all; "
        f"{found.memory_gb:.2g} of {found.memory_limit_gb:.3g} GB"
    )
    write_whole(attempt.path / "estimate.json", found.model_dump_json(indent=2))
    numbers = {"epoch_s": found.epoch_s, "total_s": found.total_s, "memory_gb": found.memory_gb}
    output = Output(kind="value", name="estimate", ref="estimate.json")
    return Result(attempt=attempt.number, outputs=(output,), metrics=numbers)


def _at_once(
    attempt: Attempt, course: Course, labelled: Labelled, params: TrainParams, side: int, start_s: float
) -> Measurement:
    """What learns without steps is done in seconds: all of it is measured."""
    device = machine.prepare()
    _forget_peak(device)
    begun = time.monotonic()
    follower: Any = Quiet(attempt)
    try:
        AtOnce(course, labelled, follower).run()
    except Halted as halted:
        raise Stopped("Stopped while it measured.") from halted
    took = round(time.monotonic() - begun, 3)
    memory = {"memory_gb": round(machine.memory_gb(device), 3), "memory_limit_gb": round(_limit_gb(attempt, device), 3)}
    times = {"start_s": round(start_s, 3), "step_s": took, "epoch_end_s": 0.0, "epoch_s": took}
    total = {"total_s": round(start_s + took, 1), "epochs": 1, "steps_per_epoch": 1, "batch": 1, "patch": side}
    return Measurement(machine=machine.in_words(device), measured=1, **times, **total, **memory)


def _by_steps(
    attempt: Attempt, course: Course, labelled: Labelled, params: TrainParams, side: int, start_s: float
) -> Measurement:
    probe = Probe(attempt, course, labelled, side)
    one, two = probe.seen(1, side, 2), probe.seen(2, side, 2)
    limit = _limit_gb(attempt, probe.device)
    fits = one.memory_gb + (params.batch - 1) * (two.memory_gb - one.memory_gb) <= limit
    batch = params.batch if fits else 1
    main, end_s, peak_gb = probe.epoch(batch, STEPS)
    step_s = main.step_s * params.batch / batch
    epoch_s = params.steps_per_epoch * step_s + end_s
    return Measurement(
        machine=machine.in_words(probe.device),
        measured=main.steps,
        start_s=round(start_s, 3),
        step_s=round(step_s, 5),
        epoch_end_s=round(end_s, 3),
        epoch_s=round(epoch_s, 3),
        total_s=round(start_s + params.epochs * epoch_s, 1),
        epochs=params.epochs,
        steps_per_epoch=params.steps_per_epoch,
        batch=params.batch,
        patch=side,
        memory_gb=round(peak_gb, 3),
        memory_limit_gb=round(limit, 3),
        in_pieces=not (fits and main.whole),
        **_largest(probe, one, main if main.batch > 1 else two, params, limit),
    )


def _largest(probe: Probe, one: Seen, more: Seen, params: TrainParams, limit: float) -> dict[str, Any]:
    """The largest batch and patch, by how much memory a crop takes beyond what all take; tried where that is quick."""
    crop_gb = max((more.memory_gb - one.memory_gb) / (more.batch - 1), LEAST_GB)
    base_gb, room_gb = one.memory_gb - crop_gb, limit * SPARE
    crop_s, tried = more.step_s / more.batch, []
    batch = int(min(max(0.0, room_gb - base_gb) / crop_gb, MOST_BATCH))
    if batch > more.batch and 2 * batch * crop_s < TRIED_S:
        found = probe.seen(batch, probe.side, 1)
        batch = _less(batch, more.batch, found.memory_gb, more.memory_gb, room_gb) if found.whole else batch // 2
        tried.append("batch")
    dims, whole_gb = probe.dims, base_gb + crop_gb * params.batch
    larger = max(0.0, room_gb - base_gb) / (crop_gb * params.batch)
    patch = probe.fitting(int(min(probe.side * larger ** (1 / dims), MOST_PATCH)))
    if patch > probe.side and 2 * params.batch * crop_s * (patch / probe.side) ** dims < TRIED_S:
        found = probe.seen(params.batch, patch, 1)
        size = _less(patch**dims, probe.side**dims, found.memory_gb, whole_gb, room_gb)
        patch = probe.fitting(math.floor(size ** (1 / dims) + 1e-6) if found.whole else patch // 2)
        tried.append("patch")
    return {"largest_batch": batch, "largest_patch": patch, "tried": tuple(tried)}


def _less(wanted: int, known: int, wanted_gb: float, known_gb: float, room_gb: float) -> int:
    """What fits of what was tried, along the line from what is known to fit."""
    if wanted_gb <= room_gb or wanted_gb <= known_gb:
        return wanted
    return int(known + (wanted - known) * max(0.0, room_gb - known_gb) / (wanted_gb - known_gb))


class Probed(Training):
    """A training of which only the pieces are wanted."""

    def end_epoch(self) -> None:
        """Judge, draw and checkpoint, as at the end of every epoch."""
        self._end_of_epoch()


class Probe:
    """Makes a few steps of one training, with other batches and patches."""

    def __init__(self, attempt: Attempt, course: Course, labelled: Labelled, side: int) -> None:
        self.attempt = attempt
        self.course = course
        self.labelled = labelled
        self.side = side
        self.device = machine.prepare()
        images, _ = Crops(labelled, TrainParams.of({**course.params, "patch": side})).batch(0, [0])
        self.dims = images.ndim - 2
        """The axes along which a crop is as long as its side, behind batch and channels."""

    def fitting(self, side: int) -> int:
        """The largest side of a crop up to this that the network and the slices allow."""
        multiple, shortest = self.labelled.wanted.multiple, min(self.labelled[self.labelled.zs[0]].train_YX.shape)
        return int(max(multiple, min(side, shortest) // multiple * multiple))

    def seen(self, batch: int, side: int, steps: int) -> Seen:
        """What steps with crops of this size take."""
        training, follower = self._training(batch, side, steps)
        return self._run(training, follower)

    def epoch(self, batch: int, steps: int) -> tuple[Seen, float, float]:
        """What steps take, and in seconds the end of an epoch; and the most memory of both."""
        training, follower = self._training(batch, self.side, steps)
        seen = self._run(training, follower)
        place = self.attempt.path / "measured"
        (place / "checkpoint").mkdir(parents=True, exist_ok=True)
        training.folder = place
        begun = time.monotonic()
        try:
            training.end_epoch()
            return seen, time.monotonic() - begun, machine.memory_gb(self.device)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _training(self, batch: int, side: int, steps: int) -> tuple[Probed, Few]:
        """One that comes to no end of an epoch by itself."""
        gc.collect()
        machine.let_go(self.device)
        _forget_peak(self.device)
        follower: Any = Few(self.attempt, steps)
        params = {**self.course.params, "batch": batch, "patch": side, "epochs": 1, "steps_per_epoch": 100_000}
        return Probed(replace(self.course, params=params), self.labelled, follower), follower

    def _run(self, training: Training, follower: Few) -> Seen:
        with contextlib.suppress(Halted):
            training.run()
        if self.attempt.stopping:
            raise Stopped("Stopped while it measured.")
        whole, steps = training.standing.pieces == 1, len(follower.times) - 1
        return Seen(training.params.batch, follower.step_s(), steps, machine.memory_gb(self.device), whole)


# ---------------------------------------------------------------- memory


def _limit_gb(attempt: Attempt, device: torch.device) -> float:
    """What there is: of the GPU's memory; else what the job asks for, as far as this machine has it."""
    if device.type == "cuda":
        return (torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)) / 1e9
    free = psutil.virtual_memory().available + psutil.Process().memory_info().rss
    return min(attempt.job.spec.resources.memory_gb, free / 1e9)


def _forget_peak(device: torch.device) -> None:
    """From now on the peak is that of what comes. Where the system does not allow it, it is the highest so far."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):
        CLEAR.write_text("5")
