"""Jobs: what people want of them. A wish is one committed row; from then on it is not lost.

The supervisor, and nobody else, makes wishes come true; see lifecycle.py.
"""

from __future__ import annotations

from sqlalchemy import Connection, update

from mlex_jupyter.catalog import Catalog
from mlex_jupyter.errors import Conflict
from mlex_jupyter.events import append
from mlex_jupyter.jobs.completing import Completing
from mlex_jupyter.jobs.looking import Looking
from mlex_jupyter.jobs.rows import asked_before, find, insert_job, shown
from mlex_jupyter.labels import Labels
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.store.tables import Row, jobs
from mlex_jupyter.targets import Targets
from mlex_jupyter.types import Job, JobFile, JobSpec, JobState
from mlex_jupyter.zoo import Zoo


class Jobs(Looking):
    """The jobs of one home."""

    def __init__(
        self, store: Store, settings: Settings, catalog: Catalog, labels: Labels, zoo: Zoo, targets: Targets
    ) -> None:
        super().__init__(store, settings)
        self.completing = Completing(self, catalog, labels, zoo, targets)

    async def submit(self, spec: JobSpec, owner: str) -> Job:
        """Acknowledge a job: it is complete, checked and committed."""
        if spec.key is not None and (before := await self.store.read(lambda tx: asked_before(tx, spec, owner))):
            return before
        job = await self.completing.prepare(spec, owner)
        return await self.store.write(lambda tx: self.commit(tx, job, spec))

    def commit(self, tx: Connection, job: JobFile, spec: JobSpec) -> Job:
        """Keep the wish, in the transaction of whoever asks."""
        return insert_job(tx, job, spec)

    async def cancel(self, run: str) -> Job:
        """Wish that a job stops; what has ended stays as it is."""

        def wish(tx: Connection) -> Row:
            row = find(tx, run)
            if JobState(row.state).final:
                raise Conflict(f"{row.name} is {row.state}: there is nothing to cancel.")
            wish_off(tx, row)
            return find(tx, row.id)

        return shown(await self.store.write(wish))

    async def resume(self, run: str) -> Job:
        """Wish for another attempt of a job that ended without a result."""

        def wish(tx: Connection) -> Row:
            row = find(tx, run)
            state = JobState(row.state)
            if state == JobState.DONE:
                raise Conflict(f"{row.name} is done: there is nothing to resume.")
            if not state.final:
                raise Conflict(f"{row.name} is {row.state} already.")
            wish_on(tx, row)
            return find(tx, row.id)

        return shown(await self.store.write(wish))


def wish_off(tx: Connection, row: Row, reason: str | None = None) -> None:
    """Have a job cancelled; the reason is said of it where it was no person who wanted it."""
    values = {"cancel": max(row.asked, row.attempt), "cancel_reason": reason}
    tx.execute(update(jobs).where(jobs.c.id == row.id).values(**values))


def wish_on(tx: Connection, row: Row) -> None:
    """Have a job that has ended go on."""
    waiting = {"state": JobState.WAITING, "reason": "resumed", "message": None, "hint": None, "ended": None}
    wished = {"asked": max(row.asked, row.attempt + 1), "vanished": 0, "cancel": 0, "native_id": None}
    wished |= {"failures": 0, "not_before": None, "blocked": 0}
    tx.execute(update(jobs).where(jobs.c.id == row.id).values(**waiting, **wished))
    append(tx, row.id, "state", {"state": "waiting", "reason": "resumed", "attempt": row.attempt})
