"""What a script of one's own can tell while it runs as a job: `mlex.note(…)`, `mlex.progress(…)`, `mlex.metrics(…)`.

A line in the job folder's events.jsonl each, which every face shows as it comes. Outside a job they print.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any


def note(text: str) -> None:
    """Say something in plain words."""
    print(text, flush=True)
    _emit("note", text=str(text))


def progress(
    done: int, total: int, unit: str = "step", *, eta_s: float | None = None, score: float | None = None
) -> None:
    """How far it is: `mlex.progress(3, 10, "epoch")`."""
    fraction = min(1.0, max(0.0, done / total)) if total else 1.0
    if not _emit("progress", done=done, total=total, unit=unit, fraction=fraction, eta_s=eta_s, score=score):
        print(f"{unit} {done} of {total}", flush=True)


def metrics(step: int | None = None, *, epoch: int | None = None, **values: float) -> None:
    """Points of curves: `mlex.metrics(step, loss=0.3)`; with an epoch they are also the job's scores."""
    said = {name: float(value) for name, value in values.items()}
    place: dict[str, Any] = {name: one for name, one in (("step", step), ("epoch", epoch)) if one is not None}
    if not _emit("metrics" if epoch is None else "epoch", **place, **said):
        print(", ".join(f"{name} {value:g}" for name, value in {**place, **said}.items()), flush=True)


def _emit(kind: str, **values: Any) -> bool:
    """Append one event, in one write; False outside a job."""
    folder = os.environ.get("MLEX_JOB_FOLDER")
    if folder is None:
        return False
    attempt = int(os.environ.get("MLEX_ATTEMPT", "1"))
    line = json.dumps({"time": time.time(), "attempt": attempt, "kind": kind, "values": values})
    descriptor = os.open(Path(folder) / "events.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        os.write(descriptor, line.encode() + b"\n")
    finally:
        os.close(descriptor)
    return True
