"""Every type that crosses a wire or a disk: frozen, typed, with its units in the name.

The OpenAPI document, the TypeScript client, the command line's options and the job folder's files are all made
from these, so a field is named once, here. Names are snake_case on every side.
"""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from mlex_jupyter.errors import Invalid, MlexError

# ---------------------------------------------------------------- the building blocks


class Record(BaseModel):
    """A value: frozen, strict about unknown fields, and shown as a small table in a notebook."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        defer_build=True,
        json_schema_serialization_defaults_required=True,
    )

    def _repr_html_(self) -> str:
        from mlex_jupyter.faces.present import record_html

        return record_html(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        from mlex_jupyter.faces.present import text

        printer.text(text(self))

    def to_pandas(self) -> Any:
        """This value as a pandas Series."""
        from mlex_jupyter.faces.present import to_pandas

        return to_pandas(self)


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def _a_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError("use letters, digits, '.', '_' and '-', at most 100, beginning with a letter or digit")
    return name


Name = Annotated[str, AfterValidator(_a_name), Field(json_schema_extra={"pattern": f"^{NAME.pattern}$"})]
Time = AwareDatetime
Params = dict[str, JsonValue]


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(timezone.utc)


def new_id(prefix: str) -> str:
    """An id that sorts by time, is safe as a file's, a Slurm job's and a Kubernetes name: `run-067f2k…`."""
    import secrets

    return f"{prefix}-{int(time.time() * 1000):012x}{secrets.token_hex(4)}"


class Problem(Record):
    """What went wrong, as every face shows it."""

    code: str
    message: str
    hint: str | None = None
    transient: bool = False

    @classmethod
    def of(cls, error: MlexError) -> Problem:
        """The one place where an error becomes what people see."""
        return cls(code=error.code, message=error.message, hint=error.hint, transient=error.transient)


def invalid(error: ValidationError, whose: str) -> Invalid:
    """What is wrong with what a person gave, in the one sentence that every face shows."""
    found = error.errors(include_url=False)
    first = found[0]
    *above, name = [part for part in first["loc"] if isinstance(part, str)] or [whose]
    owner = above[-1] if above else whose
    if first["type"] == "missing":
        missing = [
            str(one["loc"][-1]) for one in found if one["type"] == "missing" and one["loc"][:-1] == first["loc"][:-1]
        ]
        return Invalid(f"{owner} needs {' and '.join(missing)}.")
    if first["type"] == "extra_forbidden":
        return Invalid(f"{owner} has no argument {name!r}.")
    said = first["msg"].removeprefix("Value error, ")
    return Invalid(f"{name} = {repr(first['input'])[:80]} will not do: {said[0].lower()}{said[1:]}.")


R = TypeVar("R", bound=Record)


def checked(kind: type[R], /, **given: Any) -> R:
    """A value made of what a person gave, or an Invalid that names what will not do."""
    try:
        return kind(**given)
    except ValidationError as error:
        fields = kind.model_fields
        raise invalid(error, str(fields["kind"].default) if "kind" in fields else kind.__name__) from error


# ---------------------------------------------------------------- what there is


class ClassInfo(Record):
    """One class of a segmentation. Value 0 is always "unlabelled" and is not listed."""

    value: int = Field(ge=1, le=255)
    name: str
    color: str = Field(pattern=r"^#[0-9a-f]{6}$")


class Dataset(Record):
    """A volume that can be looked at, trained on and predicted."""

    id: str
    name: Name
    uri: str
    """An absolute path; a service's datasets will have URLs."""
    reader: str
    shape: tuple[int, ...]
    dtype: str
    axes: str
    """One letter an axis, in the array's order: `zyx`, `yx`, `zcyx`."""
    chunks: tuple[int, ...] | None = None
    pixel_size: tuple[float, ...] | None = None
    pixel_unit: str | None = None
    nbytes: int
    checksum: str | None = None
    classes: tuple[ClassInfo, ...] = ()
    """What the values mean, where the volume is a segmentation."""
    derived_from: tuple[str, ...] = ()
    """Ids of the datasets, label sets, models and jobs it was made from."""
    tags: tuple[str, ...] = ()
    project: str | None = None
    created: Time


class LabelSet(Record):
    """Classes painted over one dataset, in versions. 0 is unlabelled and is never trained on."""

    id: str
    name: Name
    dataset: str
    classes: tuple[ClassInfo, ...]
    version: int
    uri: str
    """The zarr array of this version: uint8, the shape of the dataset's z, y and x."""
    counts: dict[str, int]
    """Labelled pixels by class name."""
    slices: tuple[int, ...]
    """The z of the slices that have labels."""
    created: Time


class ArrayContract(Record):
    """What a network takes or gives."""

    axes: str
    channels: int | None = None
    dtype: str = "float32"
    divisible_by: str = "1"
    """How the sizes must divide, where parameters decide it: `2**(depth-1)`. Padding is automatic."""


