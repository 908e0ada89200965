"""Jobs: what people want of them. A wish is one committed row; from then on it is not lost.

The supervisor, and nobody else, makes wishes come true; see lifecycle.py. Here a request becomes a complete
`JobFile` (every default filled in, every name resolved), so that a run needs nothing but its folder.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from datetime import datetime, timezone
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Connection, bindparam, func, insert, select, update

from mlex_jupyter.catalog import Catalog
from mlex_jupyter.catalog.lineage import link, of_job
from mlex_jupyter.errors import Conflict, Invalid, NotFound, nearest
from mlex_jupyter.events import append
from mlex_jupyter.files import read_piece
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.jobs import search
from mlex_jupyter.jobs.search import Sought
from mlex_jupyter.labels import Labels
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.store.tables import Row, jobs, stems
from mlex_jupyter.targets import Targets
from mlex_jupyter.types import (
    MODULE,
    NAME,
    Code,
    Job,
    JobCounts,
    JobFile,
    JobSpec,
    JobState,
    LogChunk,
    PredictTask,
    RunTask,
    Trained,
    TrainTask,
    Why,
    new_id,
)
from mlex_jupyter.zoo import Zoo, fit
from mlex_jupyter.zoo.architectures import complete_params

LOG_AT_ONCE = 1 << 18
ALL = Sought()
FINAL_STATES = frozenset(state.value for state in JobState if state.final)
DIGITS = 6
"""The longest number that is counted on from."""

BY_ID = select(jobs).where(jobs.c.id == bindparam("run"))
BY_NAME = select(jobs).where(jobs.c.name == bindparam("run")).order_by(jobs.c.number.desc()).limit(1)


class Jobs:
    """The jobs of one home."""

    def __init__(
        self, store: Store, settings: Settings, catalog: Catalog, labels: Labels, zoo: Zoo, targets: Targets
    ) -> None:
        self.store = store
        self.settings = settings
        self.catalog = catalog
        self.labels = labels
        self.zoo = zoo
        self.targets = targets

    # ------------------------------------------------------------ asking for one

    async def submit(self, spec: JobSpec, owner: str) -> Job:
        """Acknowledge a job: it is complete, checked and committed."""
        if spec.key is not None and (before := await self.store.read(lambda tx: _asked_before(tx, spec, owner))):
            return before
        job = await self.prepare(spec, owner)
        return await self.store.write(lambda tx: self.commit(tx, job, spec))

    async def prepare(self, spec: JobSpec, owner: str) -> JobFile:
        """What a request comes to: complete and checked, and nothing is kept."""
        job = await self._complete(spec, owner)
        await self._check_room(job)
        return job

    def commit(self, tx: Connection, job: JobFile, spec: JobSpec) -> Job:
        """Keep the wish, in the transaction of whoever asks."""
        return _insert(tx, job, spec)

    async def _complete(self, spec: JobSpec, owner: str) -> JobFile:
        self.targets.get(spec.target)
        after = tuple([(await self.get(name)).id for name in spec.after])
        job = await self._with_inputs(spec.task, JobFile(id=new_id("run"), name="", owner=owner, spec=spec))
        complete = job.spec.model_copy(update={"after": after})
        return job.model_copy(update={"spec": complete, "name": spec.name or _stem(job)})

    async def _with_inputs(self, task: TrainTask | PredictTask | RunTask, job: JobFile) -> JobFile:
        if isinstance(task, RunTask):
            if task.folder is not None and not (os.path.isabs(task.folder) and os.path.isdir(task.folder)):
                raise Invalid(f"There is no folder {task.folder[:200]!r} to run in.", hint="Give its absolute path.")
            return job
        data = await self.catalog.get(task.data)
        found: dict[str, Any]
        fit.refuse([fit.axes(data)])
        if isinstance(task, PredictTask):
            model, named = await self.network(task)
            fit.refuse(fit.checks(fit.ready(task.model, model, None, None), data, None, job.spec.resources))
            task = task.model_copy(update={"data": data.name, **named})
            found = {"data": data, "model": model, "code": await self._code_of(model)}
        else:
            architecture, code = await self.zoo.architectures.buildable(task.model)
            if architecture.owner is not None:
                self.zoo.architectures.sources.check_trusted(architecture.owner, architecture.name)
            labels = await self.labels.settled(data.id, task.labels)  # with what was painted up to now
            params = complete_params(architecture, task.params)
            fit.refuse(fit.checks(fit.untrained(architecture, params), data, labels, job.spec.resources))
            task = task.model_copy(update={"data": data.name, "params": params})
            found = {"data": data, "labels": labels, "architecture": architecture, "code": code}
        return job.model_copy(update={**found, "spec": job.spec.model_copy(update={"task": task})})

    async def network(self, task: PredictTask) -> tuple[Trained, dict[str, Any]]:
        """The network that a prediction names, a published model or else a finished training, and its exact name."""
        if published := await self.zoo.find(task.model, task.version):
            return self.zoo.trained(published), {"model": published.name, "version": published.version}
        try:
            run = await self.get(task.model)
        except NotFound as error:
            near = nearest(task.model, await self.zoo.names())
            raise NotFound(f"There is no model and no run {task.model!r}.", hint=near or error.hint) from None
        return self.trained(run), {}

    async def _code_of(self, model: Trained) -> Code | None:
        """The source that builds a trained network, where somebody brought it who may be trusted."""
        if not model.builder.startswith(MODULE):
            return None
        if not model.source.startswith("run-"):
            return await self.zoo.code(await self.zoo.by_id(model.source))
        run = await self.get(model.source)
        self.zoo.architectures.sources.check_trusted(run.owner, run.name)
        return (await self.file(run.id)).code

    def trained(self, run: Job) -> Trained:
        """The network that a finished training left, with the absolute path of its weights."""
        if run.spec.task.kind != "train":
            raise Invalid(f"{run.name} is not a training, so there is no network in it.")
        if run.state != JobState.DONE:
            raise Conflict(
                f"{run.name} is {run.state.value}, so there is no network in it.", hint=f"mlex why {run.name}"
            )
        folder = self.folder(run.id).path
        try:
            trained = Trained.model_validate_json((folder / "model.json").read_bytes())
        except FileNotFoundError:
            raise NotFound(f"The folder of {run.name} is gone, and its network with it.", hint="Train again.") from None
        return trained.model_copy(update={"weights": str(folder / trained.weights), "source": run.id})

    async def _check_room(self, job: JobFile) -> None:
        """Refuse at once what could never start."""
        reason = self.targets.get(job.spec.target).room(job, ())
        if reason is not None:
            info = await self.targets.get(job.spec.target).info()
            raise Invalid(
                f"The target {info.name} is one machine with {info.cpus} cores and {info.gpus} GPUs: the job would "
                "wait for ever.",
                hint="Ask for less, or choose another target (`mlex targets`).",
            )
        if job.spec.image is not None:
            raise Invalid(f"The target {job.spec.target} runs no container images.", hint="Leave image out.")

    # ------------------------------------------------------------ looking

    async def get(self, run: str) -> Job:
        """A job by its id, or the newest of that name."""
        return _job(await self.store.read(lambda tx: _find(tx, run)))

    async def list(self, sought: Sought = ALL, limit: int = 50, past: str | None = None) -> list[Job]:
        """A page of the jobs that are sought, the newest first; the next page begins past the last of this one."""
        if limit < 1:
            raise Invalid(f"limit={limit}: ask for at least one.")
        await self._catch_up(sought)

        def find(tx: Connection) -> list[Job]:
            before = _find(tx, past).number if past is not None else None
            return [_job(row) for row in search.search(tx, sought, before, min(limit, 1000))]

        return await self.store.read(find)

    async def counts(self, sought: Sought = ALL) -> JobCounts:
        """How many of those that are sought are in each state."""
        await self._catch_up(sought)
        found = await self.store.read(lambda tx: search.count(tx, sought))
        return JobCounts(total=sum(found.values()), **{state.value: found.get(state.value, 0) for state in JobState})

    async def _catch_up(self, sought: Sought) -> None:
        if sought.looks_inside and await self.store.read(search.behind):
            while await self.store.write(search.catch_up):
                pass

    async def file(self, job_id: str) -> JobFile:
        """All that a job was to do, as it was acknowledged."""
        query = select(jobs.c.file).where(jobs.c.id == job_id)
        return JobFile.model_validate(await self.store.read(lambda tx: tx.execute(query).scalar_one()))

    def folder(self, job_id: str) -> JobFolder:
        """Where a job's files are."""
        return JobFolder(self.settings.home / "jobs" / job_id)

    async def log(self, run: str, offset: int = 0) -> LogChunk:
        """A piece of the log from an offset; a negative one counts from the end."""
        job = await self.get(run)
        start, piece, size = await asyncio.to_thread(read_piece, self.folder(job.id).log, offset, LOG_AT_ONCE)
        if not job.state.final or len(piece) == LOG_AT_ONCE:  # a line that is cut off waits until it is whole
            piece = piece[: piece.rfind(b"\n") + 1] or (piece if len(piece) == LOG_AT_ONCE else b"")
        end = start + len(piece)
        return LogChunk(text=piece.decode(errors="replace"), offset=end, final=job.state.final and end >= size)

    async def why(self, run: str) -> Why:
        """The reason for where a job stands, in words, with what to do about it."""
        job = await self.get(run)
        tail = (await self.log(job.id, -4000)).text.splitlines()[-12:]
        return Why(
            job=job.id,
            name=job.name,
            state=job.state,
            reason=job.message or job.reason or REASONS[job.state],
            hints=tuple(hint for hint in (job.hint, *HINTS[job.state]) if hint),
            log_tail=tuple(tail),
        )

    async def returned(self, run: str) -> JsonValue:
        """What the function of a finished job returned."""
        job = await self.get(run)
        if job.state != JobState.DONE:
            raise Conflict(f"{job.name} is {job.state.value}, and has returned nothing.", hint=f"mlex why {job.name}")
        value = next((one for one in job.outputs if one.kind == "value"), None)
        if value is None:
            raise NotFound(f"{job.name} called no function, so nothing was returned.")
        found: JsonValue = json.loads(await asyncio.to_thread((self.folder(job.id).path / value.ref).read_bytes))
        return found

    # ------------------------------------------------------------ wishes

    async def cancel(self, run: str) -> Job:
        """Wish that a job stops; what has ended stays as it is."""

        def wish(tx: Connection) -> Row:
            row = _find(tx, run)
            if JobState(row.state).final:
                raise Conflict(f"{row.name} is {row.state}: there is nothing to cancel.")
            tx.execute(update(jobs).where(jobs.c.id == row.id).values(cancel=max(row.asked, row.attempt)))
            return _find(tx, row.id)

        return _job(await self.store.write(wish))

    async def resume(self, run: str) -> Job:
        """Wish for another attempt of a job that ended without a result."""

        def wish(tx: Connection) -> Row:
            row = _find(tx, run)
            state = JobState(row.state)
            if state == JobState.DONE:
                raise Conflict(f"{row.name} is done: there is nothing to resume.")
            if not state.final:
                raise Conflict(f"{row.name} is {row.state} already.")
            waiting = {"state": JobState.WAITING, "reason": "resumed", "message": None, "hint": None, "ended": None}
            wished = {"asked": max(row.asked, row.attempt + 1), "vanished": 0, "cancel": 0, "native_id": None}
            wished |= {"failures": 0, "not_before": None}
            tx.execute(update(jobs).where(jobs.c.id == row.id).values(**waiting, **wished))
            append(tx, row.id, "state", {"state": "waiting", "reason": "resumed", "attempt": row.attempt})
            return _find(tx, row.id)

        return _job(await self.store.write(wish))

    async def unfinished(self) -> int:
        """How many jobs have not ended."""
        final = [state.value for state in JobState if state.final]
        query = select(func.count()).select_from(jobs).where(jobs.c.state.not_in(final))
        return await self.store.read(lambda tx: int(tx.execute(query).scalar_one()))


