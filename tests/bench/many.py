"""Search and pages over many jobs, in SQLite and in PostgreSQL, beside one row by its primary key."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from mlex_jupyter.app import Mlex
from mlex_jupyter.settings import Settings
from mlex_jupyter.store.postgres import Postgres
from mlex_jupyter.store.tables import jobs
from mlex_jupyter.types import JobState
from tests import needs
from tests.bench.figures import Figure, quantile
from tests.postgres import running_cluster

ROWS = 100_000
ROUNDS = 120
P99_MS = 50.0
STATES = ("done",) * 90 + ("failed",) * 6 + ("cancelled",) * 3 + ("waiting",)


def figures() -> list[Figure]:
    """The slowest of the searches, for each database that is here."""
    found = []
    for name, database in _databases():
        with database as url, tempfile.TemporaryDirectory() as folder:
            found += asyncio.run(_measure(name, Settings.load(home=Path(folder), database=url)))
    return found


def _databases() -> Iterator[tuple[str, Any]]:
    yield "SQLite", contextlib.nullcontext()
    if needs.MISSING["postgres"]() is None:
        yield "PostgreSQL", _postgres()


@contextlib.contextmanager
def _postgres() -> Iterator[str]:
    with running_cluster() as cluster:
        yield cluster.database()


def _row(number: int) -> dict[str, Any]:
    model, data = f"net-{number % 40}", f"scan-{number % 700}"
    task = {"kind": "train", "model": model, "data": data, "labels": "scribbles", "params": {"epochs": 10}}
    spec = {"name": f"{model}-{number:06d}", "task": task}
    file = {"id": f"run-{number:08d}", "name": spec["name"], "owner": f"user-{number % 30}", "spec": spec}
    about = {"name": spec["name"], "owner": file["owner"], "request": spec, "target": "local", "task": "train"}
    moved = {"state": STATES[number * 37 % 100], "submitted": 1.7e9 + number, "model": model, "data": data}
    padding = {"x": "y" * 2000}  # as long as a schema of parameters makes it
    return {"id": file["id"], "file": file | {"padding": padding}, "metrics": {"dice": 0.9}, **about, **moved}


async def _measure(name: str, settings: Settings) -> list[Figure]:
    mlex = Mlex(settings)
    for begin in range(0, ROWS, 5000):
        rows = [_row(number) for number in range(begin, begin + 5000)]
        await mlex.store.write(lambda tx, rows=rows: tx.execute(insert(jobs), rows))
    _tend(mlex)
    middle = f"run-{ROWS // 2:08d}"
    searches: dict[str, Callable[[], Awaitable[Any]]] = {
        "newest": lambda: mlex.jobs(),
        "state": lambda: mlex.jobs(state=JobState.WAITING),
        "page in the middle": lambda: mlex.jobs(past=middle),
        "common name": lambda: mlex.jobs("net-1*"),
        "rare name": lambda: mlex.jobs("*-000017"),
        "no such name": lambda: mlex.jobs("nobody*"),
        "model, data and state": lambda: mlex.jobs(model="net-17", data="scan-57", state=JobState.FAILED),
        "counts": lambda: mlex.job_counts(),
        "counts of a name": lambda: mlex.job_counts("net-1*"),
        "one by name": lambda: mlex.job("net-17-000017"),
    }
    times: dict[str, list[float]] = {search: [] for search in searches}
    bare: list[float] = []
    for look in searches.values():  # the first of each fills the caches
        await look()
    for _ in range(ROUNDS):
        for search, look in searches.items():
            times[search].append(await _ms(look))
        bare.append(await _ms(lambda: mlex.store.read(lambda tx: tx.execute(select(jobs.c.id).limit(1)).one())))
    mlex.close()
    worst = max(times, key=lambda search: quantile(times[search], 0.99))
    p99 = quantile(times[worst], 0.99)
    against = "one row of the table"
    return [
        *(
            Figure(f"{name}: {search}, p50", quantile(found, 0.5), "ms", quantile(bare, 0.5), against)
            for search, found in times.items()
        ),
        Figure(f"{name}: slowest of these, p99 ({worst})", p99, "ms", quantile(bare, 0.99), against, P99_MS),
    ]


def _tend(mlex: Mlex) -> None:
    """What a PostgreSQL does by itself once it has time."""
    database = mlex.store.database
    if isinstance(database, Postgres):
        with database.connect() as connection:
            connection.execute("VACUUM ANALYZE jobs")


async def _ms(look: Callable[[], Awaitable[Any]]) -> float:
    begun = time.perf_counter()
    await look()
    return 1000 * (time.perf_counter() - begun)
