"""Architectures and models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from mlex_jupyter.types.base import Name, Params, Record, Time
from mlex_jupyter.types.data import ClassInfo, Dataset
from mlex_jupyter.types.resources import Resources

Tag = Annotated[str, Field(min_length=1, max_length=100)]


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
    framework: str = "pytorch"
    params_schema: dict[str, JsonValue]
    """JSON Schema of network and training parameters; `x-group` is "network" or "training"."""
    pretrain_schema: dict[str, JsonValue] | None = None
    """The same for learning without labels; None where it has no encoder that could."""
    inputs: ArrayContract
    outputs: ArrayContract
    presets: dict[str, Params] = {}
    """Parameters that go together, by name: fast, balanced, best."""
    halo: str | None = None
    """How far a pixel looks, by the parameters; None where it is found out from the network."""
    finite_halo: bool = True
    """False where a pixel sees the whole slice, so that tiles are no more than nearly exact."""
    place: int = 50
    """Where it stands in lists: what to try first comes first."""
    builder: str
    """Where it is defined: `module:function`."""
    distribution: str
    version: str
    owner: str | None = None
    """Who brought its source; None where a package did."""


class Preprocessing(Record):
    """How grey values become what the network sees: `(value - offset) / scale`, then clipped."""

    offset: float
    scale: float
    clip: tuple[float, float] = (-4.0, 4.0)


class TrainedOn(Record):
    """What a model saw in training, as far as it matters for what it can be used on."""

    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    pixel_size: tuple[float, ...] | None = None
    pixel_unit: str | None = None

    @classmethod
    def of(cls, data: Dataset) -> TrainedOn:
        """What matters of a dataset."""
        return cls(**{name: getattr(data, name) for name in cls.model_fields})


Visibility = Literal["private", "shared"]


class Model(Record):
    """A published, trained model: safetensors, with everything that prediction needs beside it."""

    id: str
    name: Name
    version: int
    aliases: tuple[str, ...] = ()
    title: str = Field("", max_length=200)
    description: str = Field("", max_length=100_000)
    """The card's text, in Markdown."""
    architecture: str
    framework: str = "pytorch"
    task: str = "segmentation"
    params: Params
    weights: str
    """The blob's address: `sha256:…`."""
    code: str | None = None
    """The blob of its network's source, where its owner brought it. It runs wherever the model is used."""
    builder: str | None = None
    """What that source builds it with: `module:name`."""
    channels: int = 1
    preprocessing: Preprocessing
    classes: tuple[ClassInfo, ...]
    run: str
    dataset: str
    labels: str
    trained_on: TrainedOn | None = None
    parent: str | None = None
    """The id of the model that it was made from."""
    metrics: dict[str, float] = {}
    tags: tuple[Tag, ...] = Field((), max_length=50)
    owner: str
    project: str | None = None
    visibility: Visibility = "private"
    license: str | None = Field(None, max_length=200)
    citation: str | None = Field(None, max_length=2000)
    image: str | None = None
    """The container image that its training ran in."""
    resources: Resources | None = None
    """What its training asked for."""
    created: Time
    withdrawn: Time | None = None
    """Since when it is no longer listed; its exact version still loads."""


class ZooEntry(Record):
    """One line of the model zoo: a published model, or an architecture that trains from zero."""

    name: Name
    kind: Literal["model", "architecture"]
    version: int | None = None
    title: str
    architecture: str
    task: str
    framework: str = "pytorch"
    metrics: dict[str, float] = {}
    tags: tuple[str, ...] = ()
    owner: str | None = None
    visibility: Visibility = "shared"
    run: str | None = None
    created: Time | None = None


class ZooPage(Record):
    """Some of what was looked for, the best first."""

    entries: tuple[ZooEntry, ...]
    total: int
    """How many there are; where `more_than_total` is set, at least so many."""
    more_than_total: bool = False
    next: str | None = None
    """What to give as `past` for the next page; None on the last."""


class FitCheck(Record):
    """One thing that was compared, between a model and what it is to be used on."""

    level: Literal["ok", "warn", "problem"]
    about: str
    says: str
    mend: str | None = None


class FitReport(Record):
    """Whether a model suits data, in plain words."""

    model: str
    data: str
    fits: bool
    """False where something is a problem: such a job is refused."""
    checks: tuple[FitCheck, ...]


class Trained(Record):
    """A trained network in a form that prediction can load: `model.json` beside its weights."""

    architecture: str
    builder: str
    task: str = "segmentation"
    """What it gives: the class of each pixel, or, as an `embedding`, what is like what."""
    params: Params
    channels: int = 1
    classes: tuple[ClassInfo, ...]
    preprocessing: Preprocessing
    gives: Preprocessing | None = None
    """How what it gives becomes values, where those are no classes."""
    weights: str
    """The safetensors file, absolute, or relative to the file that this stands in."""
    source: str = ""
    """The id of the run or model that it is, for the lineage of what it makes."""


class Package(Record):
    """What a package of bioimage.io says of itself."""

    name: str
    format: str
    description: str = ""
    license: str | None = None
    tags: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    """The formats that its weights come in."""
    files: dict[str, int] = {}
    """Each file's size in bytes."""
    refused: str | None = None
    """Why it cannot be used here; None where it can."""


class Conversion(Record):
    """What became of the weights of another program."""

    model: Name
    """What it is called in the zoo."""
    version: int
    tensors: int
    refused: tuple[str, ...] = ()
    """What the file names that is no tensor: it was never looked up."""
    left_aside: tuple[str, ...] = ()
    """What it holds besides the weights, as an optimizer."""


class PackageFile(Record):
    """A package that was written."""

    path: str
    nbytes: int
    sha256: str


class Entry(Record):
    """A model as MLExchange's content registry describes it, with its form; it is not run here."""

    name: Name
    version: str = Field(max_length=50)
    title: str = Field(max_length=200)
    kind: str = ""
    """As it says: supervised, unsupervised."""
    description: str = ""
    owner: str = ""
    applications: tuple[str, ...] = ()
    reference: str | None = None
    image: str | None = None
    command: tuple[str, ...] = ()
    """What MLExchange runs in its image; shown to people only."""
    params_schema: dict[str, JsonValue]
    """JSON Schema of its parameters; `x-group` is the group in which MLExchange shows one."""
    left_aside: tuple[str, ...] = ()
    """What only concerned how the form looks there."""
    imported: Time
