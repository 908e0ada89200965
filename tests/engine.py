"""The engine's parts over one home, moved by hand: what the supervisor does, a look at a time, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from mlex_jupyter.app import Mlex
from mlex_jupyter.jobs.lifecycle import Lifecycle
from mlex_jupyter.jobs.reign import Reign
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import next_epoch
from mlex_jupyter.targets import Targets
from mlex_jupyter.types import Job, JobSpec, JobState, Resources, RunTask

PATIENCE_S = 120
PRINT_AND_GO = ("/bin/sh", "-c", "echo hello")


def spec(*argv: str, retries: int = 0, cpus: int = 1, gpus: int = 0, **more: Any) -> JobSpec:
    """A job that runs a command; a shell's line runs in the job folder, where a test looks for what it did."""
    if argv[:2] == ("/bin/sh", "-c"):
        argv = (*argv[:2], f'cd "$MLEX_JOB_FOLDER"; {argv[2]}', *argv[3:])
    task = RunTask(argv=argv or PRINT_AND_GO, retries=retries)
    return JobSpec(task=task, resources=Resources(cpus=cpus, gpus=gpus), **more)


class Hand:
    """Moves the jobs of a home as its supervisor would, and only when told."""

    def __init__(self, mlex: Mlex) -> None:
        self.mlex = mlex
        self.settings = mlex.settings
        self.store = mlex.store
        self.jobs = mlex.job_list
        self.targets = Targets(mlex.settings)
        self.life = self.reign()

    def reign(self) -> Lifecycle:
        """A new supervisor's lifecycle: from now on every earlier one is superseded."""
        epoch = self.store.write_now(next_epoch)
        self.life = Lifecycle(Reign(self.store, epoch), self.settings, self.targets, self.mlex.catalog)
        return self.life

    async def submit(self, asked: JobSpec) -> Job:
        return await self.jobs.submit(asked, self.settings.user)

    async def until(self, done: Callable[[], Awaitable[bool]], *, within_s: float = PATIENCE_S) -> None:
        """Look until it is so."""
        deadline = time.monotonic() + within_s
        while not await done():
            if time.monotonic() > deadline:
                raise AssertionError(f"Not within {within_s} s: {await self.jobs.list()}")
            await self.life.look()
            await asyncio.sleep(0.01)

    async def until_state(self, job: Job | str, *states: JobState) -> Job:
        """Look until the job is in one of these states."""
        run = job if isinstance(job, str) else job.id

        async def there() -> bool:
            return (await self.jobs.get(run)).state in states

        await self.until(there)
        return await self.jobs.get(run)

    async def until_ended(self, job: Job | str) -> Job:
        return await self.until_state(job, *(state for state in JobState if state.final))

    async def said(self, job: Job, kind: str = "state") -> list[dict[str, Any]]:
        """The values of a job's events of one kind."""
        return [dict(event.values) for event in await self.mlex.event_stream.after(0, subject=job.id, kind=kind)]


async def until(done: Callable[[], bool], *, within_s: float = PATIENCE_S) -> None:
    """Wait until it is so, whoever brings it about."""
    deadline = time.monotonic() + within_s
    while not done():
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {within_s} s.")
        await asyncio.sleep(0.01)


def python(program: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Another Python process with this program."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)], **(pipes | options))


def answer(process: subprocess.Popen[str]) -> Any:
    """What that process printed last, as JSON."""
    out, err = process.communicate(timeout=PATIENCE_S)
    if process.returncode:
        raise AssertionError(f"ended with {process.returncode}:\n{out}{err}")
    return json.loads(out.splitlines()[-1])


def settings_of(home: Path, **more: Any) -> Settings:
    """A home's settings for quick tests."""
    return Settings.load(**{"home": home, "user": "tester", "local_cpus": 4, "local_gpus": 0, "idle_s": 5, **more})


@contextlib.contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[Path]:
    """A disk of its own of so many megabytes. The test needs("mount")."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Write until no byte has room; the file that took it all."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 16, 4096):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)
    return filler
