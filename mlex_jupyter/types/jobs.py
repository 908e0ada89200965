"""Jobs: what was asked for, how it stands, and what its folder holds."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlex_jupyter.types.base import Name, Params, Record, Reference, Time
from mlex_jupyter.types.code import Code
from mlex_jupyter.types.data import Dataset, LabelSet
from mlex_jupyter.types.prediction import Slices
from mlex_jupyter.types.resources import Resources
from mlex_jupyter.types.zoo import Architecture, Trained


class TrainTask(Record):
    """Train a network on the labelled pixels of a dataset."""

    kind: Literal["train"] = "train"
    model: Name
    """An architecture of the zoo."""
    data: Name
    labels: Name
    params: Params = {}
    """Network and training parameters; what is left out takes the preset's value, else the architecture's default."""
    preset: str | None = Field(None, max_length=100)
    """Some of the architecture's parameters by one word, as `fast`."""
    start: Reference | None = None
    """What it begins with: a published model (`pores`, `pores@3`) or a finished run, of the same architecture."""


class EstimateTask(TrainTask):
    """Measure a few steps of a training, and what fits into memory; nothing is trained."""

    kind: Literal["estimate"] = "estimate"  # type: ignore[assignment]


class PretrainTask(Record):
    """Let the encoder of a network learn from a dataset without labels."""

    kind: Literal["pretrain"] = "pretrain"
    model: Name
    """An architecture of the zoo that has an encoder."""
    data: Name
    params: Params = {}
    """Network and training parameters; what is left out takes the preset's value, else the default."""
    preset: str | None = Field(None, max_length=100)
    """Some of the architecture's parameters by one word, as `fast`."""
    start: Reference | None = None
    """What it begins with: a published model or a finished run, of the same architecture."""


class PredictTask(Record):
    """Segment a dataset, or some of its slices, with a finished run or a published model."""

    kind: Literal["predict"] = "predict"
    model: Reference
    """A run (id or name) or a published model: `name`, `name@3`, `name@champion`, or `name` with `version`."""
    version: int | None = None
    data: Name
    slices: Slices | None = None
    """Only these: `10`, or `10:40`; left out, all."""
    probabilities: bool = False
    """Keep the probability of every class, too."""
    trial: bool = False
    """Only look at what comes out: no dataset is made of it."""
    shared: Name | None = None
    """The folder under `predictions` of the home that several jobs of one prediction fill; left out, the job's own."""
    part: str | None = Field(None, pattern=r"^[1-9]\d{0,4}/[1-9]\d{0,4}$")
    """Which of these slices this job computes: `2/8` is the second eighth. One job without comes last."""


class RunTask(Record):
    """Run a command, a script or a function of one's own. The command is a list; no shell reads it."""

    kind: Literal["run"] = "run"
    argv: tuple[str, ...] = ()
    """The command, or the name of the script and its words; a function has none."""
    code: Code | None = None
    """The text of the script, or of the function with what it uses: a later change of theirs changes nothing."""
    arguments: Params = {}
    """What the function is called with."""
    folder: str | None = None
    """Where it runs; left out, a new folder of the job's own."""
    retries: int = Field(0, ge=0, le=10)
    """How often to start it again after it vanished."""
    retry_failed: int = Field(0, ge=0, le=10)
    """How often to try again after it failed, after a pause that doubles each time."""

    @model_validator(mode="after")
    def _has_work(self) -> RunTask:
        if self.code is not None and self.code.name:
            if self.argv:
                raise ValueError("a function takes arguments, and no argv")
        elif not self.argv or self.arguments:
            raise ValueError("a command is at least one word, and takes no arguments but its own words")
        return self


Task = Annotated[TrainTask | EstimateTask | PretrainTask | PredictTask | RunTask, Field(discriminator="kind")]


class JobSpec(Record):
    """What somebody asked for."""

    name: Name | None = None
    """Shown in lists, and good in place of the id: the newest of that name is meant."""
    task: Task
    target: Name = "local"
    resources: Resources = Resources()
    image: str | None = None
    after: tuple[str, ...] = ()
    project: str | None = None
    experiment: Name | None = None
    """A word that several runs share, so that they are listed and compared together."""
    key: str | None = Field(None, max_length=200)
    """The caller's own id of this request: asked twice with one key, it is one job."""


class JobState(str, Enum):
    """Where a job stands."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def final(self) -> bool:
        """True when nothing more happens unless somebody resumes it."""
        return self in FINAL


FINAL = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.LOST})


class Progress(Record):
    """How far a run is."""

    done: int
    total: int
    unit: str
    """What is counted: "epoch", "slice"."""
    fraction: float = Field(ge=0, le=1)
    eta_s: float | None = None
    score: float | None = None
    """The best validation Dice so far."""


class Output(Record):
    """One thing that a finished job left."""

    kind: Literal["weights", "dataset", "picture", "slices", "value", "file"]
    name: str
    ref: str
    """A dataset's or blob's id, or a path inside the job folder."""
    derived_from: tuple[str, ...] = ()
    """The ids of what it was made from: dataset, label set, job or model."""


class Job(Record):
    """A job as it stands."""

    id: str
    name: str
    spec: JobSpec
    owner: str
    state: JobState
    reason: str | None = None
    """Why it waits or how it ended, with the scheduler's own word in brackets."""
    message: str | None = None
    """For a failure, one plain sentence."""
    hint: str | None = None
    native_id: str | None = None
    attempt: int
    submitted: Time
    started: Time | None = None
    ended: Time | None = None
    seen: Time | None = None
    exit_code: int | None = None
    progress: Progress | None = None
    metrics: dict[str, float] = {}
    outputs: tuple[Output, ...] = ()


class JobCounts(Record):
    """How many jobs there are in each state."""

    total: int
    waiting: int
    queued: int
    running: int
    done: int
    failed: int
    cancelled: int
    lost: int


class JobFile(Record):
    """`job.json`: everything that a run needs to know, so that it needs no database and no network."""

    id: str
    name: str
    owner: str
    spec: JobSpec
    """With every default filled in."""
    data: Dataset | None = None
    labels: LabelSet | None = None
    architecture: Architecture | None = None
    model: Trained | None = None
    code: Code | None = None
    """The source of the network, where somebody brought it."""
    rules: tuple[str, ...] = ()
    """The ids of the rules that led to it, the last of which asked for it."""


class Result(Record):
    """`result.json`: what a finished attempt hands over. Its existence means that the attempt is done."""

    attempt: int
    outputs: tuple[Output, ...] = ()
    metrics: dict[str, float] = {}
    dataset: Dataset | None = None
    """The volume that a prediction made."""
    datasets: tuple[Dataset, ...] = ()
    """What it made besides, as a map of its uncertainty."""

    @property
    def made(self) -> tuple[Dataset, ...]:
        """All of them, the main one first."""
        return (self.dataset, *self.datasets) if self.dataset else self.datasets


class Ending(Record):
    """`attempts/<n>/ending.json`: how an attempt that produced no result ended."""

    state: JobState
    exit_code: int
    message: str
    hint: str | None = None
    time: Time


class LogChunk(Record):
    """A piece of a job's log."""

    text: str
    offset: int
    """Where to go on reading."""
    final: bool
    """True when the job has ended and this is all there will be."""


class Why(Record):
    """The reason a job is where it is, and what can be done."""

    job: str
    name: str
    state: JobState
    reason: str
    hints: tuple[str, ...] = ()
    log_tail: tuple[str, ...] = ()
