"""The life of a job, from waiting to its end: every change of state that is not somebody's wish is made here.

    waiting ──► queued ──► running ──► done        result.json is there
       ▲                      ├──────► failed      ending.json says why
       │                      ├──────► cancelled   somebody asked, and the run saved and went
       └── vanished, resumed ─┴──────► lost        gone without a word, once too often

Wishes are columns that only the façade writes (`asked`, `cancel`); all others are written here, by the one
supervisor whose epoch holds. Before anything is started, the attempt's number is committed; so whoever finds an
attempt without a native id knows that its submission may or may not have happened, and looks it up.
"""

from __future__ import annotations

import contextlib
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from pydantic import ValidationError
from sqlalchemy import Connection, or_, select, update

from mlex_jupyter.catalog import Catalog
from mlex_jupyter.catalog.lineage import link
from mlex_jupyter.errors import MlexError, TargetError, Unavailable
from mlex_jupyter.events import append, append_many
from mlex_jupyter.failpoints import failpoint
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.runevents import Found, read_events, summary
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store, current_epoch
from mlex_jupyter.store.tables import Row, jobs
from mlex_jupyter.targets import Seen, Target, Targets
from mlex_jupyter.types import Ending, JobFile, JobState, Output, Result

T = TypeVar("T")
ACTIVE = (JobState.WAITING, JobState.QUEUED, JobState.RUNNING)
TAKEN = 79  # the exit code of a second copy of the same attempt: learn.run
FULL = 74  # the exit code of a run that had no room to write how it ended
STATES_EVERY_S = 0.2
LONGEST_PAUSE_S = 3600.0
RELOAD_EVERY_S = 2.0
IN_FRONT = 100
"""So many of those that wait at a target are looked at; whoever stands behind them comes later."""


class Superseded(Exception):
    """Another supervisor reigns; whatever this one knows is old."""


LARGE = ("request", "file", "progress", "metrics", "outputs")
SLIM = [column for column in jobs.c if column.name not in LARGE]


def unfinished(tx: Connection) -> bool:
    """Whether any job has not ended."""
    query = select(jobs.c.number).where(jobs.c.state.in_([state.value for state in ACTIVE])).limit(1)
    return tx.execute(query).first() is not None


def to_move(tx: Connection) -> list[Row]:
    """The jobs to be looked at, the oldest first, without what is large and does not change.

    All that were started; of those that wait, the first at each target, and any that is wanted no more. The others
    stand behind these, however many they are.
    """
    begun = jobs.c.state.in_([JobState.QUEUED.value, JobState.RUNNING.value])
    waits = jobs.c.state == JobState.WAITING.value
    numbers = set(
        tx.execute(select(jobs.c.number).where(or_(begun, waits & (jobs.c.cancel >= jobs.c.asked)))).scalars()
    )
    for target in tx.execute(select(jobs.c.target).where(waits).distinct()).scalars().all():
        first = select(jobs.c.number).where(waits, jobs.c.target == target).order_by(jobs.c.number).limit(IN_FRONT)
        numbers |= set(tx.execute(first).scalars())
    return list(tx.execute(select(*SLIM).where(jobs.c.number.in_(sorted(numbers))).order_by(jobs.c.number)))


def job_files(tx: Connection, ids: list[str]) -> dict[str, JobFile]:
    """What these jobs are to do; of one that cannot be read, nothing."""
    files = {}
    for row in tx.execute(select(jobs.c.id, jobs.c.file).where(jobs.c.id.in_(ids))):
        with contextlib.suppress(ValidationError):
            files[row.id] = JobFile.model_validate(row.file)
    return files


def standing(tx: Connection, ids: list[str]) -> dict[str, Row]:
    """Where these jobs stand."""
    rows = tx.execute(select(jobs.c.id, jobs.c.name, jobs.c.state).where(jobs.c.id.in_(ids)))
    return {row.id: row for row in rows}


