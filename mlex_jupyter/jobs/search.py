"""Jobs found among many: by what they are, the newest first, a page at a time; and counted by state.

Every filter is a column of one narrow index in the order of the list, so that neither a rare word nor a late page
reads the wide rows of jobs that are not shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, update

from mlex_jupyter.store.tables import Row, jobs
from mlex_jupyter.types import JobState

AT_ONCE = 500
AFTER_ALL = "\x7f"
"""Comes after every letter of a name."""


@dataclass(frozen=True)
class Sought:
    """What a list of jobs is to hold; what is left out does not matter."""

    name: str | None = None
    """A pattern such as `tunet-*`, whatever the case."""
    state: JobState | None = None
    task: str | None = None
    model: str | None = None
    data: str | None = None
    owner: str | None = None
    target: str | None = None
    experiment: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def looks_inside(self) -> bool:
        """Whether it asks for what an older version did not keep in columns."""
        return any(part is not None for part in (self.task, self.model, self.data))


def columns_of(task: dict[str, Any]) -> dict[str, Any]:
    """What of a task is searched."""
    return {"task": task.get("kind"), "model": task.get("model"), "data": task.get("data")}


def search(tx: Connection, sought: Sought, before: int | None, limit: int) -> list[Row]:
    """The rows of a page, from the newest before a number."""
    found = select(jobs.c.number).where(*_conditions(tx, sought)).order_by(jobs.c.number.desc()).limit(limit)
    if before is not None:
        found = found.where(jobs.c.number < before)
    numbers = list(tx.execute(found).scalars())
    return list(tx.execute(select(jobs).where(jobs.c.number.in_(numbers)).order_by(jobs.c.number.desc())))


def count(tx: Connection, sought: Sought) -> dict[str, int]:
    """How many there are in each state."""
    asked = _conditions(tx, sought)
    # A term keeps the planner from taking the states' own index, and with it a wide row for each that is counted.
    state = jobs.c.state.concat("").label("state") if asked else jobs.c.state
    query = select(state, func.count().label("number")).where(*asked).group_by(state)
    return {row.state: row.number for row in tx.execute(query)}


def behind(tx: Connection) -> bool:
    """Whether an older version, or one that was repaired, left rows whose tasks are not in columns."""
    return tx.execute(select(jobs.c.number).where(jobs.c.task.is_(None)).limit(1)).first() is not None


def catch_up(tx: Connection) -> bool:
    """Fill some of them in; True while there may be more."""
    rows: Sequence[Row] = tx.execute(
        select(jobs.c.number, jobs.c.file).where(jobs.c.task.is_(None)).limit(AT_ONCE)
    ).all()
    for row in rows:
        task = ((row.file or {}).get("spec") or {}).get("task") or {}
        values = columns_of(task) | {"task": task.get("kind", "unknown")}
        tx.execute(update(jobs).where(jobs.c.number == row.number).values(**values))
    return len(rows) == AT_ONCE


def _conditions(tx: Connection, sought: Sought) -> list[ColumnElement[bool]]:
    named = {name: getattr(sought, name) for name in ("task", "model", "data", "owner", "target", "experiment")}
    asked: list[ColumnElement[bool]] = [jobs.c[name] == value for name, value in named.items() if value is not None]
    if sought.state is not None:
        asked.append(jobs.c.state == sought.state.value)
    if sought.name is not None:
        asked += _named(tx, sought.name.lower())
    if sought.since is not None:
        asked.append(jobs.c.submitted >= sought.since.timestamp())
    if sought.until is not None:
        asked.append(jobs.c.submitted < sought.until.timestamp())
    return asked


def _named(tx: Connection, pattern: str) -> list[ColumnElement[bool]]:
    """That a name follows a pattern. Names are plain ASCII, of which SQLite's LIKE knows no case."""
    if tx.dialect.name == "sqlite":  # which finds the beginning in its index by itself
        return [jobs.c.name.like(_like(pattern), escape="\\")]
    name, begins = func.lower(jobs.c.name.collate("C")), re.split(r"[*?]", pattern)[0]
    between = [name >= begins, name < begins + AFTER_ALL] if begins else []
    return [*between, name.like(_like(pattern))]


def _like(pattern: str) -> str:
    for special in ("\\", "%", "_"):
        pattern = pattern.replace(special, "\\" + special)
    return pattern.replace("*", "%").replace("?", "_")
