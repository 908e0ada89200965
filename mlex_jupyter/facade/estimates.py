"""Estimates: what a training would need, before it starts."""

from __future__ import annotations

from mlex_jupyter.facade.jobs import JobVerbs
from mlex_jupyter.facade.zoo import ZooVerbs
from mlex_jupyter.telling import tell
from mlex_jupyter.types import Estimate, EstimateTask, JobSpec, Measurement, Params, Resources, checked
from mlex_jupyter.verbs import verb


class EstimateVerbs(ZooVerbs, JobVerbs):
    """What can be known of a training without doing it."""

    @verb(flags={"params": "p"})
    async def estimate(
        self,
        model: str,
        *,
        data: str,
        labels: str,
        params: Params = {},
        preset: str | None = None,
        start: str | None = None,
        target: str = "local",
        resources: Resources = Resources(),
    ) -> Estimate:
        """Measure a few steps of a training where it would run: its time, its memory, the largest batch and patch."""
        task = checked(EstimateTask, model=model, data=data, labels=labels, params=params, preset=preset, start=start)
        job = await self.submit(checked(JobSpec, task=task, target=target, resources=resources))
        while not job.state.final:
            far = job.progress
            tell(f"measuring · step {far.done} of {far.total}" if far else job.reason or f"{job.name} begins")
            await self.changed(within_s=1)
            job = await self.job(job.id)
        job = await self.wait(job.id)  # a failure is an error
        measured = Measurement.model_validate(await self.returned(job.id))
        assert isinstance(job.spec.task, EstimateTask)
        fits = await self.fits(model, data=data, labels=labels, params=job.spec.task.params, resources=resources)
        about = {"model": model, "data": job.spec.task.data, "target": target, "run": job.name}
        return Estimate(**about, measurement=measured, checks=fits.checks)
