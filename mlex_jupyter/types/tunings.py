"""Tunings: searches for the parameters with which a network learns best. A trial is an ordinary training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from mlex_jupyter.types.base import Name, Params, Record, Time
from mlex_jupyter.types.jobs import JobState, TrainTask
from mlex_jupyter.types.resources import Resources

Sampler = Literal["tpe", "random"]
Pruner = Literal["median", "hyperband", "none"]
TuningState = Literal["running", "done", "cancelled", "failed"]


class TuningSpec(Record):
    """What somebody asked for: a training, and what of it is to be varied."""

    name: Name | None = None
    """Also the experiment of its trials; left out, one is made of the architecture's."""
    task: TrainTask
    """The parameters that it says stay as they are."""
    vary: dict[str, str] = Field({}, max_length=50)
    """By parameter: a range `2:5`, `1e-4:1e-2:log` or `16:64:16`, a choice `dice,ce`, or `auto`."""
    trials: int = Field(20, ge=1, le=1000)
    at_once: int = Field(1, ge=1, le=100)
    """How many of them run at the same time, at most."""
    sampler: Sampler = "tpe"
    pruner: Pruner = "median"
    metric: str = Field("dice", min_length=1, max_length=100)
    seed: int = Field(0, ge=0, le=2**31 - 1)
    """Of the search; the trials keep that of the training."""
    target: Name = "local"
    resources: Resources = Resources()
    key: str | None = Field(None, max_length=200)
    """The caller's own id of this request: asked twice with one key, it is one tuning."""


class Varied(Record):
    """A parameter that is varied, and what it may be."""

    name: str
    kind: Literal["int", "float", "choice"]
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    choices: tuple[JsonValue, ...] = ()


class Tuning(Record):
    """A search, and how it stands."""

    id: str
    name: Name
    owner: str
    spec: TuningSpec
    space: tuple[Varied, ...]
    trials: int
    """How many there are to be; fewer than were asked for where there are not so many combinations."""
    state: TuningState
    message: str | None = None
    """Why it failed, or what it waits for."""
    asked: int = 0
    """The trials that were begun."""
    running: int = 0
    """Those that have not ended."""
    done: int = 0
    pruned: int = 0
    """Those that were ended early, since others were better."""
    failed: int = 0
    best: str | None = None
    """The trial with the best value."""
    value: float | None = None
    created: Time


class Contender(Record):
    """A trial of a tuning."""

    number: int
    run: Name
    id: str
    state: JobState
    pruned: bool = False
    value: float | None = None
    """Of the metric that is compared, so far or in the end."""
    params: Params
    """Of those that are varied."""
    done: int | None = None
    """Epochs."""
    total: int | None = None
    eta_s: float | None = None
    reason: str | None = None


class Leaderboard(Record):
    """The trials of a tuning, the best first."""

    tuning: Tuning
    contenders: tuple[Contender, ...]
    eta_s: float | None = None
    """How long the rest takes, by what the trials took that have ended."""
    publish: str | None = None
    """The line that publishes the best."""
