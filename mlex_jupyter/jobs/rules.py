"""Rules: on what event, which job; fired by the supervisor, exactly once for each event.

A rule has a cursor, the last event that it has dealt with. The job that it asks for and the cursor's step are one
transaction, and the job's key is made of rule and event; so a kill between can neither fire twice nor never.
"""

from __future__ import annotations

import fnmatch
import re
import shlex
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, TypeVar

from pydantic import ValidationError
from sqlalchemy import Connection, delete, func, insert, or_, select, update

from mlex_jupyter.errors import Conflict, Forbidden, Invalid, MlexError, NotFound, Unavailable, nearest
from mlex_jupyter.events import append
from mlex_jupyter.failpoints import failpoint
from mlex_jupyter.jobs.happenings import GIVES, Facts, facts_of
from mlex_jupyter.jobs.lifecycle import Superseded
from mlex_jupyter.jobs.requests import Jobs
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store, current_epoch
from mlex_jupyter.store.tables import Row, events, rules
from mlex_jupyter.types import (
    JobFile,
    JobSpec,
    On,
    PredictTask,
    Rule,
    RunTask,
    Task,
    TrainTask,
    Trial,
    checked,
    invalid,
    new_id,
    now,
)
from mlex_jupyter.yamls import yaml_mapping

T = TypeVar("T")
TASKS: dict[str, type[TrainTask | PredictTask | RunTask]] = {"train": TrainTask, "predict": PredictTask, "run": RunTask}
PLACE = re.compile(r"\{(\w+)\}")
AT_ONCE = 200
BEHIND = 1000
"""So many events are looked at anew, at most, after a supervisor was killed."""
DEEPEST = 8
"""So many rules in a row, one's job setting off the next, are surely a mistake."""


