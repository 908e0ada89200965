"""How an attempt ends: published, failed and perhaps tried again, vanished and perhaps gone on with, or cancelled."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from sqlalchemy import Connection, select

from mlex_jupyter.catalog import Catalog
from mlex_jupyter.catalog.lineage import link
from mlex_jupyter.errors import TargetError
from mlex_jupyter.failpoints import failpoint
from mlex_jupyter.jobs.moves import Moves, set_job, stands
from mlex_jupyter.store.tables import Row, jobs
from mlex_jupyter.targets import Seen
from mlex_jupyter.types import Ending, JobState, Output, Result, Task

FULL = 74  # the exit code of a run that had no room to write how it ended
LONGEST_PAUSE_S = 3600.0


class Endings:
    """The ends of attempts, for the supervisor that reigns."""

    def __init__(self, moves: Moves, catalog: Catalog) -> None:
        self.moves = moves
        self.catalog = catalog

    async def finish(self, row: Row, result: Result) -> None:
        """Publish the result: state, outputs and the new dataset in one transaction, so never twice and never half."""
        await self.moves.take_in_all(row)
        failpoint("supervisor.before_finish")

        def finish(tx: Connection) -> Row:
            if not stands(tx, row):
                return set_job(tx, row)
            outputs = [output for output in result.outputs if output.kind != "dataset"]
            for volume in result.made:
                made = self.catalog.insert(tx, volume, unique_name=False)
                link(tx, made.id, {row.id: ""})
                outputs.append(Output(kind="dataset", name=made.name, ref=made.id, derived_from=made.derived_from))
            known = tx.execute(select(jobs.c.metrics).where(jobs.c.id == row.id)).scalar_one()
            ended = {"ended": time.time(), "exit_code": 0, "reason": None, "message": None, "hint": None}
            left = [output.model_dump(mode="json") for output in outputs]
            found = {"outputs": left, "metrics": {**known, **result.metrics}}
            return set_job(tx, row, state=JobState.DONE, **ended, **found)

        self._closed(await self.moves.reign.write(finish))
        failpoint("supervisor.after_finish")

    async def close(self, row: Row, task: Task, ending: Ending) -> None:
        """The run said how it ended."""
        if ending.state == JobState.FAILED and await self._try_again(row, task, ending):
            return
        if ending.state != JobState.CANCELLED:
            await self.end(row, ending.state, message=ending.message, hint=ending.hint, exit_code=ending.exit_code)
        else:
            seen = Seen(state=JobState.LOST, reason=ending.message, exit_code=ending.exit_code)
            await self.vanished(row, task, seen)

    async def _try_again(self, row: Row, task: Task, ending: Ending) -> bool:
        """Whether a failure is to be tried again: as often as was asked for, after a pause that doubles."""
        if task.kind != "run" or row.failures >= task.retry_failed or row.cancel >= row.attempt:
            return False
        pause = min(self.moves.settings.retry_pause_s * 2**row.failures, LONGEST_PAUSE_S)
        await self.moves.take_in_all(row)
        self._closed(
            await self.moves.change(
                row,
                state=JobState.WAITING,
                asked=row.attempt + 1,
                failures=row.failures + 1,
                not_before=time.time() + pause,
                blocked=1,
                native_id=None,
                exit_code=ending.exit_code,
                reason=f"attempt {row.attempt} failed: {ending.message.rstrip('.')}; trying again after {pause:g} s",
            )
        )
        return True

    async def vanished(self, row: Row, task: Task, seen: Seen) -> None:
        """Gone without a result: because somebody asked; else go on from the checkpoint, but not for ever."""
        retries = task.retries if task.kind == "run" else self.moves.settings.retries
        reason = "the disk is full" if seen.exit_code == FULL else seen.reason or "it ended without a word"
        reason = reason.rstrip(".")

        def decide(tx: Connection) -> Row:
            wish = tx.execute(select(jobs.c.cancel, jobs.c.cancel_reason).where(jobs.c.id == row.id)).one()
            ended = {"ended": time.time(), "exit_code": seen.exit_code}
            if wish.cancel >= row.attempt:
                return set_job(tx, row, state=JobState.CANCELLED, reason=wish.cancel_reason or reason, **ended)
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
            await self.moves.target(row).cancel(row.native_id, force=True)
        await self.moves.take_in_all(row)
        self._closed(await self.moves.reign.write(decide))

    async def end(self, row: Row, state: JobState, **values: Any) -> None:
        """It has ended so."""
        await self.moves.take_in_all(row)
        self._closed(await self.moves.change(row, state=state, ended=time.time(), **{"reason": None, **values}))

    async def end_unreadable(self, row: Row) -> None:
        """Nobody can say what it was to do."""
        message, hint = "What it was to do cannot be read any more.", "mlex doctor --repair, or ask for it again."
        ended = {"ended": time.time(), "message": message, "hint": hint, "reason": None}
        self._closed(await self.moves.change(row, state=JobState.FAILED, **ended))

    def _closed(self, row: Row) -> None:
        """Nothing more will come from this attempt."""
        self.moves.note(row)
        if row.native_id is not None:
            with contextlib.suppress(TargetError):
                self.moves.target(row).forget(row.native_id)
