"""What is not kept for ever: what was told of each stroke, and strokes that can no longer be taken back.

Of events, only those go that say no more than "look again", since what they were about stands elsewhere: a draft, a
file. All that a run's page or a rule's trial stands on is kept; and no rule waits for what goes, so no cursor needs
it. Ids only grow. Where something went, an event `pruned` with `upto` is told at the end of the stream: whoever asks
for what came after an id below that has missed some, hears so in the same stream, and loads drafts anew.
"""

from __future__ import annotations

import time
from functools import partial
from itertools import groupby

from sqlalchemy import Connection, delete, insert, select, update

from mlex_jupyter.events import append
from mlex_jupyter.jobs.reign import Reign
from mlex_jupyter.settings import Settings
from mlex_jupyter.store.tables import events, label_strokes, meta

FLEETING = ("painted", "exporting")
OVER = ("settled", "dropped")
EVERY_S = 3600.0
AT_ONCE = 5000
"""So many rows are looked at in one transaction: whoever wants to write waits no longer than that takes."""
CURSOR = "pruned"
"""The key of `meta` with the last event that was looked at."""
DAY_S = 86400.0


class Retention:
    """What the supervisor that reigns does about what is old: a little at a time, once an hour."""

    def __init__(self, reign: Reign, settings: Settings) -> None:
        self.reign = reign
        self.days = settings.history_days
        self._due = 0.0

    async def look(self) -> None:
        """Let go of some of what is old, where it is time."""
        if self.days and time.monotonic() >= self._due:
            before = time.time() - self.days * DAY_S
            more = await self.reign.write(partial(prune_events, before=before))
            strokes = await self.reign.store.read(partial(old_strokes, before=before))
            if strokes:
                await self.reign.write(partial(_forget_strokes, old=strokes))
            if not more and len(strokes) < AT_ONCE:
                self._due = time.monotonic() + EVERY_S


def prune_events(tx: Connection, before: float) -> bool:
    """Take the next old events that are not kept; True where there may be more."""
    cursor = int(tx.execute(select(meta.c.value).where(meta.c.key == CURSOR)).scalar() or 0)
    query = select(events.c.id, events.c.kind, events.c.time).where(events.c.id > cursor).order_by(events.c.id)
    rows = tx.execute(query.limit(AT_ONCE)).all()
    young = next((row.id for row in rows if row.kind in FLEETING and row.time >= before), None)
    passed = [row for row in rows if young is None or row.id < young]
    gone = [row.id for row in passed if row.kind in FLEETING]
    if gone:
        told = events.c.kind == "pruned"
        tx.execute(delete(events).where((events.c.id.in_(gone)) | told))
        append(tx, "events", "pruned", {"upto": gone[-1], "kinds": [*FLEETING]})
    if passed:
        _remember(tx, passed[-1].id)
    return len(rows) == AT_ONCE and young is None


def _remember(tx: Connection, cursor: int) -> None:
    if not tx.execute(update(meta).where(meta.c.key == CURSOR).values(value=cursor)).rowcount:
        tx.execute(insert(meta).values(key=CURSOR, value=cursor))


def old_strokes(tx: Connection, before: float) -> list[tuple[str, int]]:
    """Old entries of drafts' histories that nobody can take back, do again or paint again."""
    strokes = label_strokes.c
    old = select(strokes.labels, strokes.number).where(strokes.state.in_(OVER), strokes.time < before)
    return [(row.labels, row.number) for row in tx.execute(old.limit(AT_ONCE))]


def _forget_strokes(tx: Connection, old: list[tuple[str, int]]) -> None:
    strokes = label_strokes.c
    for labels, some in groupby(sorted(old), key=lambda stroke: stroke[0]):
        numbers = [number for _, number in some]
        tx.execute(delete(label_strokes).where(strokes.labels == labels, strokes.number.in_(numbers)))