class Rules:
    """The rules of one home."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.settings = settings

    async def all(self) -> list[Rule]:
        """The oldest first."""
        query = select(rules).order_by(rules.c.created)
        return await self.store.read(lambda tx: [_rule(row) for row in tx.execute(query)])

    async def get(self, name: str) -> Rule:
        """One by its name."""
        return await self.store.read(lambda tx: _rule(_find(tx, name)))

    async def any(self) -> bool:
        """Whether somebody must look at what happens."""
        query = select(rules.c.id).where(rules.c.enabled == 1).limit(1)
        return await self.store.read(lambda tx: tx.execute(query).first() is not None)

    async def add(self, **said: Any) -> Rule:
        """Begin with what happens from now on."""
        try:
            rule = Rule(id=new_id("rule"), owner=self.settings.user, created=now(), **said)
        except ValidationError as error:
            raise invalid(error, "The rule") from error
        _check(rule)

        def work(tx: Connection) -> Rule:
            if tx.execute(select(rules.c.id).where(rules.c.name == rule.name)).first():
                raise Conflict(f"There is a rule {rule.name} already.", hint=f"Remove it: mlex rule-remove {rule.name}")
            kept = rule.model_dump(mode="json", exclude=set(COUNTED))
            columns = {"id": rule.id, "name": rule.name, "owner": rule.owner, "enabled": int(rule.enabled)}
            tx.execute(insert(rules).values(**columns, record=kept, cursor=_last(tx), created=time.time()))
            _tell(tx, rule, "added")
            return rule

        return await self.store.write(work)

    async def switch(self, name: str, enabled: bool) -> Rule:
        """Off, it sleeps through what happens; on, it begins with what happens from now on."""

        def work(tx: Connection) -> Rule:
            rule = self._mine(tx, name)
            if rule.enabled != enabled:
                values = {"enabled": int(enabled), **({"cursor": _last(tx)} if enabled else {})}
                tx.execute(update(rules).where(rules.c.id == rule.id).values(**values))
                _tell(tx, rule, "on" if enabled else "off")
            return _rule(_find(tx, name))

        return await self.store.write(work)

    async def remove(self, name: str) -> Rule:
        """Forget a rule; the jobs that it made stay."""

        def work(tx: Connection) -> Rule:
            rule = self._mine(tx, name)
            tx.execute(delete(rules).where(rules.c.id == rule.id))
            _tell(tx, rule, "removed")
            return rule

        return await self.store.write(work)

    def _mine(self, tx: Connection, name: str) -> Rule:
        rule = _rule(_find(tx, name))
        if rule.owner != self.settings.user:
            raise Forbidden(f"The rule {name} is {rule.owner}'s.", hint=f"Ask {rule.owner}.")
        return rule

    async def trial(self, name: str, limit: int) -> list[Trial]:
        """What a rule would have made of the newest events that it is about; nothing is made."""
        rule = await self.get(name)
        kind = GIVES[rule.on][0]
        newest = select(events).where(events.c.kind == kind).order_by(events.c.id.desc()).limit(AT_ONCE * 5)

        def look(tx: Connection) -> list[Trial]:
            tried = []
            for event in tx.execute(newest).all():
                facts = facts_of(tx, event)
                if facts is not None and rule.on in facts.on:
                    tried.append(_trial(rule, event, facts))
            return tried[:limit]

        return await self.store.read(look)


class Firing:
    """What the supervisor does about rules."""

    def __init__(self, store: Store, epoch: int, jobs_of: Callable[[str], Jobs]) -> None:
        self.store = store
        self.epoch = epoch
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
            fired = await self._catch_up(_rule(row), row.cursor) or fired
        return fired

    async def _catch_up(self, rule: Rule, cursor: int) -> bool:
        seen = max(cursor, self._seen.get(rule.id, 0))
        fired, more = False, True
        while more:
            happened = await self.store.read(lambda tx, seen=seen: _news(tx, rule, seen))  # type: ignore[misc]
            more = len(happened) == AT_ONCE
            for event, facts in happened:
                seen = event.id
                if facts is not None and _why_not(rule, facts) is None:
                    fired = await self._fire(rule, event, facts) or fired
        self._seen[rule.id] = seen
        if seen - cursor > BEHIND:
            await self._write(lambda tx: _move(tx, rule, seen))
        return fired

    async def _fire(self, rule: Rule, event: Row, facts: Facts) -> bool:
        """Ask for the job and move the cursor, both or neither."""
        jobs = self.jobs_of(rule.owner)
        try:
            spec = _spec(rule, event, facts)
            file = await jobs.completing.prepare(spec, rule.owner)
        except Unavailable:
            raise
        except MlexError as error:
            said = f"{facts.values['name']}: {error.message}"
            await self._write(lambda tx: _failed(tx, rule, event.id, said))
            return True
        file = file.model_copy(update={"rules": (*facts.chain, rule.id)})
        failpoint("rules.before_fire")
        await self._write(lambda tx: _fired(tx, rule, event.id, jobs, file, spec))
        failpoint("rules.after_fire")
        return True

    async def rest(self) -> None:
        """Remember what was looked at, so that nobody is woken for it."""
        for row in await self.store.read(_enabled):
            if (seen := self._seen.get(row.id, 0)) > row.cursor:
                await self._write(lambda tx, row=row, seen=seen: _move(tx, _rule(row), seen))  # type: ignore[misc]

    async def _write(self, work: Callable[[Connection], T]) -> T:
        def reigning(tx: Connection) -> T:
            if current_epoch(tx) != self.epoch:
                raise Superseded
            return work(tx)

        return await self.store.write(reigning)


def pending(tx: Connection) -> bool:
    """Whether something has happened that a rule has not looked at."""
    return any(
        tx.execute(select(events.c.id).where(events.c.id > row.cursor, events.c.kind == _kind(row)).limit(1)).first()
        for row in _enabled(tx)
    )


# ---------------------------------------------------------------- what a rule makes of it


def _why_not(rule: Rule, facts: Facts) -> str | None:
    """Why a rule does not fire, or None where it does."""
    if rule.on not in facts.on:
        return "something else happened"
    if not fnmatch.fnmatchcase(facts.values["name"], rule.match):
        return f"its name does not match {rule.match}"
    if missing := [tag for tag in rule.tags if tag not in facts.tags]:
        return f"it has no tag {missing[0]}"
    if rule.id in facts.chain and not rule.again:
        return "it came of this rule's own job (--again lets it)"
    if len(facts.chain) >= DEEPEST:
        return f"{DEEPEST} rules in a row led to it: no more"
    return None


def _spec(rule: Rule, event: Row, facts: Facts) -> JobSpec:
    key = f"rule {rule.id} event {event.id}"
    return JobSpec(task=_task(rule, facts.values), target=rule.target, resources=rule.resources, key=key)


def _task(rule: Rule, values: Mapping[str, str]) -> Task:
    """The task, with what the event is about in place of what stands in braces."""
    fields: dict[str, Any] = {}
    for field, text in rule.task.items():
        if field == "argv":
            fields[field] = tuple(_filled(word, values) for word in shlex.split(text))
        elif field in ("params", "arguments"):
            fields[field] = yaml_mapping(_filled(text, values))
        else:
            filled = _filled(text, values)
            fields[field] = int(filled) if filled.isdecimal() and field in ("version", "retries") else filled
    task: Task = checked(TASKS[rule.do], **fields)
    return task


def _filled(text: str, values: Mapping[str, str]) -> str:
    def value(place: re.Match[str]) -> str:
        if place[1] not in values:
            raise Invalid(f"There is no {place[0]} here: this has {', '.join(sorted(values))}.")
        return values[place[1]]

    return PLACE.sub(value, text)


def _check(rule: Rule) -> None:
    """Refuse a rule that could never make a job."""
    known = GIVES[rule.on][1]
    for text in rule.task.values():
        for place in PLACE.findall(text):
            if place not in known:
                hint = nearest(place, known) or f"There are {', '.join(f'{{{one}}}' for one in known)}."
                raise Invalid(f"On {rule.on.value!r} there is no {{{place}}}.", hint=hint)
    _task(rule, dict.fromkeys(known, "1"))


def _trial(rule: Rule, event: Row, facts: Facts) -> Trial:
    when = datetime.fromtimestamp(event.time, timezone.utc)
    task, why = None, _why_not(rule, facts)
    if why is None:
        try:
            task = _task(rule, facts.values)
        except MlexError as error:
            why = error.message
    says = (
        why
        or f"{rule.do} with {', '.join(f'{name} {_filled(text, facts.values)}' for name, text in rule.task.items())}"
    )
    return Trial(event=event.id, time=when, about=facts.values["name"], fires=task is not None, says=says, task=task)


# ---------------------------------------------------------------- rows

COUNTED = ("enabled", "fired", "last_fired", "message")


def _rule(row: Row) -> Rule:
    last = None if row.last_fired is None else datetime.fromtimestamp(row.last_fired, timezone.utc)
    counted = {"enabled": bool(row.enabled), "fired": row.fired, "last_fired": last, "message": row.message}
    return Rule.model_validate(row.record | counted)


def _find(tx: Connection, name: str) -> Row:
    row = tx.execute(select(rules).where(or_(rules.c.name == name, rules.c.id == name))).one_or_none()
    if row is None:
        known = list(tx.execute(select(rules.c.name)).scalars())
        raise NotFound(f"There is no rule {name[:80]!r}.", hint=nearest(name, known) or "List them: mlex rules")
    return row


def _enabled(tx: Connection) -> list[Row]:
    return list(tx.execute(select(rules).where(rules.c.enabled == 1).order_by(rules.c.created)))


def _kind(row: Row) -> str:
    return GIVES[On(row.record["on"])][0]


def _last(tx: Connection) -> int:
    return int(tx.execute(select(func.max(events.c.id))).scalar() or 0)


def _news(tx: Connection, rule: Rule, seen: int) -> list[tuple[Row, Facts | None]]:
    kind = GIVES[rule.on][0]
    query = select(events).where(events.c.id > seen, events.c.kind == kind).order_by(events.c.id).limit(AT_ONCE)
    return [(event, facts_of(tx, event)) for event in tx.execute(query).all()]


def _fired(tx: Connection, rule: Rule, event: int, all_jobs: Jobs, file: JobFile, spec: JobSpec) -> None:
    """The one transaction: the job, and the cursor behind its event."""
    if not _move(tx, rule, event, fired=rules.c.fired + 1, last_fired=time.time(), message=None):
        return  # switched off, removed, or dealt with by a supervisor before
    job = all_jobs.commit(tx, file, spec)
    _tell(tx, rule, "fired", event=event, job=job.id)


def _failed(tx: Connection, rule: Rule, event: int, message: str) -> None:
    if _move(tx, rule, event, message=message):
        _tell(tx, rule, "failed", event=event, message=message)


def _move(tx: Connection, rule: Rule, event: int, **values: Any) -> bool:
    """Put the cursor behind an event; False where it is there already, or the rule no longer holds."""
    holds = rules.c.id == rule.id, rules.c.cursor < event, rules.c.enabled == 1
    return tx.execute(update(rules).where(*holds).values(cursor=event, **values)).rowcount == 1


def _tell(tx: Connection, rule: Rule, change: str, **more: Any) -> None:
    append(tx, rule.id, "rule", {"name": rule.name, "change": change, **more})
