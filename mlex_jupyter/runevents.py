"""What a run says in its events.jsonl, read from where one stopped reading; and what it amounts to for the job."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import JsonValue, ValidationError

from mlex_jupyter.types import Progress

KINDS = frozenset({"metrics", "epoch", "progress", "picture", "note"})
AT_ONCE = 1 << 20
LONGEST_LINE = 1 << 16


class Said(NamedTuple):
    """One event of a run."""

    at: float
    kind: str
    values: dict[str, JsonValue]


class Found(NamedTuple):
    """The events in a piece of the file, and where the piece ends."""

    events: list[Said]
    end: int


def read_events(path: Path, offset: int) -> Found:
    """The whole lines after an offset; one that is not an event of a run is passed over."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            piece = file.read(AT_ONCE)
    except FileNotFoundError:
        return Found([], offset)
    whole = piece.rfind(b"\n") + 1
    if not whole and len(piece) == AT_ONCE:
        whole = AT_ONCE  # a line without an end: pass over it
    lines = piece[:whole].split(b"\n")
    return Found([said for line in lines if (said := _parse(line))], offset + whole)


def _parse(line: bytes) -> Said | None:
    if not line or len(line) > LONGEST_LINE:
        return None
    try:
        record = json.loads(line, parse_constant=lambda _: None)
        kind, values = record["kind"], record["values"]
    except (ValueError, KeyError, TypeError):
        return None
    if kind not in KINDS or not isinstance(values, dict):
        return None
    at = record.get("time")
    return Said(float(at) if isinstance(at, int | float) else time.time(), kind, values)


def summary(events: Sequence[Said], before: Mapping[str, float]) -> dict[str, Any]:
    """The job's columns that these events change: how far it is, and its newest metrics."""
    changes: dict[str, Any] = {}
    metrics = dict(before)
    for event in events:
        if event.kind == "progress" and (progress := _progress(event.values)):
            changes["progress"] = progress
        elif event.kind == "epoch":
            metrics |= {name: float(value) for name, value in event.values.items() if _is_number(value)}
    return changes | {"metrics": metrics}


def _progress(values: dict[str, JsonValue]) -> dict[str, JsonValue] | None:
    try:
        return Progress.model_validate(values).model_dump(mode="json")
    except ValidationError:
        return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
