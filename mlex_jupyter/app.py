"""Mlex, the façade: everything that a person can do, as one table of typed methods.

REST, the OpenAPI document, the TypeScript types, the command line, the magics and the plain functions of
`import mlex_jupyter` are derived from the decorators below, so they cannot disagree. A method checks, calls one
of the parts underneath, and says clearly what is wrong.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from functools import cached_property
from typing import TYPE_CHECKING

from mlex_jupyter import __version__
from mlex_jupyter.errors import JobEnded, Unavailable
from mlex_jupyter.failpoints import failpoint
from mlex_jupyter.types import (
    Architecture,
    Check,
    ClassInfo,
    Dataset,
    Event,
    Hello,
    Job,
    JobSpec,
    JobState,
    LabelSet,
    LogChunk,
    Model,
    Params,
    PredictTask,
    Resources,
    RunTask,
    TargetInfo,
    TrainTask,
    Why,
    ZooEntry,
    checked,
)
from mlex_jupyter.verbs import verb

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from mlex_jupyter.catalog import Catalog
    from mlex_jupyter.events import Events
    from mlex_jupyter.jobs import Jobs
    from mlex_jupyter.labels import Labels
    from mlex_jupyter.settings import Settings
    from mlex_jupyter.store import Store
    from mlex_jupyter.targets import Targets
    from mlex_jupyter.zoo import Zoo


class Mlex:
    """The engine of one home, for one actor."""

    def __init__(self, settings: Settings | None = None) -> None:
        from mlex_jupyter.settings import Settings

        self.settings = settings or Settings.load()

    # ------------------------------------------------------------ the parts (made when first asked for)

    @cached_property
    def store(self) -> Store:
        """The database of this home."""
        from mlex_jupyter.store import Store

        return Store.open(self.settings)

    @cached_property
    def event_stream(self) -> Events:
        """What happened."""
        from mlex_jupyter.events import Events

        return Events(self.store)

    @cached_property
    def catalog(self) -> Catalog:
        """The datasets."""
        from mlex_jupyter.catalog import Catalog

        return Catalog(self.store, self.settings)

    @cached_property
    def label_sets(self) -> Labels:
        """The label sets."""
        from mlex_jupyter.labels import Labels

        return Labels(self.store, self.settings, self.catalog)

    @cached_property
    def zoo(self) -> Zoo:
        """Architectures and published models."""
        from mlex_jupyter.zoo import Zoo

        return Zoo(self.store, self.settings)

    @cached_property
    def job_list(self) -> Jobs:
        """The jobs."""
        from mlex_jupyter.jobs import Jobs

        return Jobs(self.store, self.settings, self.catalog, self.label_sets, self.zoo, self.all_targets)

    @cached_property
    def all_targets(self) -> Targets:
        """The places where jobs run."""
        from mlex_jupyter.targets import Targets

        return Targets(self.settings)

    def keep_moving(self) -> None:
        """See to it that a supervisor is there. What was acknowledged stays so if none can be started just now."""
        from mlex_jupyter.lease import ensure_supervisor

        try:
            ensure_supervisor(self.settings)
        except OSError as error:
            log.warning("No supervisor could be started, and jobs wait until one can: %s", error)

    def close(self) -> None:
        """Let go of files and threads."""
        if "store" in self.__dict__:
            self.store.close()

    # ------------------------------------------------------------ data

    @verb("POST", "/sample", status=201)
    async def sample(
        self, *, name: str = "sand-tomo", size: int = 256, slices: int = 64, seed: int = 7, texture: str = "sand"
    ) -> Dataset:
        """Make a synthetic tomogram with ground truth, and scribbles on 3 slices."""
        from mlex_jupyter.samples import add_sample

        return await add_sample(
            self.catalog, self.label_sets, name=name, size=size, slices=slices, seed=seed, texture=texture
        )

    @verb("POST", "/datasets", status=201)
    async def register(
        self,
        path: str,
        *,
        name: str | None = None,
        axes: str | None = None,
        pixel_size: float | None = None,
        pixel_unit: str | None = None,
        tags: tuple[str, ...] = (),
    ) -> Dataset:
        """Register a volume (zarr, NumPy or TIFF) under a name, where it lies."""
        return await self.catalog.register(
            path, name=name, axes=axes, pixel_size=pixel_size, pixel_unit=pixel_unit, tags=tags
        )

    @verb("GET", "/datasets")
    async def data(self, query: str = "*") -> list[Dataset]:
        """List the datasets whose name or tag matches."""
        return await self.catalog.search(query)

    @verb("GET", "/datasets/{name}")
    async def dataset(self, name: str) -> Dataset:
        """Show one dataset."""
        return await self.catalog.get(name)

    @verb("GET", "/datasets/{data}/labels")
    async def labels(self, data: str) -> list[LabelSet]:
        """List the label sets of a dataset, newest version of each."""
        return await self.label_sets.list(data)

    @verb("POST", "/datasets/{data}/labels", status=201)
    async def import_labels(
        self, data: str, path: str, *, name: str = "labels", classes: tuple[ClassInfo, ...] = ()
    ) -> LabelSet:
        """Take labels from a file (0 is unlabelled) as a new version of a label set."""
        return await self.label_sets.import_file(data, path, name, classes)

    # ------------------------------------------------------------ the zoo

    @verb("GET", "/models")
    async def models(self, query: str = "*", *, task: str | None = None) -> list[ZooEntry]:
        """Search the zoo: published models, and architectures that train from zero."""
        return await self.zoo.search(query, task)

    @verb("GET", "/models/{name}")
    async def model(self, name: str, *, version: int | None = None) -> Model:
        """Show one published model."""
        return await self.zoo.model(name, version)

    @verb("GET", "/architectures")
    async def architectures(self) -> list[Architecture]:
        """List the architectures with the form of their parameters."""
        return await self.zoo.architectures()

    @verb("GET", "/architectures/{name}")
    async def architecture(self, name: str) -> Architecture:
        """Show one architecture with the form of its parameters."""
        return await self.zoo.architecture(name)

    @verb("POST", "/models", status=201)
    async def publish(
        self,
        run: str,
        name: str,
        *,
        title: str = "",
        tags: tuple[str, ...] = (),
        license: str | None = None,
        citation: str | None = None,
    ) -> Model:
        """Publish a finished training in the zoo; the same run and name again is the same version."""
        job = await self.job_list.get(run)
        trained, file = self.job_list.trained(job), await self.job_list.file(job.id)
        card = {"name": name, "title": title, "tags": tags, "license": license, "citation": citation}
        return await self.zoo.publish(job, trained, file, owner=self.settings.user, **card)

    # ------------------------------------------------------------ jobs

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
        name: str | None = None,
        target: str = "local",
        resources: Resources = Resources(),
        after: tuple[str, ...] = (),
        key: str | None = None,
        wait: bool = False,
    ) -> Job:
        """Train an architecture on the labelled pixels of a dataset."""
        task = checked(TrainTask, model=model, data=data, labels=labels, params=params)
        return await self._ask(task, name, target, resources, after, key, wait)

    @verb(flags={"name": "o"})
    async def predict(
        self,
        model: str,
        *,
        data: str,
        version: int | None = None,
        name: str | None = None,
        target: str = "local",
        resources: Resources = Resources(),
        after: tuple[str, ...] = (),
        key: str | None = None,
        wait: bool = False,
    ) -> Job:
        """Segment a whole dataset with a finished run or a published model."""
        task = checked(PredictTask, model=model, version=version, data=data)
        return await self._ask(task, name, target, resources, after, key, wait)

    @verb(flags={"name": "o"})
    async def run(
        self,
        argv: tuple[str, ...],
        *,
        name: str | None = None,
        target: str = "local",
        resources: Resources = Resources(),
        after: tuple[str, ...] = (),
        key: str | None = None,
        folder: str | None = None,
        retries: int = 0,
        wait: bool = False,
    ) -> Job:
        """Run a command of your own as a job, where you are: `mlex run -- python script.py`."""
        task = checked(RunTask, argv=argv, folder=folder or os.getcwd(), retries=retries)
        return await self._ask(task, name, target, resources, after, key, wait)

    async def _ask(
        self,
        task: TrainTask | PredictTask | RunTask,
        name: str | None,
        target: str,
        resources: Resources,
        after: tuple[str, ...],
        key: str | None,
        wait: bool,
    ) -> Job:
        spec = checked(JobSpec, name=name, task=task, target=target, resources=resources, after=after, key=key)
        job = await self.submit(spec)
        return await self.wait(job.id) if wait else job

    @verb("GET", "/jobs")
    async def jobs(self, *, state: JobState | None = None, limit: int = 50) -> list[Job]:
        """List jobs, the newest first."""
        return await self.job_list.list(state, limit)

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
            self.keep_moving()
            await self.store.changed(within_s=1)
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

    # ------------------------------------------------------------ the system

    @verb("GET", "/events", shell=False)
    async def events(
        self, *, after: int = 0, subject: str | None = None, kind: str | None = None, limit: int = 10_000
    ) -> list[Event]:
        """What happened after an id, oldest first."""
        return await self.event_stream.after(after, subject=subject, kind=kind, limit=limit)

    @verb("GET", "/targets")
    async def targets(self) -> list[TargetInfo]:
        """List the places where jobs run, and what is free there."""
        return [await self.all_targets.get(name).info() for name in self.all_targets.names()]

    @verb("GET", "/hello", shell=False)
    async def hello(self) -> Hello:
        """Who answers here, and the newest event's id."""
        return Hello(
            version=__version__,
            home=str(self.settings.home),
            user=self.settings.user,
            last_event=await self.event_stream.last_id(),
        )

    @verb("GET", "/doctor")
    async def doctor(self) -> list[Check]:
        """Say what works on this machine, and how to mend what does not."""
        from mlex_jupyter.doctor import checks

        return await checks(self.settings)
