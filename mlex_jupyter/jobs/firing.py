"""Rules fired by the supervisor, exactly once for each event.

A rule has a cursor, the last event that it has dealt with. The job that it asks for and the cursor's step are one
transaction, and the job's key is made of rule and event; so a kill between can neither fire twice nor never.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, select, update

from mlex_jupyter.errors import MlexError, Unavailable
from mlex_jupyter.failpoints import failpoint
from mlex_jupyter.jobs.happenings import GIVES, Facts, facts_of
from mlex_jupyter.jobs.making import spec_of, why_not
from mlex_jupyter.jobs.reign import Reign
from mlex_jupyter.jobs.requests import Jobs
from mlex_jupyter.jobs.rules import rule_of, tell
from mlex_jupyter.store.tables import Row, events, rules
from mlex_jupyter.types import JobFile, JobSpec, On, Rule

AT_ONCE = 200
BEHIND = 1000
"""So many events are looked at anew, at most, after a supervisor was killed."""


class Firing:
    """What the supervisor does about rules."""

    def __init__(self, reign: Reign, jobs_of: Callable[[str], Jobs]) -> None:
        self.reign = reign
        self.store = reign.store
        self.jobs_of = jobs_of
        self._version: int | None = None
        self._seen: dict[str, int] = {}

    async def look(self) -> bool:
        """Fire what is to be fired; True where something happened since the last look."""
        version = self.store.version()
        if version == self._version:
            return False
        self._version = version
        fired = False
        for row in await self.store.read(_enabled):
            fired = await self._catch_up(rule_of(row), row.cursor) or fired
        return fired

    async def _catch_up(self, rule: Rule, cursor: int) -> bool:
        seen = max(cursor, self._seen.get(rule.id, 0))
        fired, more = False, True
        while more:
            happened = await self.store.read(lambda tx, seen=seen: _news(tx, rule, seen))  # type: ignore[misc]
            more = len(happened) == AT_ONCE
            for event, facts in happened:
                seen = event.id
                if facts is not None and why_not(rule, facts) is None:
                    fired = await self._fire(rule, event, facts) or fired
        self._seen[rule.id] = seen
        if seen - cursor > BEHIND:
            await self.reign.write(lambda tx: _move(tx, rule, seen))
        return fired

    async def _fire(self, rule: Rule, event: Row, facts: Facts) -> bool:
        """Ask for the job and move the cursor, both or neither."""
        jobs = self.jobs_of(rule.owner)
        try:
            spec = spec_of(rule, event, facts)
            file = await jobs.completing.prepare(spec, rule.owner)
        except Unavailable:
            raise
        except MlexError as error:
            said = f"{facts.values['name']}: {error.message}"
            await self.reign.write(lambda tx: _failed(tx, rule, event.id, said))
            return True
        file = file.model_copy(update={"rules": (*facts.chain, rule.id)})
        failpoint("rules.before_fire")
        await self.reign.write(lambda tx: _fired(tx, rule, event.id, jobs, file, spec))
        failpoint("rules.after_fire")
        return True

    async def rest(self) -> None:
        """Remember what was looked at, so that nobody is woken for it."""
        for row in await self.store.read(_enabled):
            if (seen := self._seen.get(row.id, 0)) > row.cursor:
                await self.reign.write(lambda tx, row=row, seen=seen: _move(tx, rule_of(row), seen))  # type: ignore[misc]


def pending(tx: Connection) -> bool:
    """Whether something has happened that a rule has not looked at."""
    return any(
        tx.execute(select(events.c.id).where(events.c.id > row.cursor, events.c.kind == _kind(row)).limit(1)).first()
        for row in _enabled(tx)
    )


def _enabled(tx: Connection) -> list[Row]:
    return list(tx.execute(select(rules).where(rules.c.enabled == 1).order_by(rules.c.created)))


def _kind(row: Row) -> str:
    return GIVES[On(row.record["on"])][0]


def _news(tx: Connection, rule: Rule, seen: int) -> list[tuple[Row, Facts | None]]:
    kind = GIVES[rule.on][0]
    query = select(events).where(events.c.id > seen, events.c.kind == kind).order_by(events.c.id).limit(AT_ONCE)
    return [(event, facts_of(tx, event)) for event in tx.execute(query).all()]


def _fired(tx: Connection, rule: Rule, event: int, all_jobs: Jobs, file: JobFile, spec: JobSpec) -> None:
    """The one transaction: the job, and the cursor behind its event."""
    if not _move(tx, rule, event, fired=rules.c.fired + 1, last_fired=time.time(), message=None):
        return  # switched off, removed, or dealt with by a supervisor before
    job = all_jobs.commit(tx, file, spec)
    tell(tx, rule, "fired", event=event, job=job.id)


def _failed(tx: Connection, rule: Rule, event: int, message: str) -> None:
    if _move(tx, rule, event, message=message):
        tell(tx, rule, "failed", event=event, message=message)


def _move(tx: Connection, rule: Rule, event: int, **values: Any) -> bool:
    """Put the cursor behind an event; False where it is there already, or the rule no longer holds."""
    holds = rules.c.id == rule.id, rules.c.cursor < event, rules.c.enabled == 1
    return tx.execute(update(rules).where(*holds).values(cursor=event, **values)).rowcount == 1
