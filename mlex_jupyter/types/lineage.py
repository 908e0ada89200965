"""Lineage: what was made from what."""

from __future__ import annotations

from typing import Literal

from mlex_jupyter.types.base import Record, Time

Kind = Literal["dataset", "labels", "run", "model", "unknown"]


class LineageNode(Record):
    """A dataset, label set, run or model; `unknown` is what is not in this home any more, or never was."""

    id: str
    kind: Kind
    name: str
    says: str = ""
    """A few words: its shape, its classes, what it did."""
    created: Time | None = None


class LineageEdge(Record):
    """One thing was made from another."""

    parent: str
    child: str
    detail: str = ""
    """Of the parent: `v2`."""


class Lineage(Record):
    """Everything that something was made from, and everything that was made from it."""

    about: str
    """The id of what was asked for."""
    nodes: tuple[LineageNode, ...]
    """What was made first comes first."""
    edges: tuple[LineageEdge, ...] = ()
    """An edge that says no more than a longer way does is left out."""
    more: bool = False
    """True where there is more than was asked for; the nearest are here."""
