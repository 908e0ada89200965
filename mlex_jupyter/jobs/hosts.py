"""Hosts that share a home: each one's supervisor says now and then that it is there, and alone judges its own runs.

A process is seen only on its own host. So whoever reigns elsewhere leaves such a run as it is, says how long its host
has been silent, and ends it on paper only where somebody asks for that.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection, insert, select, update

from mlex_jupyter.store import Store
from mlex_jupyter.store.hostlease import this_host
from mlex_jupyter.store.tables import Row, jobs, meta
from mlex_jupyter.targets import Targets
from mlex_jupyter.targets.local import LocalTarget
from mlex_jupyter.types import JobState

BEAT_S = 10.0
SILENT_S = 60.0
"""Who was not heard of for so long is silent."""
BEAT = "beat "


def beat(tx: Connection, host: str) -> None:
    """Say that this host's supervisor is there."""
    now = {"value": int(time.time())}
    if not tx.execute(update(meta).where(meta.c.key == BEAT + host).values(now)).rowcount:
        tx.execute(insert(meta).values(key=BEAT + host, **now))


def beats(tx: Connection) -> dict[str, float]:
    """When each host was last heard of."""
    heard = tx.execute(select(meta).where(meta.c.key.startswith(BEAT, autoescape=True)))
    return {row.key.removeprefix(BEAT): float(row.value) for row in heard}


class Elsewhere:
    """The runs of other hosts, as one host knows of them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.this = this_host()["host"]
        self.several = store.database.several
        self._heard: dict[str, float] = {}
        self._asked = self._searched = -SILENT_S

    def holds(self, row: Row) -> bool:
        """Whether this run can be seen on another host only."""
        return self.several and row.state != JobState.WAITING and row.host not in (None, self.this)

    async def silent_since(self, row: Row) -> float | None:
        """Since when nobody has looked after this run on its host; None while somebody does."""
        if time.monotonic() - self._asked > BEAT_S / 2:
            self._asked = time.monotonic()
            self._heard = await self.store.read(beats)
        last = self._heard.get(row.host) or row.seen or row.submitted
        return float(last) if time.time() - last > SILENT_S else None

    async def end_strays(self, targets: Targets) -> None:
        """End what still runs here of attempts that were given up while this host was silent."""
        if not self.several or time.monotonic() - self._searched < SILENT_S:
            return
        self._searched = time.monotonic()
        local = targets.get(LocalTarget.name)
        here = local.present() if isinstance(local, LocalTarget) else []
        query = select(jobs.c.id, jobs.c.state, jobs.c.attempt).where(jobs.c.id.in_([run.job for run in here]))
        known = {row.id: row for row in await self.store.read(lambda tx: tx.execute(query).all())}
        for run in here:
            row = known.get(run.job)
            if row is not None and (row.state == JobState.CANCELLED or run.attempt < row.attempt):
                await local.cancel(run.native_id, force=True)


def away(row: Row, since: float) -> str:
    """Why nothing happens with it, in words."""
    return f"{at(row.host)} its supervisor is silent since {_when(since)}"


def given_up(row: Row, since: float) -> str:
    """What became of a run that was cancelled meanwhile, in words."""
    return (
        f"cancelled while its host {row.host} was silent, since {_when(since)}; what may still run there is ended "
        "when its supervisor is back"
    )


def at(host: str) -> str:
    """How the reason begins that another host gives."""
    return f"runs on {host};"


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
