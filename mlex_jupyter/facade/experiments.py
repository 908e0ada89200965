"""Experiments: runs that belong together, and runs side by side."""

from __future__ import annotations

from mlex_jupyter.facade.parts import Parts
from mlex_jupyter.jobs.search import Sought
from mlex_jupyter.types import Comparison, Experiment
from mlex_jupyter.verbs import verb


class ExperimentVerbs(Parts):
    """What can be done with several runs."""

    @verb("GET", "/experiments")
    async def experiments(self, *, limit: int = 50) -> list[Experiment]:
        """List the experiments, with how many runs each has and which did best."""
        from mlex_jupyter.jobs.experiments import experiments

        return await self.store.read(lambda tx: experiments(tx, max(1, min(limit, 1000))))

    @verb("GET", "/compare")
    async def compare(self, runs: tuple[str, ...] = (), *, experiment: str | None = None) -> Comparison:
        """Show runs side by side: the parameters that differ, and their metrics, the best marked."""
        from mlex_jupyter.jobs.experiments import MOST, compare

        found = [await self.job_list.get(run) for run in runs]
        if experiment is not None:
            found += await self.job_list.list(Sought(experiment=experiment), limit=MOST)
        return compare(list({run.id: run for run in found}.values()))
