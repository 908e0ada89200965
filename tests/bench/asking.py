"""Questions to a home with many rows, in SQLite and in PostgreSQL, each beside a query of nothing."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from mlex_jupyter.app import Mlex
from mlex_jupyter.settings import Settings
from mlex_jupyter.store.databases import Postgres
from tests import needs
from tests.bench.figures import Figure, median, quantile
from tests.postgres import running_cluster

ROUNDS = 120
LIMIT_MS = 50

Question = Callable[[Mlex], Awaitable[Any]]
Kinds = Mapping[str, Callable[[random.Random], Question]]


def over_databases(rows: str, fill: Callable[[Connection], None], kinds: Kinds) -> list[Figure]:
    """How long all kinds of questions take together, and the slowest of them, in each database that is here."""
    found = []
    for name, database in _databases():
        with database as url, tempfile.TemporaryDirectory() as folder:
            mlex = Mlex(Settings.load(home=Path(folder), user="user1", database=url))
            try:
                mlex.store.write_now(fill)
                _tend(mlex)
                times, nothing = asyncio.run(measured(mlex, kinds))
            finally:
                mlex.close()
        found += list(_figures(f"{rows}, {name}", times, nothing))
    return found


async def measured(mlex: Mlex, kinds: Kinds, rounds: int = ROUNDS) -> tuple[dict[str, list[float]], list[float]]:
    """Milliseconds by kind of question, and of asking nothing, in turns."""
    rng = random.Random(1)
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    nothing: list[float] = []
    for question in kinds.values():  # the first of each fills the caches
        await question(rng)(mlex)
    for _ in range(rounds):
        for kind, question in kinds.items():
            times[kind].append(await _ms(question(rng), mlex))
        nothing.append(await _ms(_nothing, mlex))
    return times, nothing


async def _nothing(mlex: Mlex) -> Any:
    return await mlex.store.read(lambda tx: tx.execute(text("SELECT 1")).scalar())


async def _ms(question: Question, mlex: Mlex) -> float:
    begun = time.perf_counter()
    await question(mlex)
    return 1000 * (time.perf_counter() - begun)


def _figures(rows: str, times: dict[str, list[float]], nothing: list[float]) -> Iterator[Figure]:
    against = "SELECT 1 through the same path"
    together = [one for found in times.values() for one in found]
    yield Figure(f"{rows}: {len(times)} questions, p50", median(together), "ms", median(nothing), against)
    for kind in sorted(times, key=lambda kind: -median(times[kind]))[:3]:
        yield Figure(f"  {kind}, p50", median(times[kind]), "ms", median(nothing), against)
    worst = max(times, key=lambda kind: quantile(times[kind], 0.99))
    p99 = quantile(times[worst], 0.99)
    yield Figure(f"  slowest p99: {worst}", p99, "ms", quantile(nothing, 0.99), against, LIMIT_MS)


def _databases() -> Iterator[tuple[str, contextlib.AbstractContextManager[str | None]]]:
    yield "SQLite", contextlib.nullcontext()
    if (missing := needs.MISSING["postgres"]()) is None:
        yield "PostgreSQL", _postgres()
    else:
        print(missing, file=sys.stderr)


@contextlib.contextmanager
def _postgres() -> Iterator[str]:
    with running_cluster() as cluster:
        yield cluster.database()


def _tend(mlex: Mlex) -> None:
    """What a PostgreSQL does by itself once it has time."""
    database = mlex.store.database
    if isinstance(database, Postgres):
        with database.connect() as connection:
            connection.execute("VACUUM ANALYZE")
