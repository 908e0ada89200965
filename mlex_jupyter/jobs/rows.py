"""A job as a row: put in once, found by its id or name, and shown as people see it."""

from __future__ import annotations

import time
from datetime import datetime, timezone

from sqlalchemy import Connection, bindparam, insert, select, update

from mlex_jupyter.catalog.lineage import link, of_job
from mlex_jupyter.errors import Conflict, NotFound, nearest
from mlex_jupyter.events import append
from mlex_jupyter.jobs import search
from mlex_jupyter.store.tables import Row, jobs, stems
from mlex_jupyter.types import FINAL, NAME, Job, JobFile, JobSpec, JobState, RunTask

FINAL_STATES = frozenset(state.value for state in FINAL)
DIGITS = 6
"""The longest number that is counted on from."""
BY_ID = select(jobs).where(jobs.c.id == bindparam("run"))
BY_NAME = select(jobs).where(jobs.c.name == bindparam("run")).order_by(jobs.c.number.desc()).limit(1)


def asked_before(tx: Connection, spec: JobSpec, owner: str) -> Job | None:
    """The job that this request made when it was made before, by its key; asked in other words it is a Conflict."""
    before = tx.execute(select(jobs).where(jobs.c.owner == owner, jobs.c.key == spec.key)).one_or_none()
    if before is None:
        return None
    if JobSpec.model_validate(before.request) != spec:
        raise Conflict(f"The key {spec.key!r} was used for another request ({before.name}).")
    return shown(before)


def insert_job(tx: Connection, job: JobFile, request: JobSpec) -> Job:
    """Commit the wish, unless the same request has done so before."""
    if request.key is not None and (before := asked_before(tx, request, job.owner)):
        return before
    if request.name is None:
        job = job.model_copy(update={"name": next_name(tx, job.name)})
    else:
        _note_name(tx, job.name)
    job = job.model_copy(update={"spec": job.spec.model_copy(update={"name": job.name})})
    row = {
        "id": job.id,
        "name": job.name,
        "owner": job.owner,
        "target": job.spec.target,
        "key": request.key,
        "request": request.model_dump(mode="json"),
        "file": job.model_dump(mode="json"),
        "state": JobState.WAITING.value,
        "submitted": (submitted := time.time()),
        "experiment": job.spec.experiment,
        **search.columns_of(request.task.model_dump(include={"kind", "model", "data"})),
    }
    tx.execute(insert(jobs), row)
    if parents := of_job(job):
        link(tx, job.id, parents)
    append(tx, job.id, "submitted", {"name": job.name, "task": job.spec.task.kind, "target": job.spec.target})
    return Job(
        id=job.id,
        name=job.name,
        spec=job.spec,
        owner=job.owner,
        state=JobState.WAITING,
        attempt=0,
        submitted=datetime.fromtimestamp(submitted, timezone.utc),
    )


def next_name(tx: Connection, stem: str) -> str:
    """`tunet-07`: the stem and the next number that nobody has."""
    stem = stem[: 100 - len("-") - DIGITS]
    last = tx.execute(select(stems.c.last).where(stems.c.stem == stem)).scalar()
    if last is None:
        used = tx.execute(select(jobs.c.name).where(jobs.c.name.startswith(f"{stem}-", autoescape=True))).scalars()
        last = max((number for name in used if (number := _number(name, stem))), default=0)
        tx.execute(insert(stems), {"stem": stem, "last": last})
    tx.execute(update(stems).where(stems.c.stem == stem), {"last": last + 1})
    return f"{stem}-{last + 1:02d}"


def _number(name: str, stem: str) -> int:
    """The number in a name that was made of this stem; of one that was not, 0."""
    end = name.removeprefix(f"{stem}-")
    return int(end) if end.isdecimal() and len(end) <= DIGITS else 0


def _note_name(tx: Connection, name: str) -> None:
    """A name that somebody gave may be one that would have been made."""
    stem = name.rpartition("-")[0]
    if number := _number(name, stem):
        tx.execute(update(stems).where(stems.c.stem == stem, stems.c.last < number), {"last": number})


def find(tx: Connection, run: str) -> Row:
    """The row of a job by its id, or of the newest of that name."""
    row = None
    if NAME.fullmatch(run):
        row = tx.execute(BY_ID, {"run": run}).one_or_none() or tx.execute(BY_NAME, {"run": run}).one_or_none()
    if row is None:
        known = list(tx.execute(select(jobs.c.name).order_by(jobs.c.number.desc()).limit(500)).scalars())
        shown = run if NAME.fullmatch(run) else repr(run[:80])
        raise NotFound(f"There is no run {shown}.", hint=nearest(run, dict.fromkeys(known)) or "List them: mlex jobs")
    return row


def _when(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)


def shown(row: Row) -> Job:
    """A row as people see it; one that is damaged is shown as such, and hides no other."""
    try:
        return _sound_job(row)
    except (ValueError, TypeError, KeyError):
        return Job(
            id=row.id,
            name=row.name,
            spec=JobSpec(name=None, task=RunTask(argv=("unreadable",))),
            owner=row.owner,
            state=JobState(row.state) if row.state in FINAL_STATES else JobState.LOST,
            message="What the database holds of this job cannot be read.",
            hint="End what uses this home, then: mlex doctor --repair",
            attempt=row.attempt if isinstance(row.attempt, int) else 0,
            submitted=datetime.fromtimestamp(0, timezone.utc),
        )


def _sound_job(row: Row) -> Job:
    return Job(
        id=row.id,
        name=row.name,
        spec=JobSpec.model_validate(row.file["spec"]),
        owner=row.owner,
        state=JobState(row.state),
        reason=row.reason,
        message=row.message,
        hint=row.hint,
        native_id=row.native_id,
        attempt=row.attempt,
        submitted=datetime.fromtimestamp(row.submitted, timezone.utc),
        started=_when(row.started),
        ended=_when(row.ended),
        seen=_when(row.seen),
        exit_code=row.exit_code,
        progress=row.progress,
        metrics=row.metrics,
        outputs=row.outputs,
    )
