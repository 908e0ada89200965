"""Architectures and models."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from mlex_jupyter.types.base import Name, Params, Record, Time
from mlex_jupyter.types.data import ClassInfo


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
