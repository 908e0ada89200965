"""Durable submissions a second, one after the other and from eight at once, beside bare commits of SQLite."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
import time
from pathlib import Path

from mlex_jupyter.app import Mlex
from mlex_jupyter.settings import Settings
from mlex_jupyter.types import JobSpec, RunTask
from tests.bench.figures import Figure
from tests.servers import end_processes_of

COUNT = 200
AT_ONCE = 8


def figures() -> list[Figure]:
    """Acknowledged jobs a second."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["MLEX_HOME"] = str(home)
        try:
            bare = _commits(home / "bare.db")
            alone, together = asyncio.run(_submissions(Mlex(Settings.load(home=home))))
        finally:
            end_processes_of(home)
            del os.environ["MLEX_HOME"]
    against = "bare commits, WAL, synchronous=FULL"
    return [
        Figure("jobs acknowledged, one by one", alone, "/s", bare, against),
        Figure(f"jobs acknowledged, {AT_ONCE} at once", together, "/s", bare, against),
    ]


async def _submissions(mlex: Mlex) -> tuple[float, float]:
    first = await mlex.submit(JobSpec(task=RunTask(argv=("sleep", "600"))))

    async def submit(count: int) -> None:
        for _ in range(count):
            await mlex.submit(JobSpec(task=RunTask(argv=("true",)), after=(first.id,)))

    await submit(5)
    begun = time.perf_counter()
    await submit(COUNT)
    alone = COUNT / (time.perf_counter() - begun)
    begun = time.perf_counter()
    await asyncio.gather(*(submit(COUNT // AT_ONCE) for _ in range(AT_ONCE)))
    together = COUNT / (time.perf_counter() - begun)
    await mlex.cancel(first.id)
    mlex.store.close()
    return alone, together


def _commits(path: Path) -> float:
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE jobs (file TEXT)")
    row = ("x" * 600,)
    begun = time.perf_counter()
    for _ in range(COUNT):
        database.execute("INSERT INTO jobs VALUES (?)", row)
    took = time.perf_counter() - begun
    database.close()
    return COUNT / took
