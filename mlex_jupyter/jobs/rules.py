"""Rules: on what event, which job; kept, changed, and tried on what has happened."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, delete, func, insert, or_, select, update

from mlex_jupyter.errors import Conflict, Forbidden, NotFound, Stale, nearest
from mlex_jupyter.events import append
from mlex_jupyter.jobs.happenings import GIVES, facts_of
from mlex_jupyter.jobs.making import check, tried
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.store.tables import Row, events, rules
from mlex_jupyter.types import Rule, Trial, invalid, new_id, now

LOOKED_AT = 1000
"""So many past events a rule is tried on."""
COUNTED = ("enabled", "fired", "last_fired", "message")
"""What of a rule is in columns of its own."""


@dataclass(frozen=True)
class Changes:
    """What is to be different in a rule."""

    values: Mapping[str, Any]
    fields: Mapping[str, str] = field(default_factory=dict)
    without_fields: Sequence[str] = ()
    tags: Sequence[str] = ()
    without_tags: Sequence[str] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)

    def of(self, rule: Rule) -> dict[str, Any]:
        """What the rule says then."""
        task = {**(rule.task if self.values.get("do", rule.do) == rule.do else {}), **self.fields}
        return {
            **rule.model_dump(),
            **self.values,
            "task": {name: text for name, text in task.items() if name not in self.without_fields},
            "tags": tuple(tag for tag in dict.fromkeys((*rule.tags, *self.tags)) if tag not in self.without_tags),
            "resources": {**rule.resources.model_dump(), **self.resources},
            "version": rule.version + 1,
        }


class Rules:
    """The rules of one home."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.settings = settings

    async def all(self) -> list[Rule]:
        """The oldest first."""
        query = select(rules).order_by(rules.c.created)
        return await self.store.read(lambda tx: [rule_of(row) for row in tx.execute(query)])

    async def get(self, name: str) -> Rule:
        """One by its name."""
        return await self.store.read(lambda tx: rule_of(find(tx, name)))

    async def any(self) -> bool:
        """Whether somebody must look at what happens."""
        query = select(rules.c.id).where(rules.c.enabled == 1).limit(1)
        return await self.store.read(lambda tx: tx.execute(query).first() is not None)

    async def add(self, **said: Any) -> Rule:
        """Begin with what happens from now on."""
        rule = _checked({"id": new_id("rule"), "owner": self.settings.user, "created": now(), **said})

        def work(tx: Connection) -> Rule:
            if tx.execute(select(rules.c.id).where(rules.c.name == rule.name)).first():
                raise Conflict(f"There is a rule {rule.name} already.", hint=f"Change it: mlex rule-edit {rule.name}")
            fixed = {"id": rule.id, "owner": rule.owner, "created": time.time()}
            tx.execute(insert(rules).values(**fixed, **_columns(tx, rule)))
            tell(tx, rule, "added")
            return rule

        return await self.store.write(work)

    async def edit(self, name: str, changes: Changes, seen: int | None = None) -> Rule:
        """Change what a rule says, unless somebody else has since it was seen; it holds for what happens from now on.

        For what happened before and was not dealt with yet, neither the old rule fires nor the new one.
        """

        def work(tx: Connection) -> Rule:
            rule = self._mine(tx, name)
            if seen is not None and seen != rule.version:
                raise Stale(
                    f"The rule {rule.name} was changed since: version {rule.version}, not {seen}.",
                    hint="Look at it again: mlex rules",
                    details={"version": rule.version},
                )
            edited = _checked(changes.of(rule))
            if edited.name != rule.name and tx.execute(select(rules.c.id).where(rules.c.name == edited.name)).first():
                raise Conflict(f"There is a rule {edited.name} already.", hint="Choose another name.")
            tx.execute(update(rules).where(rules.c.id == rule.id).values(message=None, **_columns(tx, edited)))
            tell(tx, edited, "changed")
            return rule_of(find(tx, rule.id))

        return await self.store.write(work)

    async def switch(self, name: str, enabled: bool) -> Rule:
        """Off, it sleeps through what happens; on, it begins with what happens from now on."""

        def work(tx: Connection) -> Rule:
            rule = self._mine(tx, name)
            if rule.enabled != enabled:
                values = {"enabled": int(enabled), **({"cursor": newest(tx)} if enabled else {})}
                tx.execute(update(rules).where(rules.c.id == rule.id).values(**values))
                tell(tx, rule, "on" if enabled else "off")
            return rule_of(find(tx, name))

        return await self.store.write(work)

    async def remove(self, name: str) -> Rule:
        """Forget a rule; the jobs that it made stay."""

        def work(tx: Connection) -> Rule:
            rule = self._mine(tx, name)
            tx.execute(delete(rules).where(rules.c.id == rule.id))
            tell(tx, rule, "removed")
            return rule

        return await self.store.write(work)

    def _mine(self, tx: Connection, name: str) -> Rule:
        rule = rule_of(find(tx, name))
        if rule.owner != self.settings.user:
            raise Forbidden(f"The rule {name} is {rule.owner}'s.", hint=f"Ask {rule.owner}.")
        return rule

    async def trial(self, name: str, limit: int) -> list[Trial]:
        """What a rule would have made of the newest events that it is about; nothing is made."""
        rule = await self.get(name)
        kind = GIVES[rule.on][0]
        past = select(events).where(events.c.kind == kind).order_by(events.c.id.desc()).limit(LOOKED_AT)

        def look(tx: Connection) -> list[Trial]:
            found = [(event, facts_of(tx, event)) for event in tx.execute(past).all()]
            about = [(event, facts) for event, facts in found if facts is not None and rule.on in facts.on]
            return [tried(rule, event, facts) for event, facts in about[:limit]]

        return await self.store.read(look)


def _checked(said: Mapping[str, Any]) -> Rule:
    """A rule that can make a job."""
    try:
        rule = Rule.model_validate(said)
    except ValidationError as error:
        raise invalid(error, "The rule") from error
    check(rule)
    return rule


def _columns(tx: Connection, rule: Rule) -> dict[str, Any]:
    """What is kept of a rule that begins with what happens from now on."""
    record = rule.model_dump(mode="json", exclude=set(COUNTED))
    return {"name": rule.name, "enabled": int(rule.enabled), "record": record, "cursor": newest(tx)}


def rule_of(row: Row) -> Rule:
    """A rule as it is kept."""
    last = None if row.last_fired is None else datetime.fromtimestamp(row.last_fired, timezone.utc)
    counted = {"enabled": bool(row.enabled), "fired": row.fired, "last_fired": last, "message": row.message}
    return Rule.model_validate(row.record | counted)


def find(tx: Connection, name: str) -> Row:
    """The row of a rule by its name or id."""
    row = tx.execute(select(rules).where(or_(rules.c.name == name, rules.c.id == name))).one_or_none()
    if row is None:
        known = list(tx.execute(select(rules.c.name)).scalars())
        raise NotFound(f"There is no rule {name[:80]!r}.", hint=nearest(name, known) or "List them: mlex rules")
    return row


def newest(tx: Connection) -> int:
    """The id of the newest event, or 0."""
    return int(tx.execute(select(func.max(events.c.id))).scalar() or 0)


def tell(tx: Connection, rule: Rule, change: str, **more: Any) -> None:
    """Say in the stream what became of a rule."""
    append(tx, rule.id, "rule", {"name": rule.name, "change": change, **more})
