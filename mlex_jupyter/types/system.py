"""Events, targets, and what the system says of itself."""

from __future__ import annotations

from pydantic import JsonValue

from mlex_jupyter.types.base import Record, Time


class Event(Record):
    """Something that happened. Ids only grow, and a reader that has seen `id` has seen all before it."""

    id: int
    time: Time
    subject: str
    """What it is about: a job's, dataset's or model's id."""
    kind: str
    """"submitted", "state", "metrics", "progress", "picture", "note", "dataset", "labels", "model", "painted", "rule";
    "pruned" says that what was told of painting up to the id `upto` is not kept any more."""
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
