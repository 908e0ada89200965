"""Cells: what a column is made of, in lists and in the facts of one record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlex_jupyter.types import Architecture, JobState

COLOURS = {
    JobState.RUNNING: "--jp-brand-color1",
    JobState.DONE: "--jp-success-color1",
    JobState.FAILED: "--jp-error-color1",
    JobState.LOST: "--jp-warn-color1",
    True: "--jp-success-color1",
    False: "--jp-error-color1",
}


@dataclass(frozen=True)
class Column:
    """A column of a list: its title, and what it shows of a record."""

    title: str
    value: Callable[[Any], Any]
    right: bool = False


@dataclass(frozen=True)
class Lines:
    """Values that stand one under the other."""

    items: tuple[Any, ...]


def field(title: str, name: str, *, right: bool = False) -> Column:
    """A field as it stands."""
    return Column(title, lambda record: getattr(record, name), right)


def from_where(found: Architecture) -> str:
    """Whose an architecture is, and in which version."""
    return f"source of {found.owner}, {found.version}" if found.owner else f"{found.distribution} {found.version}"
