"""What a supervisor's look costs while 100,000 jobs run: processor time, beside reading all of their rows."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select, update

from mlex_jupyter.app import Mlex
from mlex_jupyter.jobs.lifecycle import Lifecycle
from mlex_jupyter.jobs.reign import Reign
from mlex_jupyter.jobs.tracking import begun
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import next_epoch
from mlex_jupyter.store.tables import jobs
from mlex_jupyter.targets import Seen, Targets
from mlex_jupyter.targets.local import LocalTarget
from mlex_jupyter.types import JobSpec, JobState, RunTask
from tests.bench.figures import Figure, median, quantile

RUNNING = 100_000
LOOKS = 300
LIMIT_MS = 150.0


class Everywhere(LocalTarget):
    """A scheduler that says of every job that it runs."""

    async def states(self, native_ids: Collection[str]) -> Mapping[str, Seen]:
        """They run."""
        return {native_id: Seen(state=JobState.RUNNING) for native_id in native_ids}


def figures() -> list[Figure]:
    """Looks with somebody's commit before each, when every row has been read."""
    with tempfile.TemporaryDirectory() as folder:
        mlex = Mlex(Settings.load(home=Path(folder)))
        asyncio.run(_fill(mlex))
        whole = _cpu(lambda: mlex.store.read_now(begun))
        looks = asyncio.run(_look(mlex))
        mlex.close()
    against = f"reading {RUNNING:,} narrow rows"
    return [
        Figure("a look after a commit, 100,000 run, p50, CPU", median(looks), "ms", whole, against),
        Figure("… p99", quantile(looks, 0.99), "ms", whole, against, LIMIT_MS),
    ]


async def _fill(mlex: Mlex) -> None:
    await mlex.job_list.submit(JobSpec(task=RunTask(argv=("true",))), "bench")
    first = dict(mlex.store.read_now(lambda tx: tx.execute(select(jobs)).one())._mapping)
    del first["number"]
    await mlex.store.write(lambda tx: _insert(tx, first))


def _insert(tx: Connection, first: dict[str, Any]) -> None:
    rows = list(_rows(first))
    for start in range(0, RUNNING, 5000):
        tx.execute(insert(jobs), rows[start : start + 5000])


def _rows(first: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for number in range(RUNNING):
        about = {"id": f"run-{number:08d}", "name": f"run-{number}"}
        yield first | about | {"state": "running", "attempt": 1, "native_id": f"{number}@1"}


async def _look(mlex: Mlex) -> list[float]:
    targets = Targets(mlex.settings)
    targets._made["local"] = Everywhere(mlex.settings)
    epoch = await mlex.store.write(next_epoch)
    life = Lifecycle(Reign(mlex.store, epoch), mlex.settings, targets, mlex.catalog)
    await life.look()
    said = update(jobs).where(jobs.c.id == "run-00000001").values(seen=time.time())
    took = []
    for _ in range(LOOKS):
        await mlex.store.write(lambda tx: tx.execute(said))
        before = time.process_time()
        await life.look()
        took.append(1000 * (time.process_time() - before))
    return took


def _cpu(work: Any) -> float:
    before = time.process_time()
    work()
    return 1000 * (time.process_time() - before)
