"""Jobs as they are looked at: where they stand, why, and what they said."""

from __future__ import annotations

import asyncio
import json

from pydantic import JsonValue
from sqlalchemy import Connection, func, select

from mlex_jupyter.errors import Conflict, Invalid, NotFound
from mlex_jupyter.files import read_piece
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.jobs import search
from mlex_jupyter.jobs.rows import FINAL_STATES, find, shown
from mlex_jupyter.jobs.search import Sought
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.store.tables import jobs
from mlex_jupyter.types import Job, JobCounts, JobFile, JobState, LogChunk, Why

LOG_AT_ONCE = 1 << 18
ALL = Sought()
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


class Looking:
    """The jobs of one home, for who only looks."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.settings = settings

    async def get(self, run: str) -> Job:
        """A job by its id, or the newest of that name."""
        return shown(await self.store.glance(lambda tx: find(tx, run)))

    async def list(self, sought: Sought = ALL, limit: int = 50, past: str | None = None) -> list[Job]:
        """A page of the jobs that are sought, the newest first; the next page begins past the last of this one."""
        if limit < 1:
            raise Invalid(f"limit={limit}: ask for at least one.")
        await self._catch_up(sought)

        def page(tx: Connection) -> list[Job]:
            before = find(tx, past).number if past is not None else None
            return [shown(row) for row in search.search(tx, sought, before, min(limit, 1000))]

        return await self.store.read(page)

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

    async def unfinished(self) -> int:
        """How many jobs have not ended."""
        query = select(func.count()).select_from(jobs).where(jobs.c.state.not_in(FINAL_STATES))
        return await self.store.read(lambda tx: int(tx.execute(query).scalar_one()))
