"""Tunings: searches for the parameters with which a network learns best."""

from __future__ import annotations

from mlex_jupyter.errors import JobEnded
from mlex_jupyter.facade.parts import Parts
from mlex_jupyter.types import Leaderboard, Params, Resources, TrainTask, Tuning, TuningSpec, checked
from mlex_jupyter.types.tunings import Pruner, Sampler
from mlex_jupyter.verbs import verb


class TuningVerbs(Parts):
    """What can be done with tunings."""

    @verb("POST", "/tunings", status=201, body="spec", shell=False)
    async def submit_tuning(self, spec: TuningSpec) -> Tuning:
        """Ask for a tuning; when this returns, it is not lost any more."""
        tuning = await self.tuning_list.ask(spec, self.settings.user)
        self.keep_moving()
        return tuning

    @verb(flags={"params": "p", "name": "o"})
    async def tune(
        self,
        model: str,
        *,
        data: str,
        labels: str,
        vary: dict[str, str] = {},
        trials: int = 20,
        at_once: int = 1,
        params: Params = {},
        preset: str | None = None,
        start: str | None = None,
        sampler: Sampler = "tpe",
        pruner: Pruner = "median",
        metric: str = "dice",
        search_seed: int = 0,
        name: str | None = None,
        target: str = "local",
        resources: Resources = Resources(),
        key: str | None = None,
        wait: bool = False,
    ) -> Leaderboard:
        """Search for the parameters that train best: `--vary depth=2:5 --vary learning_rate=0.01:0.2:log`."""
        task = checked(TrainTask, model=model, data=data, labels=labels, params=params, preset=preset, start=start)
        how = {"sampler": sampler, "pruner": pruner, "metric": metric, "seed": search_seed}
        where = {"name": name, "target": target, "resources": resources, "key": key}
        spec = checked(TuningSpec, task=task, vary=vary, trials=trials, at_once=at_once, **how, **where)
        tuning = await self.submit_tuning(spec)
        return await self.leaderboard(tuning.name, wait=wait)

    @verb("GET", "/tunings")
    async def tunings(self, *, limit: int = 50) -> list[Tuning]:
        """List the tunings, the newest first, with how many trials each has and which is the best."""
        return await self.tuning_list.all(limit)

    @verb("GET", "/tunings/{name}", shell=False)
    async def tuning(self, name: str) -> Leaderboard:
        """Show the trials of a tuning, the best first."""
        return await self.tuning_list.board(name)

    @verb()
    async def leaderboard(self, name: str, *, wait: bool = False) -> Leaderboard:
        """Show the trials of a tuning, the best first, and how to publish it; with --wait, live until all are done."""
        board = await self.tuning(name)
        while wait and board.tuning.state == "running":
            await self.changed(within_s=1)
            board = await self.tuning(board.tuning.id)
        if wait and board.tuning.state == "failed":
            raise JobEnded(f"{board.tuning.name} failed: {board.tuning.message}", hint=f"mlex leaderboard {name}")
        return board

    @verb("POST", "/tunings/{name}/cancel")
    async def tune_cancel(self, name: str) -> Tuning:
        """Begin no more trials of a tuning, and cancel those that run; their checkpoints are kept."""
        tuning = await self.tuning_list.cancel(name)
        self.keep_moving()
        return tuning

    @verb("POST", "/tunings/{name}/resume")
    async def tune_resume(self, name: str, *, trials: int | None = None) -> Tuning:
        """Go on with a tuning that was cancelled or has failed, or with more trials of one that is done."""
        tuning = await self.tuning_list.resume(name, trials)
        self.keep_moving()
        return tuning
