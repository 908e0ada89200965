"""What a run says in its events.jsonl, read from where one stopped reading; and what it amounts to for the job.

A job's own command may write anything there. What could not be kept or sent on is no event, and is passed over.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import JsonValue, ValidationError
from pydantic_core import from_json

from mlex_jupyter.files import read_piece
from mlex_jupyter.types import Progress

KINDS = frozenset({"metrics", "epoch", "progress", "picture", "note"})
AT_ONCE = 1 << 20
LONGEST_LINE = 1 << 16
MOST_BYTES = 1 << 28
"""What a run says beyond this stays in its file: the database is everybody's."""
LATEST = 253402300799  # the last second of the year 9999: no date goes further


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
    """The whole lines after an offset; what is no event of a run is passed over, and what is beyond all measure."""
    if offset >= MOST_BYTES:
        return Found([], max(offset, read_piece(path, offset, 0)[2]))
    _, piece, _ = read_piece(path, offset, AT_ONCE)
    whole = piece.rfind(b"\n") + 1
    if not whole and len(piece) == AT_ONCE:
        whole = AT_ONCE  # a line without an end: pass over it
    lines = piece[:whole].split(b"\n")
    found = Found([said for line in lines if (said := _parse(line))], offset + whole)
    if found.end >= MOST_BYTES:
        found.events.append(
            Said(time.time(), "note", {"text": f"It has said {found.end >> 20} MB; more is not shown."})
        )
    return found


def _parse(line: bytes) -> Said | None:
    if not line or len(line) > LONGEST_LINE:
        return None
    try:
        from_json(line)  # stricter than json: refuses half characters and endless nesting, which could not be sent on
        record = PATIENT.decode(line.decode())
        kind, values = record["kind"], record["values"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(kind, str) or kind not in KINDS or not isinstance(values, dict):
        return None
    if kind == "progress" and (values := _progress(values)) is None:
        return None
    at = record.get("time")
    return Said(float(at) if isinstance(at, int | float) and 0 <= at <= LATEST else time.time(), kind, values)


def _finite(number: str) -> float | None:
    return value if math.isfinite(value := float(number)) else None


def _whole(digits: str) -> int | float | None:
    return int(digits) if len(digits) < 20 else _finite(digits)


PATIENT = json.JSONDecoder(parse_constant=lambda _: None, parse_float=_finite, parse_int=_whole)
"""Takes numbers that JSON has no words for, as what can be kept of them."""


def summary(events: Sequence[Said], before: Mapping[str, float]) -> dict[str, Any]:
    """The job's columns that these events change: how far it is, and its newest metrics."""
    changes: dict[str, Any] = {}
    metrics = dict(before)
    for event in events:
        if event.kind == "progress":
            changes["progress"] = event.values
        elif event.kind == "epoch":
            metrics |= {name: value for name, value in _numbers(event.values) if name not in ("epoch", "epochs")}
    return changes | {"metrics": metrics}


def _progress(values: dict[str, JsonValue]) -> dict[str, JsonValue] | None:
    try:
        return Progress.model_validate(values).model_dump(mode="json")
    except ValidationError:
        return None


def _numbers(values: dict[str, JsonValue]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield name, float(value)
