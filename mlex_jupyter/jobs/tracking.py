"""The jobs that a supervisor looks at, kept between its looks: only what changed is read again.

What was started is changed by nobody but the supervisor, so its own moves say which rows are old. Of what waits, the
first at each target are read; the others stand behind these, however many they are. Those that could not begin
whatever room there was stand aside (`blocked`), until what they wait for has ended or their pause is over.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from pydantic import ValidationError
from sqlalchemy import Connection, and_, delete, exists, func, insert, or_, select, update

from mlex_jupyter.jobs.hosts import Elsewhere
from mlex_jupyter.jobs.moves import Moves, set_job
from mlex_jupyter.store.tables import Row, awaited, jobs
from mlex_jupyter.types import JobFile, JobState

BEGUN = (JobState.QUEUED.value, JobState.RUNNING.value)
ACTIVE = (JobState.WAITING.value, *BEGUN)
WAITS = jobs.c.state == JobState.WAITING.value
IN_FRONT = 100
"""So many of those that wait at a target are looked at; whoever stands behind them comes later."""
IN_TURN = 500
"""So many folders are looked into at a time; of more than that each has its turn."""
AT_ONCE = 1000
WHOLE_EVERY_S = 30.0
"""How often all that was started is read again, whoever may have changed it."""

LARGE = ("request", "file", "progress", "metrics", "outputs")
SLIM = [column for column in jobs.c if column.name not in LARGE]


def unfinished(tx: Connection) -> bool:
    """Whether any job has not ended."""
    return tx.execute(select(jobs.c.number).where(jobs.c.state.in_(ACTIVE)).limit(1)).first() is not None


def begun(tx: Connection, host: str | None = None) -> list[Row]:
    """All that was started (on one host), without what is large and does not change."""
    query = select(*SLIM).where(jobs.c.state.in_(BEGUN)).order_by(jobs.c.number)
    return list(tx.execute(query if host is None else query.where(jobs.c.host == host)))


def front(tx: Connection) -> list[Row]:
    """Of those that wait, the first at each target that could begin, and what is wanted no more; the oldest first."""
    given_up = select(jobs.c.number).where(WAITS, jobs.c.cancel > 0, jobs.c.cancel >= jobs.c.asked).limit(AT_ONCE)
    numbers = set(tx.execute(given_up).scalars())
    for target in _targets(tx):
        free = select(jobs.c.number).where(WAITS, jobs.c.target == target, jobs.c.blocked == 0)
        numbers |= set(tx.execute(free.order_by(jobs.c.number).limit(IN_FRONT)).scalars())
    return _those(tx, "number", sorted(numbers))


def _targets(tx: Connection) -> Iterator[str]:
    """Where jobs wait: one look into the index for each, not one for each job."""
    target: str | None = ""
    while (
        target := tx.execute(select(func.min(jobs.c.target)).where(WAITS, jobs.c.target > target)).scalar()
    ) is not None:
        yield target


def _those(tx: Connection, column: str, values: Sequence[object]) -> list[Row]:
    found: list[Row] = []
    for start in range(0, len(values), AT_ONCE):
        some = jobs.c[column].in_(values[start : start + AT_ONCE])
        found += tx.execute(select(*SLIM).where(some).order_by(jobs.c.number))
    return found


def _files(tx: Connection, ids: Sequence[str]) -> dict[str, JobFile]:
    """What these jobs are to do; of one that cannot be read, nothing."""
    files = {}
    for start in range(0, len(ids), AT_ONCE):
        for row in tx.execute(select(jobs.c.id, jobs.c.file).where(jobs.c.id.in_(ids[start : start + AT_ONCE]))):
            with contextlib.suppress(ValidationError):
                files[row.id] = JobFile.model_validate(row.file)
    return files


def _standing(tx: Connection, ids: Sequence[str]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for start in range(0, len(ids), AT_ONCE):
        some = jobs.c.id.in_(ids[start : start + AT_ONCE])
        found |= {row.id: row for row in tx.execute(select(jobs.c.id, jobs.c.name, jobs.c.state).where(some))}
    return found


# ---------------------------------------------------------------- those that stand aside


class Held(NamedTuple):
    """A job that cannot begin now, whatever room there is."""

    row: Row
    reason: str
    after: tuple[str, ...] = ()
    """The jobs whose end it awaits."""
    until: float | None = None
    """When it is looked at again."""


def hold(tx: Connection, those: Sequence[Held]) -> None:
    """Have them stand aside, unless what they wait for has come meanwhile."""
    for held in those:
        waiting = _standing(tx, held.after)
        if any(job.state not in ACTIVE for job in waiting.values()) or (held.after and not waiting):
            continue
        tx.execute(delete(awaited).where(awaited.c.job == held.row.id))
        if waiting:
            tx.execute(insert(awaited), [{"job": held.row.id, "parent": parent} for parent in waiting])
        set_job(tx, held.row, reason=held.reason, blocked=1, not_before=held.until)


def _due(tx: Connection) -> list[int]:
    """Those whose pause is over."""
    query = select(jobs.c.number).where(WAITS, jobs.c.blocked == 1, jobs.c.not_before <= time.time())
    return list(tx.execute(query.limit(AT_ONCE)).scalars())


def _let_go(tx: Connection, numbers: Sequence[int]) -> None:
    tx.execute(update(jobs).where(jobs.c.number.in_(numbers)).values(blocked=0, not_before=None))


def let_go_of_stranded(tx: Connection) -> None:
    """Let go of who waits for nothing that can still come, as after a repair."""
    parent = jobs.alias("parent")
    mine = awaited.c.job == jobs.c.id
    active = and_(awaited.c.parent == parent.c.id, parent.c.state.in_(ACTIVE))
    awaits = exists(select(awaited.c.job).join(parent, active).where(mine))
    over = exists(select(awaited.c.job).outerjoin(parent, active).where(mine, parent.c.id.is_(None)))
    stranded = select(jobs.c.number).where(WAITS, jobs.c.blocked == 1, jobs.c.not_before.is_(None), or_(~awaits, over))
    numbers = list(tx.execute(stranded).scalars())
    for start in range(0, len(numbers), AT_ONCE):
        _let_go(tx, numbers[start : start + AT_ONCE])


# ---------------------------------------------------------------- kept between looks


class Tracked:
    """The jobs of one supervisor: of the whole home, or those that were started on one host."""

    def __init__(self, moves: Moves, elsewhere: Elsewhere, only: str | None = None) -> None:
        self.moves = moves
        self.elsewhere = elsewhere
        self.only = only
        self.begun: dict[str, Row] = {}
        self.heeded: dict[str, Row] = {}
        """Of these, those that somebody wishes something of, or whose host may be silent."""
        self.active: dict[str, dict[str, JobFile]] = {}
        """What takes room here, by target."""
        self.waiting: list[Row] = []
        self.files: dict[str, JobFile] = {}
        self.followed: dict[str, Row] = {}
        self.busy = False
        """Whether any of them has not ended."""
        self._whole = 0.0

    async def refresh(self) -> list[Row]:
        """Read what is new; those of which nobody can say what they were to do."""
        moved = sorted(self.moves.moved)
        began = time.monotonic()
        whole = began >= self._whole
        store = self.moves.reign.store
        rows, self.waiting, due, self.busy = await store.read(partial(self._read, moved=None if whole else moved))
        self.moves.moved.difference_update(moved)
        for job in [*self.begun, *moved] if whole else moved:
            self._drop(job)
        if whole:  # the more there are the less often
            self._whole = time.monotonic() + max(WHOLE_EVERY_S, 100 * (time.monotonic() - began))
        unreadable = await self._keep([row for row in rows if row.state in BEGUN])
        self.busy = self.busy or bool(self.begun)
        if due:
            await self.moves.reign.write(partial(_let_go, numbers=due))
        return unreadable

    def _read(self, tx: Connection, moved: list[str] | None) -> tuple[list[Row], list[Row], list[int], bool]:
        """What was started, as far as it is old; what waits; whose pause is over; whether there is more."""
        if moved is None:
            rows = begun(tx, self.only)
        else:
            wished_off = select(jobs.c.id).where(jobs.c.state.in_(BEGUN), jobs.c.cancel > 0)
            rows = _those(tx, "id", sorted({*moved, *tx.execute(wished_off).scalars()}))
        if self.only is not None:
            return [row for row in rows if row.host == self.only], [], [], False
        return rows, front(tx), _due(tx), unfinished(tx)

    def _drop(self, job: str) -> None:
        for those in (self.begun, self.heeded, *self.active.values()):
            those.pop(job, None)

    async def _keep(self, rows: list[Row]) -> list[Row]:
        """Have these among what was started, with what they are to do, and how those stand that others follow."""
        store = self.moves.reign.store
        unknown = [row.id for row in (*rows, *self.waiting) if row.id not in self.files]
        if unknown:
            self.files |= await store.read(partial(_files, ids=unknown))
        unreadable = [row for row in (*rows, *self.waiting) if row.id not in self.files]
        self.waiting = [row for row in self.waiting if row.id in self.files]
        for row in rows:
            if row.id in self.files:
                self._add(row)
        if len(self.files) > 2 * (len(self.begun) + len(self.waiting)) + AT_ONCE:
            self.files = {job: self.files[job] for job in (*self.begun, *(row.id for row in self.waiting))}
        followed = sorted({other for row in self.waiting for other in self.files[row.id].spec.after})
        self.followed = await store.read(partial(_standing, ids=followed)) if followed else {}
        return unreadable

    def _add(self, row: Row) -> None:
        self._drop(row.id)
        self.begun[row.id] = row
        elsewhere = self.elsewhere.holds(row)
        if not elsewhere:
            self.active.setdefault(row.target, {})[row.id] = self.files[row.id]
        if elsewhere or row.native_id is None or row.cancel >= row.attempt:
            self.heeded[row.id] = row


class Turns:
    """Goes round among many, some at a time."""

    def __init__(self) -> None:
        self._left: list[str] = []

    def some(self, rows: Mapping[str, Row]) -> list[Row]:
        """Those whose turn it is, at most so many."""
        self._left = self._left or list(reversed([*rows]))
        turn = [self._left.pop() for _ in range(min(IN_TURN, len(self._left)))]
        return [rows[job] for job in turn if job in rows]
