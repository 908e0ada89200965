"""What happened: append-only, subscribable from any point.

An event's id is given by the database inside the transaction that tells of it. SQLite has one writer at a time, so
ids are committed in their order, and "everything after ID" can skip nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timezone

from pydantic import JsonValue
from sqlalchemy import Connection, func, insert, select

from mlex_jupyter.errors import Invalid
from mlex_jupyter.store import Store
from mlex_jupyter.store.tables import Row, events
from mlex_jupyter.types import Event

LOOK_EVERY_S = 0.02
BATCH = 1000
AT_MOST = 10_000


def append(tx: Connection, subject: str, kind: str, values: dict[str, JsonValue], *, at: float | None = None) -> None:
    """Tell of something, in the transaction that makes it so."""
    append_many(tx, [(at or time.time(), subject, kind, values)])


def append_many(tx: Connection, happened: Sequence[tuple[float, str, str, dict[str, JsonValue]]]) -> None:
    """Tell of several things, in their order."""
    if happened:
        rows = [
            {"time": at, "subject": subject, "kind": kind, "values": values} for at, subject, kind, values in happened
        ]
        tx.execute(insert(events), rows)


class Events:
    """The stream, read from any id."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def last_id(self) -> int:
        """The newest event's id, or 0."""
        return await self.store.glance(lambda tx: int(tx.execute(select(func.max(events.c.id))).scalar() or 0))

    async def after(
        self, after: int, *, subject: str | None = None, kind: str | None = None, limit: int = BATCH
    ) -> list[Event]:
        """Events after an id, oldest first."""
        if limit < 1:
            raise Invalid(f"limit={limit}: ask for at least one.")
        query = select(events).where(events.c.id > after).order_by(events.c.id).limit(min(limit, AT_MOST))
        if subject is not None:
            query = query.where(events.c.subject == subject)
        if kind is not None:
            query = query.where(events.c.kind == kind)
        return await self.store.read(lambda tx: [_event(row) for row in tx.execute(query)])

    async def follow(
        self, after: int, *, subject: str | None = None, beat_s: float | None = None
    ) -> AsyncIterator[list[Event]]:
        """Batches of events after an id, for ever; an empty one as a sign of life when it was quiet for `beat_s`."""
        seen, said = None, time.monotonic()
        while True:
            if beat_s is not None and time.monotonic() - said > beat_s:
                said = time.monotonic()
                yield []
            version = self.store.version()
            if version != seen:
                while batch := await self.after(after, subject=subject):
                    after = batch[-1].id
                    said = time.monotonic()
                    yield batch
                seen = version
            await asyncio.sleep(LOOK_EVERY_S)


def _event(row: Row) -> Event:
    return Event.model_construct(
        id=row.id,
        time=datetime.fromtimestamp(row.time, timezone.utc),
        subject=row.subject,
        kind=row.kind,
        values=row._mapping["values"],
    )
