"""A move of a job: its columns and what is told of them in one transaction, and its last word beside the run."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, delete, select, update

from mlex_jupyter.errors import MlexError, TargetError
from mlex_jupyter.events import append, append_many
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.jobs.reign import Reign
from mlex_jupyter.jobs.rows import FINAL_STATES
from mlex_jupyter.runevents import Found, read_events, summary
from mlex_jupyter.settings import Settings
from mlex_jupyter.store.tables import Row, awaited, jobs
from mlex_jupyter.targets import Target, Targets


class Moves:
    """What the supervisor that reigns writes about jobs."""

    def __init__(self, reign: Reign, settings: Settings, targets: Targets) -> None:
        self.reign = reign
        self.settings = settings
        self.targets = targets
        self.moved: set[str] = set()
        """The jobs that were written since somebody read them."""
        self._complained: set[str] = set()

    def target(self, row: Row) -> Target:
        """A job's target. One that is not there any more changes no state, as one that does not answer."""
        try:
            return self.targets.get(row.target)
        except MlexError as error:
            raise TargetError(error.message, hint=error.hint, transient=True) from error

    def folder(self, row: Row) -> JobFolder:
        """Where a job's files are."""
        return JobFolder(self.settings.home / "jobs" / row.id)

    async def change(self, row: Row, **values: Any) -> Row:
        """Change a job, and keep its last word beside the run."""
        self.moved.add(row.id)
        changed = await self.reign.write(lambda tx: set_job(tx, row, **values))
        self.note(changed)
        return changed

    def note(self, row: Row) -> None:
        """Keep the last word beside the run, so that a lost database can be rebuilt; the commit holds without."""
        try:
            self.folder(row).note_state({"state": row.state, "attempt": row.attempt, "native_id": row.native_id})
        except OSError as error:
            self.complain(f"{row.name}: state.json could not be written: {error}")

    def complain(self, text: str) -> None:
        """Say something in the supervisor's log, once."""
        if text not in self._complained:
            self._complained.add(text)
            print(text, file=sys.stderr, flush=True)

    async def take_in(self, news: Sequence[tuple[Row, Found]]) -> None:
        """Copy what runs said since into the stream, all jobs in one transaction."""
        self.moved |= {row.id for row, _ in news}

        def all_of_them(tx: Connection) -> None:
            for row, found in news:
                take_in(tx, row, found)

        await self.reign.write(all_of_them)

    async def take_in_all(self, row: Row) -> None:
        """Whatever the run said before it ended comes before its end in the stream."""
        self.moved.add(row.id)
        query = select(jobs.c.offset).where(jobs.c.id == row.id)
        offset = await self.reign.store.read(lambda tx: tx.execute(query).scalar_one())
        try:
            while (found := read_events(self.folder(row).events, offset)).end > offset:
                await self.reign.write(partial(take_in, row=row, found=found, begin=offset))
                offset = found.end
        except OSError as error:  # what it said is lost, its end is not
            self.complain(f"{row.name}: its events cannot be read: {error}")


def stands(tx: Connection, row: Row) -> bool:
    """Whether a job has not ended since, nor begun another attempt."""
    now = tx.execute(select(jobs.c.state, jobs.c.attempt).where(jobs.c.id == row.id)).one()
    return now.state not in FINAL_STATES and now.attempt == row.attempt


def set_job(tx: Connection, row: Row, **values: Any) -> Row:
    """Change a job's columns, unless it has ended since, and tell of it when people can see the difference."""
    if stands(tx, row):
        tx.execute(update(jobs).where(jobs.c.id == row.id).values(seen=time.time(), **values))
        changed = tx.execute(select(jobs).where(jobs.c.id == row.id)).one()
        if (changed.state, changed.reason) != (row.state, row.reason):
            told = {"state": changed.state, "reason": changed.reason, "attempt": changed.attempt}
            append(tx, row.id, "state", {**told, "message": changed.message, "hint": changed.hint})
        if changed.state in FINAL_STATES:
            _release(tx, row.id)
        return changed
    return tx.execute(select(jobs).where(jobs.c.id == row.id)).one()


def _release(tx: Connection, ended: str) -> None:
    """Let those who wait for a job's end come to the front again, and itself, should it be resumed."""
    following = select(awaited.c.job).where(awaited.c.parent == ended)
    tx.execute(update(jobs).where(jobs.c.id.in_(following) | (jobs.c.id == ended)).values(blocked=0))
    tx.execute(delete(awaited).where((awaited.c.parent == ended) | (awaited.c.job == ended)))


def take_in(tx: Connection, row: Row, found: Found, begin: int | None = None) -> None:
    """Append a run's events, and move its offset, once: a piece that is in the stream already is left alone."""
    begin = row.offset if begin is None else begin
    now = tx.execute(select(jobs.c.offset, jobs.c.metrics).where(jobs.c.id == row.id)).one()
    if now.offset == begin:
        changes = summary(found.events, now.metrics)
        tx.execute(update(jobs).where(jobs.c.id == row.id).values(offset=found.end, **changes))
        append_many(tx, [(event.at, row.id, event.kind, event.values) for event in found.events])
