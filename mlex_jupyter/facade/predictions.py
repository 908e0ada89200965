"""Predictions: what they found, what to label next, and a first look at what a network makes of a slice."""

from __future__ import annotations

from functools import partial

from pydantic import ValidationError

from mlex_jupyter.errors import Conflict, Invalid, NotFound
from mlex_jupyter.facade.jobs import JobVerbs
from mlex_jupyter.facade.zoo import ZooVerbs
from mlex_jupyter.types import Resources, Segmented, SliceFound, Tried, checked
from mlex_jupyter.verbs import verb


class PredictionVerbs(ZooVerbs, JobVerbs):
    """What can be done with predictions."""

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
        job = await self.predict(
            model, data=data, version=version, slices=which, trial=True, target=target, resources=resources, wait=True
        )
        found = await self.segmented(job.id)
        picture = f"jobs/{job.id}/picture.png"
        (seen,) = found.slices
        about = {"z": seen.z, "uncertainty": seen.uncertainty, "classes": found.classes, "picture": picture}
        return checked(Tried, fit=fit, run=job.name, **about)
