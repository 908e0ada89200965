"""Estimates: how long a training would take and how much memory, measured on a few of its steps."""

from __future__ import annotations

from mlex_jupyter.types.base import Record
from mlex_jupyter.types.zoo import FitCheck


class Measurement(Record):
    """`estimate.json`: what was measured where the training would run."""

    machine: str
    """What computes there."""
    measured: int
    """So many steps were made; at once, where a network does not learn by steps."""
    start_s: float
    """Until the first step."""
    step_s: float
    epoch_end_s: float
    """Judging, a picture and a checkpoint."""
    epoch_s: float
    total_s: float
    epochs: int
    steps_per_epoch: int
    batch: int
    patch: int
    """The side of a crop, as it fits the slices."""
    memory_gb: float
    """The most that was used."""
    memory_limit_gb: float
    """What there is for it."""
    in_pieces: bool = False
    """True where the whole batch does not fit, so that it would be taken in pieces; its time is then an upper bound."""
    largest_batch: int | None = None
    """With that patch; None where a network does not learn by batches."""
    largest_patch: int | None = None
    """With that batch; at most a slice."""
    tried: tuple[str, ...] = ()
    """Which of these were tried out, and not only worked out: batch, patch."""


class Estimate(Record):
    """What a training would need, before it starts."""

    model: str
    data: str
    target: str
    run: str
    """The job that measured."""
    measurement: Measurement
    checks: tuple[FitCheck, ...]
    """Whether the network suits the data."""
