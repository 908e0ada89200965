"""Search and pages over many jobs, in SQLite and in PostgreSQL, each beside a query of nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, insert

from mlex_jupyter.store.tables import jobs
from mlex_jupyter.types import JobState
from tests.bench.asking import Question, over_databases
from tests.bench.figures import Figure

ROWS = 100_000
STATES = ("done",) * 90 + ("failed",) * 6 + ("cancelled",) * 3 + ("waiting",)


def _row(number: int) -> dict[str, Any]:
    model, data = f"net-{number % 40}", f"scan-{number % 700}"
    task = {"kind": "train", "model": model, "data": data, "labels": "scribbles", "params": {"epochs": 10}}
    spec = {"name": f"{model}-{number:06d}", "task": task}
    file = {"id": f"run-{number:08d}", "name": spec["name"], "owner": f"user-{number % 30}", "spec": spec}
    about = {"name": spec["name"], "owner": file["owner"], "request": spec, "target": "local", "task": "train"}
    moved = {"state": STATES[number * 37 % 100], "submitted": 1.7e9 + number, "model": model, "data": data}
    padding = {"x": "y" * 2000}  # as long as a schema of parameters makes it
    return {"id": file["id"], "file": file | {"padding": padding}, "metrics": {"dice": 0.9}, **about, **moved}


def _jobs(*name: str, **sought: Any) -> Callable[[random.Random], Question]:
    return lambda rng: lambda mlex: mlex.jobs(*name, **sought)


def _counts(*name: str) -> Callable[[random.Random], Question]:
    return lambda rng: lambda mlex: mlex.job_counts(*name)


KINDS: dict[str, Callable[[random.Random], Question]] = {
    "newest": _jobs(),
    "state": _jobs(state=JobState.WAITING),
    "a page in the middle": _jobs(past=f"run-{ROWS // 2:08d}"),
    "a common name": _jobs("net-1*"),
    "a name with a rare end": _jobs("*-000017"),
    "a name with something within": _jobs("*-0000?7*"),
    "the beginning of old names": _jobs("net-17-00*"),
    "no such name": _jobs("nobody*"),
    "no such end": _jobs("*nobody"),
    "model, data and state": _jobs(model="net-17", data="scan-57", state=JobState.FAILED),
    "somebody's that failed": _jobs(owner="user-7", state=JobState.FAILED),
    "counts": _counts(),
    "counts of a name": _counts("net-1*"),
    "counts of a name's end": _counts("*7"),
    "one by name": lambda rng: lambda mlex: mlex.job("net-17-000017"),
}


def fill(tx: Connection) -> None:
    """Put the jobs into a database."""
    for begin in range(0, ROWS, 5000):
        tx.execute(insert(jobs), [_row(number) for number in range(begin, begin + 5000)])


def figures() -> Sequence[Figure]:
    """The figures of all databases that are on this machine."""
    return over_databases(f"{ROWS:,} jobs", fill, KINDS)
