"""Jobs: train, predict, run; watch and steer what runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

from pydantic import JsonValue

from mlex_jupyter.capture import code_of_script
from mlex_jupyter.errors import JobEnded, Unavailable
from mlex_jupyter.facade.parts import Parts
from mlex_jupyter.failpoints import failpoint
from mlex_jupyter.jobs.search import Sought
from mlex_jupyter.types import (
    Code,
    Job,
    JobCounts,
    JobSpec,
    JobState,
    LogChunk,
    Params,
    PretrainTask,
    Resources,
    RunTask,
    Task,
    Time,
    TrainTask,
    Why,
    checked,
)
from mlex_jupyter.verbs import verb


class JobVerbs(Parts):
    """What can be done with jobs."""

    @verb("POST", "/jobs", status=201, body="spec", shell=False)
    async def submit(self, spec: JobSpec) -> Job:
        """Ask for a job; when this returns, it is not lost any more."""
        job = await self.job_list.submit(spec, self.settings.user)
        failpoint("server.acknowledging")
        self.keep_moving()
        return job

    @verb(flags={"params": "p", "name": "o"})
    async def train(
        self,
        model: str,
        *,
        data: str,
        labels: str,
        params: Params = {},
        preset: str | None = None,
        start: str | None = None,
        name: str | None = None,
        target: str = "local",
        resources: Resources = Resources(),
        after: tuple[str, ...] = (),
        experiment: str | None = None,
        key: str | None = None,
        wait: bool = False,
    ) -> Job:
        """Train an architecture on the labelled pixels of a dataset, from zero or from what a model has learned."""
        about = {"params": params, "preset": preset, "start": start}
        task = checked(TrainTask, model=model, data=data, labels=labels, **about)
        return await self._ask(task, name, target, resources, after, experiment, key, wait)

    @verb(flags={"params": "p", "name": "o"})
    async def pretrain(
        self,
        model: str,
        *,
        data: str,
        params: Params = {},
        preset: str | None = None,
        start: str | None = None,
        name: str | None = None,
        target: str = "local",
        resources: Resources = Resources(),
        after: tuple[str, ...] = (),
        experiment: str | None = None,
        key: str | None = None,
        wait: bool = False,
    ) -> Job:
        """Let the encoder of a U-Net learn from a dataset without labels; `train --start` then begins with it."""
        task = checked(PretrainTask, model=model, data=data, params=params, preset=preset, start=start)
        return await self._ask(task, name, target, resources, after, experiment, key, wait)

    @verb(flags={"name": "o"})
    async def run(
        self,
        argv: tuple[str, ...],
        *,
        name: str | None = None,
        target: str = "local",
        resources: Resources = Resources(),
        after: tuple[str, ...] = (),
        experiment: str | None = None,
        key: str | None = None,
        folder: str | None = None,
        retries: int = 0,
        retry_failed: int = 0,
        wait: bool = False,
    ) -> Job:
        """Run a copy of a script, `mlex run my.py --flag 3`, or a command where you are, `mlex run -- python my.py`."""
        often = {"retries": retries, "retry_failed": retry_failed}
        if argv and argv[0].endswith(".py"):
            script = Path(argv[0]).expanduser()
            code = await asyncio.to_thread(code_of_script, script)
            task = checked(RunTask, argv=(script.name, *argv[1:]), code=code, folder=folder, **often)
        else:
            task = checked(RunTask, argv=argv, folder=folder or self.here(), **often)
        return await self._ask(task, name, target, resources, after, experiment, key, wait)

    @verb(shell=False)
    async def run_code(
        self,
        code: Code,
        arguments: Params = {},
        *,
        name: str | None = None,
        target: str = "local",
        resources: Resources = Resources(),
        after: tuple[str, ...] = (),
        experiment: str | None = None,
        key: str | None = None,
        folder: str | None = None,
        retries: int = 0,
        retry_failed: int = 0,
        wait: bool = False,
    ) -> Job:
        """Call a function of your own as a job: its source and its arguments travel with it."""
        often = {"retries": retries, "retry_failed": retry_failed}
        task = checked(RunTask, code=code, arguments=arguments, folder=folder, **often)
        return await self._ask(task, name, target, resources, after, experiment, key, wait)

    @verb("GET", "/jobs/{run}/returned")
    async def returned(self, run: str) -> JsonValue:
        """Print what a function that ran as a job returned."""
        return await self.job_list.returned(run)

    async def _ask(
        self,
        task: Task,
        name: str | None,
        target: str,
        resources: Resources,
        after: tuple[str, ...],
        experiment: str | None,
        key: str | None,
        wait: bool,
    ) -> Job:
        asked = {"name": name, "target": target, "resources": resources, "after": after, "key": key}
        spec = checked(JobSpec, task=task, experiment=experiment, **asked)
        job = await self.submit(spec)
        return await self.wait(job.id) if wait else job

    @verb("GET", "/jobs")
    async def jobs(
        self,
        name: str | None = None,
        *,
        state: JobState | None = None,
        task: str | None = None,
        model: str | None = None,
        data: str | None = None,
        owner: str | None = None,
        target: str | None = None,
        experiment: str | None = None,
        submitted_since: Time | None = None,
        submitted_until: Time | None = None,
        limit: int = 50,
        past: str | None = None,
    ) -> list[Job]:
        """List jobs, the newest first: all, or those whose name matches and that pass the filters."""
        sought = Sought(name, state, task, model, data, owner, target, experiment, submitted_since, submitted_until)
        return await self.job_list.list(sought, limit, past)

    @verb("GET", "/job-counts")
    async def job_counts(
        self,
        name: str | None = None,
        *,
        task: str | None = None,
        model: str | None = None,
        data: str | None = None,
        owner: str | None = None,
        target: str | None = None,
        experiment: str | None = None,
        submitted_since: Time | None = None,
        submitted_until: Time | None = None,
    ) -> JobCounts:
        """Count the jobs that match, by state."""
        sought = Sought(name, None, task, model, data, owner, target, experiment, submitted_since, submitted_until)
        return await self.job_list.counts(sought)

    @verb("GET", "/jobs/{run}")
    async def job(self, run: str) -> Job:
        """Show one job, by id or by its name."""
        return await self.job_list.get(run)

    @verb("GET", "/jobs/{run}/why")
    async def why(self, run: str) -> Why:
        """Say why a job waits, failed or was lost, and what to do."""
        return await self.job_list.why(run)

    @verb("POST", "/jobs/{run}/cancel")
    async def cancel(self, run: str) -> Job:
        """Cancel a job; its last checkpoint is kept."""
        job = await self.job_list.cancel(run)
        self.keep_moving()
        return job

    @verb("POST", "/jobs/{run}/resume")
    async def resume(self, run: str) -> Job:
        """Go on with a job that was cancelled, failed or lost, from its last checkpoint."""
        job = await self.job_list.resume(run)
        self.keep_moving()
        return job

    @verb()
    async def wait(self, run: str, *, timeout_s: float | None = None) -> Job:
        """Wait until a job has ended; a failure is an error."""
        begun = time.monotonic()
        job = await self.job(run)
        while not job.state.final:
            if timeout_s is not None and time.monotonic() - begun > timeout_s:
                raise Unavailable(f"{job.name} is still {job.state.value} after {timeout_s:g} s; it goes on.")
            await self.changed(within_s=1)
            job = await self.job(job.id)
        if job.state != JobState.DONE:
            raise JobEnded(
                f"{job.name} {job.state.value}: {job.message or job.reason}", hint=job.hint or f"mlex why {job.name}"
            )
        return job

    @verb("GET", "/jobs/{run}/log", shell=False)
    async def log(self, run: str, *, offset: int = 0) -> LogChunk:
        """Read a piece of a job's log; a negative offset counts from the end."""
        return await self.job_list.log(run, offset)

    @verb(flags={"follow": "f"})
    async def logs(self, run: str, *, follow: bool = False) -> AsyncIterator[str]:
        """Print a job's log; with -f, until the job has ended."""
        job = await self.job(run)
        offset = 0
        while True:
            chunk = await self.log(job.id, offset=offset)
            if chunk.text:
                yield chunk.text
            if chunk.final or not (follow or chunk.text):
                return
            offset = chunk.offset
            if not chunk.text:
                self.keep_moving()
                await asyncio.sleep(0.2)
