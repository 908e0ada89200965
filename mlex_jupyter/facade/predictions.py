"""Predictions: what they found, what to label next, and a first look at what a network makes of a slice."""

from __future__ import annotations

from functools import partial

from pydantic import ValidationError

from mlex_jupyter.errors import Conflict, Invalid, MlexError, NotFound
from mlex_jupyter.facade.jobs import JobVerbs
from mlex_jupyter.facade.zoo import ZooVerbs
from mlex_jupyter.types import Job, PredictTask, Resources, Segmented, SliceFound, Tried, checked, new_id
from mlex_jupyter.verbs import verb

MOST_SHARDS = 1000


class PredictionVerbs(ZooVerbs, JobVerbs):
    """What can be done with predictions."""

    @verb(flags={"name": "o"})
    async def predict(
        self,
        model: str,
        *,
        data: str | tuple[str, ...],
        version: int | None = None,
        slices: str | None = None,
        probabilities: bool = False,
        trial: bool = False,
        shards: int = 1,
        name: str | None = None,
        target: str = "local",
        resources: Resources = Resources(),
        after: tuple[str, ...] = (),
        experiment: str | None = None,
        key: str | None = None,
        wait: bool = False,
    ) -> Job | list[Job]:
        """Segment datasets, or some of their slices, with a finished run or a published model: a job for each."""
        volumes = (data,) if isinstance(data, str) else tuple(dict.fromkeys(data))
        about = {"model": model, "version": version, "slices": slices, "probabilities": probabilities, "trial": trial}
        if len(volumes) == 1:
            task = checked(PredictTask, data=volumes[0], **about)
            return await self._ask_all(task, shards, name, target, resources, after, experiment, key, wait)
        if not volumes or key is not None:
            what = "no dataset is named" if not volumes else "a key stands for one job, and these are several"
            raise Invalid(f"Nothing is asked for: {what}.", hint="`mlex data` lists datasets.")
        jobs: list[Job] = []
        try:
            for one in volumes:
                task = checked(PredictTask, data=one, **about)
                named = f"{name[:60]}-{one}"[:100] if name else None
                group = experiment or name
                jobs.append(await self._ask_all(task, shards, named, target, resources, after, group, None, wait=False))
        except MlexError:
            for job in jobs:  # all of them or none
                for asked in (*(part for part in job.spec.after if part not in after), job.id):
                    await self.cancel(asked)
            raise
        return [await self.wait(job.id) for job in jobs] if wait else jobs

    async def _ask_all(
        self,
        task: PredictTask,
        shards: int,
        name: str | None,
        target: str,
        resources: Resources,
        after: tuple[str, ...],
        experiment: str | None,
        key: str | None,
        wait: bool,
    ) -> Job:
        """The job that makes a prediction, with those that share its slices before it."""
        if shards != 1:
            shared = checked(PredictTask, **task.model_dump() | {"shared": new_id("seg")})
            after = await self._ask_parts(shared, shards, name, target, resources, after, experiment, key)
            task = shared
        return await self._ask(task, name, target, resources, after, experiment, key, wait)

    async def _ask_parts(
        self,
        task: PredictTask,
        shards: int,
        name: str | None,
        target: str,
        resources: Resources,
        after: tuple[str, ...],
        experiment: str | None,
        key: str | None,
    ) -> tuple[str, ...]:
        """The jobs that compute a prediction together, for the one that comes after them all."""
        if not 1 <= shards <= MOST_SHARDS:
            raise Invalid(f"shards={shards}: ask for 1 to {MOST_SHARDS}.")
        if key is not None:
            raise Invalid("A key stands for one job, and shards are several.", hint="Leave one of them out.")
        asked = []
        for number in range(1, shards + 1):
            part = checked(PredictTask, **task.model_dump() | {"part": f"{number}/{shards}"})
            named = f"{name[:90]}-{number}" if name else None
            asked.append(await self._ask(part, named, target, resources, after, experiment, None, wait=False))
        return tuple(job.id for job in asked)

    @verb("GET", "/jobs/{run}/segmented")
    async def segmented(self, run: str) -> Segmented:
        """Show what a prediction found: how much of each class, in how many objects, and how sure it is."""
        job = await self.job_list.get(run)
        if job.spec.task.kind != "predict":
            raise Invalid(f"{job.name} is not a prediction.", hint="`mlex jobs --task predict` lists those.")
        if job.state != "done":
            raise Conflict(f"{job.name} is {job.state.value}: its table is not made yet.", hint=f"mlex why {job.name}")
        try:
            return Segmented.model_validate_json((self.job_list.folder(job.id).path / "segmented.json").read_bytes())
        except (FileNotFoundError, ValidationError):
            raise NotFound(f"The table of {job.name} is not in its folder.", hint="Predict again.") from None

    @verb("GET", "/jobs/{run}/suggestions")
    async def suggest(self, run: str, *, count: int = 5) -> list[SliceFound]:
        """Name the slices that are worth labelling next: a prediction is not sure of them, and they are apart."""
        from mlex_jupyter.learn.prediction.suggesting import suggested

        if count < 1:
            raise Invalid(f"count={count}: ask for at least one.")
        found = await self.segmented(run)
        file = await self.job_list.file((await self.job_list.get(run)).id)
        labelled = await self._labelled(file.data.id) if file.data else set()
        return suggested(found.slices, labelled, count)

    async def _labelled(self, data: str) -> set[int]:
        """The slices that somebody has painted, saved or not."""
        from mlex_jupyter.labels import drafts, views

        found: set[int] = set()
        for labels in await self.label_sets.list(data):
            draft = await self.label_sets.working(data, labels.name)
            counts = await self.store.read(partial(drafts.counts_of, labels=draft.labels))
            balance = views.balance_of(counts, draft.classes, draft.shape)
            found |= {one.z for one in balance if any(one.counts.values())} | set(labels.slices)
        return found

    @verb()
    async def try_(
        self,
        model: str,
        *,
        data: str,
        version: int | None = None,
        slice: int | None = None,
        target: str = "local",
        resources: Resources = Resources(),
    ) -> Tried:
        """See what a model makes of one slice of your data: first whether it suits, then a picture of what it finds."""
        fit = await self.fits(model, data=data, version=version)
        if bad := next((check for check in fit.checks if check.level == "problem"), None):
            raise Invalid(bad.says, hint=bad.mend)
        which = "middle" if slice is None else str(slice)
        task = checked(PredictTask, model=model, data=data, version=version, slices=which, trial=True)
        job = await self._ask(task, None, target, resources, (), None, None, wait=True)
        found = await self.segmented(job.id)
        picture = f"jobs/{job.id}/picture.png"
        (seen,) = found.slices
        about = {"z": seen.z, "uncertainty": seen.uncertainty, "classes": found.classes, "picture": picture}
        return checked(Tried, fit=fit, run=job.name, **about)