REASONS = {
    JobState.WAITING: "It waits to be started.",
    JobState.QUEUED: "It is in the queue of its target.",
    JobState.RUNNING: "It is running.",
    JobState.DONE: "It is done.",
    JobState.FAILED: "It failed.",
    JobState.CANCELLED: "It was cancelled.",
    JobState.LOST: "Nothing is known of it any more.",
}
RESUME = "Go on from the last checkpoint: mlex resume RUN"
HINTS: dict[JobState, tuple[str, ...]] = {
    JobState.WAITING: ("Take it back: mlex cancel RUN",),
    JobState.QUEUED: ("Take it back: mlex cancel RUN",),
    JobState.RUNNING: ("Watch it: mlex logs RUN -f",),
    JobState.DONE: (),
    JobState.FAILED: (RESUME,),
    JobState.CANCELLED: (RESUME,),
    JobState.LOST: (RESUME,),
}


def _stem(job: JobFile) -> str:
    task = job.spec.task
    if task.kind == "run":
        called = task.code and (task.code.name or task.argv[0].rpartition("/")[2].removesuffix(".py"))
        return called if called and NAME.fullmatch(called) else "run"
    return task.model if task.kind == "train" else f"{task.data}-seg"


def _asked_before(tx: Connection, spec: JobSpec, owner: str) -> Job | None:
    """The job that this request made when it was made before, by its key; asked in other words it is a Conflict."""
    before = tx.execute(select(jobs).where(jobs.c.owner == owner, jobs.c.key == spec.key)).one_or_none()
    if before is None:
        return None
    if JobSpec.model_validate(before.request) != spec:
        raise Conflict(f"The key {spec.key!r} was used for another request ({before.name}).")
    return _job(before)


def _insert(tx: Connection, job: JobFile, request: JobSpec) -> Job:
    """Commit the wish, unless the same request has done so before."""
    if request.key is not None and (before := _asked_before(tx, request, job.owner)):
        return before
    if request.name is None:
        job = job.model_copy(update={"name": _next_name(tx, job.name)})
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


def _next_name(tx: Connection, stem: str) -> str:
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


def _find(tx: Connection, run: str) -> Row:
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


def _job(row: Row) -> Job:
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
