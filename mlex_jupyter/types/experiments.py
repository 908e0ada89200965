"""Experiments, and runs side by side."""

from __future__ import annotations

from pydantic import JsonValue

from mlex_jupyter.types.base import Name, Record, Time
from mlex_jupyter.types.jobs import JobState


class Experiment(Record):
    """Runs that belong together."""

    name: Name
    runs: int
    done: int
    running: int
    """Those that have not ended."""
    best: str | None = None
    """The run with the highest Dice."""
    dice: float | None = None
    first: Time
    last: Time
    """When the newest of its runs was asked for."""


class Difference(Record):
    """Something in which runs differ, with what each of them has."""

    name: str
    values: tuple[JsonValue, ...]
    """In the order of the runs; None where one has no such thing."""


class Measured(Record):
    """A metric of several runs."""

    name: str
    values: tuple[float | None, ...]
    best: tuple[int, ...] = ()
    """The places of the best; none where nobody can say which way is better."""


class Comparison(Record):
    """Runs side by side: only what differs, and how they did."""

    runs: tuple[str, ...]
    """Their names."""
    ids: tuple[str, ...]
    states: tuple[JobState, ...]
    took_s: tuple[float | None, ...]
    differences: tuple[Difference, ...]
    same: int
    """How many parameters are the same in all."""
    metrics: tuple[Measured, ...]
