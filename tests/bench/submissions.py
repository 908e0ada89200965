"""Durable submissions a second and how long each is waited for, beside a plain commit a row in the same SQLite."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from pathlib import Path

from mlex_jupyter.app import Mlex
from mlex_jupyter.settings import Settings
from mlex_jupyter.types import JobSpec, RunTask
from tests.bench.figures import Figure, interleaved, median, quantile

COUNT = 320
ROUNDS = 5
AT_ONCE = 8
P99_MS = 50.0
EACH_MS = 1000 / 300
"""300 submissions a second."""


def figures() -> list[Figure]:
    """One after the other, and from several callers at once."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        mlex = Mlex(Settings.load(home=home))
        waited: list[float] = []
        alone, together, bare = interleaved(
            ROUNDS,
            lambda: asyncio.run(_submit(mlex, 1, [])),
            lambda: asyncio.run(_submit(mlex, AT_ONCE, waited)),
            lambda: _commits(home / "bare.db"),
        )
        mlex.close()
    against = "a commit a row, WAL, synchronous=FULL"
    null = median(bare)
    return [
        Figure("a job acknowledged, one by one", median(alone), "ms", null, against),
        Figure(f"… of {AT_ONCE} callers, each", median(together), "ms", null, against, EACH_MS),
        Figure("… and waited for, p50", quantile(waited, 0.5), "ms", null, against),
        Figure("… and waited for, p99", quantile(waited, 0.99), "ms", null, against, P99_MS),
    ]


async def _submit(mlex: Mlex, callers: int, waited: list[float]) -> float:
    """Milliseconds for each of them; nobody moves the jobs meanwhile."""

    async def caller() -> None:
        for _ in range(COUNT // callers):
            begun = time.perf_counter()
            await mlex.job_list.submit(JobSpec(task=RunTask(argv=("true",))), "bench")
            waited.append(1000 * (time.perf_counter() - begun))

    begun = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return 1000 * (time.perf_counter() - begun) / COUNT


def _commits(path: Path) -> float:
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS jobs (file TEXT)"
    )
    row = ("x" * 2000,)
    begun = time.perf_counter()
    for _ in range(COUNT):
        database.execute("INSERT INTO jobs VALUES (?)", row)
    took = time.perf_counter() - begun
    database.close()
    return 1000 * took / COUNT