class Architecture(Record):
    """A kind of network that can be trained, with a form for its parameters."""

    name: Name
    title: str
    description: str = ""
    task: Literal["segmentation"] = "segmentation"
    params_schema: dict[str, JsonValue]
    """JSON Schema of network and training parameters; `x-group` is "network" or "training"."""
    inputs: ArrayContract
    outputs: ArrayContract
    builder: str
    """Where it is defined: `module:function`."""
    distribution: str
    version: str


class Preprocessing(Record):
    """How grey values become what the network sees: `(value - offset) / scale`, then clipped."""

    offset: float
    scale: float
    clip: tuple[float, float] = (-4.0, 4.0)


class Model(Record):
    """A published, trained model: safetensors, with everything that prediction needs beside it."""

    id: str
    name: Name
    version: int
    aliases: tuple[str, ...] = ()
    title: str = ""
    architecture: str
    params: Params
    weights: str
    """The blob's address: `sha256:…`."""
    preprocessing: Preprocessing
    classes: tuple[ClassInfo, ...]
    run: str
    dataset: str
    labels: str
    parent: str | None = None
    metrics: dict[str, float] = {}
    tags: tuple[str, ...] = ()
    owner: str
    visibility: Literal["private", "shared"] = "private"
    license: str | None = None
    citation: str | None = None
    created: Time


class ZooEntry(Record):
    """One line of the model zoo: a published model, or an architecture that trains from zero."""

    name: Name
    kind: Literal["model", "architecture"]
    version: int | None = None
    title: str
    architecture: str
    task: str
    metrics: dict[str, float] = {}
    tags: tuple[str, ...] = ()
    run: str | None = None
    created: Time | None = None


class Trained(Record):
    """A trained network in a form that prediction can load: `model.json` beside its weights."""

    architecture: str
    builder: str
    params: Params
    channels: int = 1
    classes: tuple[ClassInfo, ...]
    preprocessing: Preprocessing
    weights: str
    """The safetensors file, absolute, or relative to the file that this stands in."""
    source: str = ""
    """The id of the run or model that it is, for the lineage of what it makes."""


# ---------------------------------------------------------------- jobs


class Resources(Record):
    """What a job asks of its target."""

    cpus: int | None = Field(None, ge=1, le=4096, description="Processor cores; left out, what suits the target.")
    gpus: int | None = Field(None, ge=0, le=1024, description="Whole GPUs; left out, what suits the target.")
    memory_gb: float = Field(
        4, gt=0, le=100_000, description="Memory in GB: what the run keeps to, and what a scheduler holds it to."
    )
    minutes: int | None = Field(None, ge=1, description="Time limit in minutes; the run saves and stops before it.")
    nodes: int = Field(1, ge=1, le=10_000, description="Machines.")
    queue: str | None = Field(None, description="Partition or queue of the target.")
    extra: dict[str, str] = {}


class TrainTask(Record):
    """Train a network on the labelled pixels of a dataset."""

    kind: Literal["train"] = "train"
    model: Name
    """An architecture of the zoo."""
    data: Name
    labels: Name
    params: Params = {}
    """Network and training parameters; what is left out takes the architecture's default."""


class PredictTask(Record):
    """Segment a whole dataset with a finished run or a published model."""

    kind: Literal["predict"] = "predict"
    model: Name
    """A run (id or name) or a published model (`name` or `name` with `version`)."""
    version: int | None = None
    data: Name


class RunTask(Record):
    """Run a command of one's own. The command is a list; no shell reads it."""

    kind: Literal["run"] = "run"
    argv: tuple[str, ...] = Field(min_length=1)
    folder: str | None = None
    """Where it runs; left out, a new folder of the job's own."""
    retries: int = Field(0, ge=0, le=10)
    """How often to start it again after it vanished; a command's own failure is never repeated."""


Task = Annotated[TrainTask | PredictTask | RunTask, Field(discriminator="kind")]


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

    kind: Literal["weights", "dataset", "picture"]
    name: str
    ref: str
    """A dataset's or blob's id, or a path inside the job folder."""


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


class Result(Record):
    """`result.json`: what a finished attempt hands over. Its existence means that the attempt is done."""

    attempt: int
    outputs: tuple[Output, ...] = ()
    metrics: dict[str, float] = {}
    dataset: Dataset | None = None
    """The volume that a prediction made."""


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


class Event(Record):
    """Something that happened. Ids only grow, and a reader that has seen `id` has seen all before it."""

    id: int
    time: Time
    subject: str
    """What it is about: a job's, dataset's or model's id."""
    kind: str
    """"submitted", "state", "metrics", "progress", "picture", "note", "dataset", "labels", "model"."""
    values: dict[str, JsonValue]


class TargetInfo(Record):
    """A place where jobs run, and how much of it is free."""

    name: str
    kind: str
    title: str
    ready: bool
    reason: str | None = None
    cpus: int
    cpus_free: int
    gpus: int
    gpus_free: int
    memory_gb: float


class Check(Record):
    """One line of `mlex doctor`."""

    name: str
    ok: bool
    says: str
    mend: str | None = None
    """What to type, where something is to be mended."""


class Hello(Record):
    """What a face learns first about the server."""

    version: str
    home: str
    user: str
    last_event: int
