"""The promise of a place where jobs run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from mlex_jupyter.types import JobFile, JobState, Record, TargetInfo


class Seen(Record):
    """What a target knows of a job: the process or the scheduler's record, never the job folder."""

    state: JobState
    """QUEUED, RUNNING, or how it ended; LOST where the target remembers nothing."""
    reason: str | None = None
    exit_code: int | None = None


class Target(Protocol):
    """Starts commands somewhere. Keeps no state: the job folder is the truth."""

    name: str
    here: bool
    """Whether its jobs are processes of the host that asks, which no other host can see."""

    async def submit(self, job: JobFile, folder: str, command: Sequence[str]) -> str:
        """Start the command for this job's folder, and say under which native id."""

    async def find(self, job_id: str, attempt: int) -> str | None:
        """The native id of a submission whose answer was lost."""

    async def states(self, native_ids: Collection[str]) -> Mapping[str, Seen]:
        """All of them at once."""

    async def cancel(self, native_id: str, *, force: bool = False) -> None:
        """Ask a job to save and stop; with force, end it."""

    def forget(self, native_id: str) -> None:
        """The job has ended, and nobody will ask again."""

    def room(self, job: JobFile, others: Collection[JobFile]) -> str | None:
        """None when the job may be submitted beside the others; else why it waits here rather than there."""

    async def info(self) -> TargetInfo:
        """What there is, and how much of it is free."""