class Lifecycle:
    """Moves every unfinished job one step on, each time it looks."""

    def __init__(self, store: Store, settings: Settings, targets: Targets, catalog: Catalog, epoch: int) -> None:
        self.store = store
        self.settings = settings
        self.targets = targets
        self.catalog = catalog
        self.epoch = epoch
        self._rows: list[Row] = []
        self._files: dict[str, JobFile] = {}
        self._followed_jobs: dict[str, Row] = {}
        self._active: dict[str, list[JobFile]] = {}  # what was started, by target
        self._full: set[str] = set()  # targets at which an older job waits for room
        self._told: dict[str, float] = {}  # native ids that were told to stop, and when
        self._complained: set[str] = set()
        self._version: int | None = None
        self._loaded = self._asked_states = 0.0

    async def look(self) -> bool:
        """Do what is to be done now; True while any job has not ended."""
        version = self.store.version()
        if version != self._version or time.monotonic() - self._loaded > RELOAD_EVERY_S:
            self._version, self._loaded = version, time.monotonic()
            await self._reload()
            for row in self._rows:
                await self._step(row, self._heed)
        await self._take_in([row for row in self._rows if row.state != JobState.WAITING])
        if time.monotonic() - self._asked_states > STATES_EVERY_S:
            self._asked_states = time.monotonic()
            await self._observe([row for row in self._rows if row.native_id and row.state != JobState.WAITING])
        return bool(self._rows)

    async def _reload(self) -> None:
        rows = await self.store.read(to_move)
        unknown = [row.id for row in rows if row.id not in self._files]
        if unknown:
            self._files |= await self.store.read(partial(job_files, ids=unknown))
        self._rows = [row for row in rows if row.id in self._files]
        for row in rows:
            if row.id not in self._files:
                await self._end_unreadable(row)
        self._files = {row.id: self._files[row.id] for row in self._rows}
        followed = sorted({other for file in self._files.values() for other in file.spec.after})
        self._followed_jobs = await self.store.read(partial(standing, ids=followed)) if followed else {}
        self._active, self._full = {}, set()
        for row in self._rows:
            if row.state != JobState.WAITING:
                self._active.setdefault(row.target, []).append(self._files[row.id])

    async def _end_unreadable(self, row: Row) -> None:
        message, hint = "What it was to do cannot be read any more.", "mlex doctor --repair, or ask for it again."
        ended = {"state": JobState.FAILED, "ended": time.time(), "message": message, "hint": hint, "reason": None}
        self._closed(await self._write(lambda tx: set_job(tx, row, **ended)))

    async def _step(self, row: Row, move: Callable[[Row], Awaitable[None]]) -> None:
        """Make one job's move; what goes wrong with it ends that job, in words, and no other."""
        try:
            await move(row)
        except (Superseded, Unavailable):
            raise
        except Exception as error:
            await self._went_wrong(row, error)

    async def _went_wrong(self, row: Row, error: Exception) -> None:
        match error:
            case TargetError(transient=True, message=message) | OSError(strerror=str(message)):
                reason = f"{message.rstrip('.')}; trying again"
                if reason != row.reason:  # said once; then tried at the next reload, not as fast as one can write
                    await self._change(row, reason=reason)
            case MlexError():
                await self._end(row, JobState.FAILED, message=error.message, hint=error.hint)
            case _:
                traceback.print_exception(error)
                message = f"It could not be handled: {type(error).__name__}: {error}."
                hint = "Look at supervisor.log in the home folder."
                await self._end(row, JobState.FAILED, message=message, hint=hint)

    def _target(self, row: Row) -> Target:
        """A job's target. One that is not there any more changes no state, as one that does not answer."""
        try:
            return self.targets.get(row.target)
        except MlexError as error:
            raise TargetError(error.message, hint=error.hint, transient=True) from error

    # ------------------------------------------------------------ wishes

    async def _heed(self, row: Row) -> None:
        """Do what somebody wants of this job."""
        if row.state == JobState.WAITING:
            await self._wait(row)
        elif row.native_id is None:
            await self._submit(row)
        elif row.cancel >= row.attempt:
            await self._stop(row)

    async def _wait(self, row: Row) -> None:
        """Start it if it may start; otherwise say why it waits."""
        if row.cancel >= row.asked:
            await self._end(row, JobState.CANCELLED, reason="cancelled before it began")
        elif (obstacle := await self._obstacle(row)) is not None:
            await self._end(row, JobState.CANCELLED, reason=obstacle)
        elif (reason := await self._reason_to_wait(row)) is None:
            await self._begin(row)
        elif reason != row.reason:
            await self._change(row, reason=reason)

    def _followed(self, row: Row) -> list[Row]:
        """The jobs that this one comes after."""
        after = self._files[row.id].spec.after
        return [self._followed_jobs[job] for job in after if job in self._followed_jobs]

    async def _obstacle(self, row: Row) -> str | None:
        ended = [job for job in self._followed(row) if JobState(job.state).final and job.state != JobState.DONE]
        return f"{ended[0].name}, which it was to follow, is {ended[0].state} (Dependency)" if ended else None

    async def _reason_to_wait(self, row: Row) -> str | None:
        if row.not_before is not None and time.time() < row.not_before:
            return str(row.reason)
        for job in self._followed(row):
            if job.state != JobState.DONE:
                return f"after {job.name} (Dependency)"
        if row.target in self._full:  # the oldest comes first, however small the others are
            return "behind older jobs (Priority)"
        reason = self._target(row).room(self._files[row.id], self._active.get(row.target, []))
        if reason is not None:
            self._full.add(row.target)
        return reason

    async def _begin(self, row: Row) -> None:
        """Commit the attempt's number, then start it."""
        begun = await self._change(
            row, state=JobState.QUEUED, attempt=row.asked, native_id=None, reason="starting", ended=None, exit_code=None
        )
        self._active.setdefault(row.target, []).append(self._files[row.id])
        failpoint("supervisor.before_submit")
        await self._submit(begun)

    async def _submit(self, row: Row) -> None:
        """Start an attempt that has no native id: perhaps for the first time, perhaps its answer was lost."""
        target, folder = self._target(row), self._folder(row)
        native_id = await target.find(row.id, row.attempt)
        if native_id is None and folder.claimed(row.attempt):
            await self._judge(row, Seen(state=JobState.LOST, reason="its process is gone"))
            return
        if native_id is None:
            JobFolder.make(folder.path, self._files[row.id])
            command = [sys.executable, "-P", "-m", "mlex_jupyter.learn.run", str(folder.path), str(row.attempt)]
            native_id = await target.submit(self._files[row.id], str(folder.path), command)
            failpoint("supervisor.after_submit")
        await self._change(row, native_id=native_id, reason=None)

    async def _stop(self, row: Row) -> None:
        """Tell a run to save and go; after the grace, end it."""
        told = self._told.setdefault(row.native_id, time.monotonic())
        force = time.monotonic() - told > self.settings.stop_grace_s
        await self._target(row).cancel(row.native_id, force=force)

    # ------------------------------------------------------------ running

    async def _take_in(self, rows: list[Row]) -> None:
        """Copy what the runs said since into the stream, all jobs in one transaction."""
        news = [(row, found) for row in rows if (found := self._read(row)).end > row.offset]
        if news:

            def take_all_in(tx: Connection) -> None:
                for row, found in news:
                    take_in(tx, row, found)

            await self._write(take_all_in)
            failpoint("supervisor.took_in")
            await self._reload()

    def _read(self, row: Row) -> Found:
        try:
            return read_events(self._folder(row).events, row.offset)
        except OSError:
            return Found([], row.offset)  # nothing new for now; at the run's end its reason is told, see _take_in_all

    async def _observe(self, rows: list[Row]) -> None:
        """Ask each target once about all of its jobs, and believe the folders about how they ended."""
        for name in {row.target for row in rows}:
            mine = [row for row in rows if row.target == name]
            try:
                seen = await self._target(mine[0]).states([row.native_id for row in mine])
            except Exception as error:
                self._complain(f"{name} does not say how its jobs are: {error}")
                continue
            for row in mine:
                await self._step(row, partial(self._judge, seen=seen[row.native_id]))

    async def _judge(self, row: Row, seen: Seen) -> None:
        """Decide from what the target saw, and then from what the folder says, where the job stands."""
        folder = self._folder(row)
        with contextlib.suppress(OSError):  # tried again at the next look
            folder.cap_log()
        if row.state == JobState.QUEUED and folder.claimed(row.attempt):  # a short one may have ended since, too
            row = await self._change(row, state=JobState.RUNNING, started=row.started or time.time(), reason=None)
        result, ending = folder.result(), folder.ending(row.attempt)
        if result is not None:
            await self._finish(row, result)
        elif ending is not None:
            await self._close(row, ending)
        elif seen.exit_code == TAKEN:  # another copy of this attempt is at work: look it up
            await self._change(row, native_id=None)
        elif seen.state.final:
            await self._vanished(row, seen)

    async def _close(self, row: Row, ending: Ending) -> None:
        """The run said how it ended."""
        if ending.state == JobState.FAILED and await self._try_again(row, ending):
            return
        if ending.state != JobState.CANCELLED:
            await self._end(row, ending.state, message=ending.message, hint=ending.hint, exit_code=ending.exit_code)
        else:
            await self._vanished(row, Seen(state=JobState.LOST, reason=ending.message, exit_code=ending.exit_code))

    async def _try_again(self, row: Row, ending: Ending) -> bool:
        """Whether a failure is to be tried again: as often as was asked for, after a pause that doubles."""
        task = self._files[row.id].spec.task
        if task.kind != "run" or row.failures >= task.retry_failed or row.cancel >= row.attempt:
            return False
        pause = min(self.settings.retry_pause_s * 2**row.failures, LONGEST_PAUSE_S)
        await self._take_in_all(row)
        self._closed(
            await self._change(
                row,
                state=JobState.WAITING,
                asked=row.attempt + 1,
                failures=row.failures + 1,
                not_before=time.time() + pause,
                native_id=None,
                exit_code=ending.exit_code,
                reason=f"attempt {row.attempt} failed: {ending.message.rstrip('.')}; trying again after {pause:g} s",
            )
        )
        return True

    async def _vanished(self, row: Row, seen: Seen) -> None:
        """Gone without a result: because somebody asked; else go on from the checkpoint, but not for ever."""
        task = self._files[row.id].spec.task
        retries = task.retries if task.kind == "run" else self.settings.retries
        reason = "the disk is full" if seen.exit_code == FULL else seen.reason or "it ended without a word"
        reason = reason.rstrip(".")

        def decide(tx: Connection) -> Row:
            wish = tx.execute(select(jobs.c.cancel).where(jobs.c.id == row.id)).scalar_one()
            ended = {"ended": time.time(), "exit_code": seen.exit_code}
            if wish >= row.attempt:
                return set_job(tx, row, state=JobState.CANCELLED, reason=reason, **ended)
            if row.vanished < retries:
                return set_job(
                    tx,
                    row,
                    state=JobState.WAITING,
                    asked=row.attempt + 1,
                    vanished=row.vanished + 1,
                    native_id=None,
                    reason=f"{reason}; going on from its checkpoint",
                )
            return set_job(
                tx,
                row,
                state=JobState.LOST if seen.exit_code is None else JobState.FAILED,
                reason=None,
                message=f"The run ended without a result: {reason}.",
                hint="Look at the log, then resume it: it goes on from its checkpoint.",
                **ended,
            )

        if row.native_id is not None:  # whatever it started and left behind must not meet the next attempt
            await self._target(row).cancel(row.native_id, force=True)
        await self._take_in_all(row)
        self._closed(await self._write(decide))

    # ------------------------------------------------------------ ended

    async def _finish(self, row: Row, result: Result) -> None:
        """Publish the result: state, outputs and the new dataset in one transaction, so never twice and never half."""
        await self._take_in_all(row)
        failpoint("supervisor.before_finish")

        def finish(tx: Connection) -> Row:
            outputs = [output for output in result.outputs if output.kind != "dataset"]
            if (made := result.dataset) is not None:
                made = self.catalog.insert(tx, made, unique_name=False)
                link(tx, made.id, {row.id: ""})
                outputs.append(Output(kind="dataset", name=made.name, ref=made.id, derived_from=made.derived_from))
            known = tx.execute(select(jobs.c.metrics).where(jobs.c.id == row.id)).scalar_one()
            ended = {"ended": time.time(), "exit_code": 0, "reason": None, "message": None, "hint": None}
            left = [output.model_dump(mode="json") for output in outputs]
            found = {"outputs": left, "metrics": {**known, **result.metrics}}
            return set_job(tx, row, state=JobState.DONE, **ended, **found)

        self._closed(await self._write(finish))
        failpoint("supervisor.after_finish")

    async def _end(self, row: Row, state: JobState, **values: Any) -> None:
        await self._take_in_all(row)
        await self._change(row, state=state, ended=time.time(), **{"reason": None, **values})

    async def _take_in_all(self, row: Row) -> None:
        """Whatever the run said before it ended comes before its end in the stream."""
        offset = await self.store.read(
            lambda tx: tx.execute(select(jobs.c.offset).where(jobs.c.id == row.id)).scalar_one()
        )
        try:
            while (found := read_events(self._folder(row).events, offset)).end > offset:
                await self._write(partial(take_in, row=row, found=found, begin=offset))
                offset = found.end
        except OSError as error:  # what it said is lost, its end is not
            self._complain(f"{row.name}: its events cannot be read: {error}")

    def _closed(self, row: Row) -> None:
        """Nothing more will come from this attempt."""
        self._note(row)
        if row.native_id is not None:
            self._told.pop(row.native_id, None)
            with contextlib.suppress(TargetError):
                self._target(row).forget(row.native_id)

    # ------------------------------------------------------------ writing

    async def _change(self, row: Row, **values: Any) -> Row:
        changed = await self._write(lambda tx: set_job(tx, row, **values))
        if JobState(changed.state).final:
            self._closed(changed)
        else:
            self._note(changed)
        return changed

    def _note(self, row: Row) -> None:
        """Keep the last word beside the run, so that a lost database can be rebuilt; the commit holds without."""
        try:
            self._folder(row).note_state({"state": row.state, "attempt": row.attempt, "native_id": row.native_id})
        except OSError as error:
            self._complain(f"{row.name}: state.json could not be written: {error}")

    def _complain(self, text: str) -> None:
        """Say something in the supervisor's log, once."""
        if text not in self._complained:
            self._complained.add(text)
            print(text, file=sys.stderr, flush=True)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        def checked(tx: Connection) -> T:
            if current_epoch(tx) != self.epoch:
                raise Superseded
            return work(tx)

        return await self.store.write(checked)

    def _folder(self, row: Row) -> JobFolder:
        return JobFolder(self.settings.home / "jobs" / row.id)


def set_job(tx: Connection, row: Row, **values: Any) -> Row:
    """Change a job's columns, and tell of it when people can see the difference."""
    tx.execute(update(jobs).where(jobs.c.id == row.id).values(seen=time.time(), **values))
    changed = tx.execute(select(jobs).where(jobs.c.id == row.id)).one()
    if (changed.state, changed.reason) != (row.state, row.reason):
        told = {"state": changed.state, "reason": changed.reason, "attempt": changed.attempt}
        append(tx, row.id, "state", {**told, "message": changed.message, "hint": changed.hint})
    return changed


def take_in(tx: Connection, row: Row, found: Found, begin: int | None = None) -> None:
    """Append a run's events, and move its offset, once: a piece that is in the stream already is left alone."""
    begin = row.offset if begin is None else begin
    now = tx.execute(select(jobs.c.offset, jobs.c.metrics).where(jobs.c.id == row.id)).one()
    if now.offset == begin:
        changes = summary(found.events, now.metrics)
        tx.execute(update(jobs).where(jobs.c.id == row.id).values(offset=found.end, **changes))
        append_many(tx, [(event.at, row.id, event.kind, event.values) for event in found.events])
