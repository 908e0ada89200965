"""Rules: on what event, which job."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from pydantic import Field

from mlex_jupyter.types.base import Name, Record, Time
from mlex_jupyter.types.jobs import Task
from mlex_jupyter.types.resources import Resources


class On(str, Enum):
    """What a rule waits for."""

    TRAINING_DONE = "training done"
    PRETRAINING_DONE = "pretraining done"
    PREDICTION_DONE = "prediction done"
    RUN_DONE = "run done"
    JOB_DONE = "job done"
    JOB_FAILED = "job failed"
    JOB_ENDED = "job ended"
    DATASET = "dataset registered"
    LABELS = "labels saved"
    MODEL = "model published"


class Rule(Record):
    """A job that is asked for whenever something happens, once for each time."""

    id: str
    name: Name
    owner: str
    on: On
    match: str = Field("*", max_length=200)
    """The name of what it is about, with * and ?."""
    tags: tuple[str, ...] = ()
    """Only where all of these tags are: of the dataset or model, or of a job's dataset."""
    do: Literal["train", "pretrain", "predict", "run"]
    task: dict[str, str]
    """The task's fields, as text, where `{run}`, `{dataset}` and the like stand for what the event is about."""
    target: Name = "local"
    resources: Resources = Resources()
    again: bool = False
    """Whether it also holds for what comes of its own jobs."""
    enabled: bool = True
    version: int = 1
    """Grows with each change of what it says."""
    fired: int = 0
    """How many jobs it has made."""
    last_fired: Time | None = None
    message: str | None = None
    """Why it made no job the last time that it should have."""
    created: Time


class Trial(Record):
    """What a rule would have made of one past event."""

    event: int
    time: Time
    about: str
    """The name of what the event is about."""
    fires: bool
    says: str
    """The job in words, or why there would be none."""
    task: Task | None = None
