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
import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from functools import partial

from mlex_jupyter.catalog import Catalog
from mlex_jupyter.errors import MlexError, TargetError, Unavailable
from mlex_jupyter.failpoints import failpoint
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.jobs import hosts
from mlex_jupyter.jobs.endings import Endings
from mlex_jupyter.jobs.moves import Moves
from mlex_jupyter.jobs.reign import Reign, Superseded
from mlex_jupyter.jobs.tracking import Held, Tracked, Turns, hold, let_go_of_stranded
from mlex_jupyter.runevents import Found, read_events
from mlex_jupyter.settings import Settings
from mlex_jupyter.store.tables import Row
from mlex_jupyter.targets import Seen, Targets
from mlex_jupyter.types import JobState

TAKEN = 79  # the exit code of a second copy of the same attempt: learn.run
STATES_EVERY_S = 0.2
PASS_EVERY_S = 2.0
ASK_AGAIN_S = 10.0
"""How long a job stands aside whose target cannot say whether there is room for it."""


class Lifecycle:
    """Moves every unfinished job one step on, each time it looks; with `only`, what was started on that host."""

    def __init__(
        self, reign: Reign, settings: Settings, targets: Targets, catalog: Catalog, *, only: str | None = None
    ) -> None:
        self.store = reign.store
        self.settings = settings
        self.targets = targets
        self.moves = Moves(reign, settings, targets)
        self.endings = Endings(self.moves, catalog)
        self.elsewhere = hosts.Elsewhere(self.store)
        self.tracked = Tracked(self.moves, self.elsewhere, only)
        self._full: set[str] = set()  # targets at which an older job waits for room
        self._held: list[Held] = []
        self._told: dict[str, float] = {}  # native ids that were told to stop, and when
        self._said, self._judged = Turns(), Turns()
        self._version: int | None = None
        self._passed = self._asked_states = -PASS_EVERY_S
        self._fresh = True

    async def look(self) -> bool:
        """Do what is to be done now; True while any job has not ended."""
        version = self.store.version()
        if version != self._version or time.monotonic() - self._passed > PASS_EVERY_S:
            self._version, self._passed = version, time.monotonic()
            await self._pass()
        await self._take_in()
        if time.monotonic() - self._asked_states > STATES_EVERY_S:
            self._asked_states = time.monotonic()
            await self._observe()
        return self.tracked.busy

    async def _pass(self) -> None:
        """Heed what is wished, and begin what can be begun."""
        if self._fresh and self.tracked.only is None:
            await self.moves.reign.write(let_go_of_stranded)
        self._fresh = False
        await self.elsewhere.end_strays(self.targets)
        await self._refresh()
        self._full, self._held = set(), []
        for row in [*self.tracked.heeded.values(), *self.tracked.waiting]:
            await self._step(row, self._heed_elsewhere if self.elsewhere.holds(row) else self._heed)
        if self._held:
            self.moves.moved |= {held.row.id for held in self._held}
            await self.moves.reign.write(partial(hold, those=self._held))

    async def _refresh(self) -> None:
        for row in await self.tracked.refresh():
            await self.endings.end_unreadable(row)

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
                if reason != row.reason:  # said once; then tried at the next pass, not as fast as one can write
                    await self.moves.change(row, reason=reason)
            case MlexError():
                await self.endings.end(row, JobState.FAILED, message=error.message, hint=error.hint)
            case _:
                traceback.print_exception(error)
                message = f"It could not be handled: {type(error).__name__}: {error}."
                hint = "Look at supervisor.log in the home folder."
                await self.endings.end(row, JobState.FAILED, message=message, hint=hint)

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
            await self.endings.end(row, JobState.CANCELLED, reason=row.cancel_reason or "cancelled before it began")
        elif (obstacle := self._obstacle(row)) is not None:
            await self.endings.end(row, JobState.CANCELLED, reason=obstacle)
        elif (held := self._standing_aside(row)) is not None:
            self._held.append(held)
        elif row.target in self._full:  # the oldest comes first, however small the others are
            await self._say(row, "behind older jobs (Priority)")
        else:
            await self._seek_room(row)

    async def _say(self, row: Row, reason: str) -> None:
        if reason != row.reason:
            await self.moves.change(row, reason=reason)

    def _followed(self, row: Row) -> list[Row]:
        """The jobs that this one comes after."""
        after = self.tracked.files[row.id].spec.after
        return [self.tracked.followed[job] for job in after if job in self.tracked.followed]

    def _obstacle(self, row: Row) -> str | None:
        ended = [job for job in self._followed(row) if JobState(job.state).final and job.state != JobState.DONE]
        return f"{ended[0].name}, which it was to follow, is {ended[0].state} (Dependency)" if ended else None

    def _standing_aside(self, row: Row) -> Held | None:
        """Why it could not begin whatever room there was; then nobody waits behind it."""
        if row.not_before is not None and time.time() < row.not_before:
            return Held(row, str(row.reason), until=row.not_before)
        pending = [job for job in self._followed(row) if job.state != JobState.DONE]
        if pending:
            return Held(row, f"after {pending[0].name} (Dependency)", after=tuple(job.id for job in pending))
        return None

    async def _seek_room(self, row: Row) -> None:
        """Begin it where there is room; otherwise the younger ones at its target wait for it."""
        target = self.moves.target(row)
        try:
            reason = target.room(self.tracked.files[row.id], self.tracked.active.get(row.target, {}).values())
        except TargetError as error:
            if not error.transient:
                raise
            reason = f"{error.message.rstrip('.')}; trying again"
            self._held.append(Held(row, reason, until=time.time() + ASK_AGAIN_S))
            return
        if reason is None:
            await self._begin(row)
        else:
            self._full.add(row.target)
            await self._say(row, reason)

    async def _begin(self, row: Row) -> None:
        """Commit the attempt's number, then start it."""
        begun = await self.moves.change(
            row,
            state=JobState.QUEUED,
            attempt=row.asked,
            host=self.elsewhere.this if getattr(self.moves.target(row), "here", False) else None,
            native_id=None,
            reason="starting",
            not_before=None,
            ended=None,
            exit_code=None,
        )
        self.tracked.active.setdefault(row.target, {})[row.id] = self.tracked.files[row.id]
        failpoint("supervisor.before_submit")
        await self._submit(begun)

    async def _submit(self, row: Row) -> None:
        """Start an attempt that has no native id: perhaps for the first time, perhaps its answer was lost."""
        target, folder = self.moves.target(row), self.moves.folder(row)
        native_id = await target.find(row.id, row.attempt)
        if native_id is None and folder.claimed(row.attempt):
            await self._judge(row, Seen(state=JobState.LOST, reason="its process is gone"))
            return
        if native_id is None:
            JobFolder.make(folder.path, self.tracked.files[row.id])
            command = [sys.executable, "-P", "-m", "mlex_jupyter.learn.run", str(folder.path), str(row.attempt)]
            native_id = await target.submit(self.tracked.files[row.id], str(folder.path), command)
            failpoint("supervisor.after_submit")
        await self.moves.change(row, native_id=native_id, reason=None)

    async def _stop(self, row: Row) -> None:
        """Tell a run to save and go; after the grace, end it."""
        told = self._told.setdefault(row.native_id, time.monotonic())
        force = time.monotonic() - told > self.settings.stop_grace_s
        await self.moves.target(row).cancel(row.native_id, force=force)

    async def _heed_elsewhere(self, row: Row) -> None:
        """Leave a run to its own host; where that is silent, say so, and end it on paper once somebody asks for it."""
        since = await self.elsewhere.silent_since(row)
        if since is None:
            return
        if row.cancel >= row.attempt:
            await self.endings.end(row, JobState.CANCELLED, reason=hosts.given_up(row, since))
        else:
            await self._say(row, hosts.away(row, since))

    # ------------------------------------------------------------ running

    async def _take_in(self) -> None:
        """Copy what the runs said since into the stream."""
        rows = self._said.some(self.tracked.begun)
        news = [(row, found) for row in rows if (found := self._read(row)) is not None]
        if news:
            await self.moves.take_in(news)
            failpoint("supervisor.took_in")
        if self.moves.moved:
            await self._refresh()

    def _read(self, row: Row) -> Found | None:
        """What a run has said since, if anything; asked of the file's size first, since most say nothing."""
        try:
            if os.lstat(f"{self.settings.home}/jobs/{row.id}/events.jsonl").st_size <= row.offset:
                return None
            found = read_events(self.moves.folder(row).events, row.offset)
        except OSError:
            return None  # nothing new for now; at the run's end its reason is told, see Moves.take_in_all
        return found if found.end > row.offset else None

    async def _observe(self) -> None:
        """Ask each target once about its jobs, and believe the folders about how they ended."""
        rows = [row for row in self._judged.some(self.tracked.begun) if row.native_id and not self.elsewhere.holds(row)]
        for name in {row.target for row in rows}:
            mine = [row for row in rows if row.target == name]
            try:
                seen = await self.moves.target(mine[0]).states([row.native_id for row in mine])
            except Exception as error:
                self.moves.complain(f"{name} does not say how its jobs are: {error}")
                continue
            for row in mine:
                await self._step(row, partial(self._judge, seen=seen[row.native_id]))
        if not self.tracked.heeded:
            self._told.clear()

    async def _judge(self, row: Row, seen: Seen) -> None:
        """Decide from what the target saw, and then from what the folder says, where the job stands."""
        folder, task = self.moves.folder(row), self.tracked.files[row.id].spec.task
        with contextlib.suppress(OSError):  # tried again at the next look
            folder.cap_log()
        if row.state == JobState.QUEUED and folder.claimed(row.attempt):  # a short one may have ended since, too
            row = await self.moves.change(row, state=JobState.RUNNING, started=row.started or time.time(), reason=None)
        elif row.reason and row.reason.startswith(hosts.at(row.host)):
            row = await self.moves.change(row, reason=None)
        result, ending = folder.result(), folder.ending(row.attempt)
        if result is not None:
            await self.endings.finish(row, result)
        elif ending is not None:
            await self.endings.close(row, task, ending)
        elif seen.exit_code == TAKEN:  # another copy of this attempt is at work: look it up
            await self.moves.change(row, native_id=None)
        elif seen.state.final:
            await self.endings.vanished(row, task, seen)
