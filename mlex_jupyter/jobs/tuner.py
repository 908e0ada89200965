"""Tunings moved on by the supervisor: the next trial where there is room for one, no more of those that fall behind.

Nothing is kept here. What to do is worked out from what the database holds, each time anew, by a process of its own
(`learn.proposing`); a trial is one committed job, known by its key, and the end of one a wish like anybody's.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from mlex_jupyter.errors import MlexError, Unavailable
from mlex_jupyter.failpoints import failpoint
from mlex_jupyter.forms import complete_params
from mlex_jupyter.jobs.contenders import PRUNED, Found, contenders, key_of
from mlex_jupyter.jobs.experiments import better_of
from mlex_jupyter.jobs.proposer import Proposer
from mlex_jupyter.jobs.reign import Reign, Superseded
from mlex_jupyter.jobs.requests import wish_off
from mlex_jupyter.jobs.rows import insert_job
from mlex_jupyter.jobs.tunings import find, move, tuning_of, under_way
from mlex_jupyter.store.tables import Row, events, jobs, tunings
from mlex_jupyter.types import JobFile, JobState, Params, TrainTask, Tuning, Varied, new_id

LOOK_EVERY_S = 0.3
AGAIN_S = 10.0
"""How long a tuning stands aside of which nobody could say what to try next."""
HOPELESS = 3
"""Where so many trials failed, and none ended well, the next will not either."""

Curve = dict[int, float]


@dataclass(frozen=True)
class Plan:
    """What is to be done for a tuning now."""

    row: Row
    tuning: Tuning
    found: Sequence[Found]
    ask: Sequence[int]
    """The numbers of the trials for which there is room."""
    judged: Sequence[str]
    """The jobs that have done an epoch since somebody looked."""

    @property
    def ends(self) -> tuple[str, str | None] | None:
        """How the tuning stands from now on, where it is over."""
        stand = [one.stands for one in self.found]
        failed = [one for one in self.found if one.stands == "failed" and one.row.state != JobState.CANCELLED]
        if len(failed) >= HOPELESS and len(failed) == len(self.found) - stand.count("running"):
            said = failed[0].row.message or f"it came to no {self.tuning.spec.metric}"
            return "failed", f"Its first {len(failed)} trials failed; {failed[0].contender.run}: {said}"
        if len(self.found) == self.tuning.trials and "running" not in stand:
            return "done", None
        return None


class Tuner:
    """What the supervisor does about tunings."""

    def __init__(self, reign: Reign) -> None:
        self.reign = reign
        self.store = reign.store
        self.proposer = Proposer()
        self._version: int | None = None
        self._looked = 0.0
        self._step: asyncio.Task[bool] | None = None
        self._busy = False
        self._aside: dict[str, float] = {}
        self._curves: dict[str, tuple[int, Curve]] = {}
        self._epochs: dict[str, int] = {}

    async def look(self) -> bool:
        """Begin a step, or go on with it; True while any tuning is under way."""
        if self._step is not None:
            if not self._step.done():
                return True
            step, self._step = self._step, None
            self._busy = await step
        version, now = self.store.version(), time.monotonic()
        news = version != self._version or (self._busy and now - self._looked > AGAIN_S)
        if news and now - self._looked > LOOK_EVERY_S:
            self._version, self._looked = version, now
            self._busy = await self.store.read(under_way)
            if self._busy:
                self._step = asyncio.create_task(self._advance())
        return self._busy

    async def rest(self) -> None:
        """Nobody looks any more: end what was begun."""
        if self._step is not None:
            self._step.cancel()
            await asyncio.gather(self._step, return_exceptions=True)
        await self.proposer.end()

    async def _advance(self) -> bool:
        """Move every tuning one step on; True while any is under way."""
        for row in await self.store.read(_active):
            if self._aside.get(row.id, 0.0) < time.monotonic():
                await self._step_on(row)
        if not (busy := await self.store.read(under_way)):
            self._curves, self._epochs = {}, {}
            await self.proposer.end()
        return busy

    async def _step_on(self, row: Row) -> None:
        """Move one; what goes wrong with it is said of it, and holds up no other."""
        try:
            await self._move(row)
        except (Superseded, Unavailable):
            raise
        except Exception as error:
            self._aside[row.id] = time.monotonic() + AGAIN_S
            if not isinstance(error, MlexError):
                traceback.print_exception(error)
            said = error.message if isinstance(error, MlexError) else f"{type(error).__name__}: {error}."
            if (said := f"{said} It is tried again.") != row.message:
                await self.reign.write(lambda tx: move(tx, row, row.state, said))

    async def _move(self, row: Row) -> None:
        plan = await self.store.read(lambda tx: self._plan(tx, row))
        if plan.ends is not None:
            state, message = plan.ends
            await self.reign.write(lambda tx: _end(tx, row, state, message))
        elif plan.ask or plan.judged:
            await self._act(plan, await self.proposer.ask(_request(plan, self._curves)))
            self._epochs |= {job: _last(self._curves[job][1]) for job in plan.judged}

    async def _act(self, plan: Plan, said: dict[str, Any]) -> None:
        for number, params in said["next"].items():
            failpoint("tuner.before_ask")
            await self.reign.write(lambda tx: _ask(tx, plan.row.id, int(number), params))
            failpoint("tuner.after_ask")
        for number, why in said["prune"].items():
            job = next(one.row.id for one in plan.found if one.contender.number == int(number))
            await self.reign.write(lambda tx: _prune(tx, job, f"{PRUNED}{why}"))

    # ------------------------------------------------------------ what there is to do

    def _plan(self, tx: Connection, row: Row) -> Plan:
        tuning, found = tuning_of(row), contenders(tx, row)
        running = [one for one in found if not one.ended]
        there = {one.contender.number for one in found}
        missing = [number for number in range(1, tuning.trials + 1) if number not in there]
        if tuning.spec.pruner != "none":
            for one in found:
                self._follow(tx, one, tuning.spec.metric)
        judged = [one.row.id for one in running if self._is_news(one)]
        return Plan(row, tuning, found, missing[: max(0, tuning.spec.at_once - len(running))], judged)

    def _follow(self, tx: Connection, one: Found, metric: str) -> None:
        """Read what a trial has said of its epochs since."""
        seen, curve = self._curves.get(one.row.id, (0, {}))
        if one.ended and seen < 0:
            return  # all of it is known
        mine = events.c.subject == one.row.id, events.c.id > seen, events.c.kind == "epoch"
        for event in tx.execute(select(events).where(*mine).order_by(events.c.id)).all():
            said, seen = event._mapping["values"], event.id
            if isinstance(value := said.get(metric), int | float) and isinstance(said.get("epoch"), int):
                curve = {**curve, said["epoch"]: float(value)}
        self._curves[one.row.id] = (-1 if one.ended else max(seen, 0), curve)

    def _is_news(self, one: Found) -> bool:
        """Whether it has done an epoch, and nobody has decided about it before."""
        _, curve = self._curves.get(one.row.id, (0, {}))
        return not one.row.cancel_reason and _last(curve) > self._epochs.get(one.row.id, 0)


def _last(curve: Curve) -> int:
    return max(curve, default=0)


def _active(tx: Connection) -> list[Row]:
    return list(tx.execute(select(tunings).where(tunings.c.state == "running").order_by(tunings.c.created)))


def _request(plan: Plan, curves: dict[str, tuple[int, Curve]]) -> dict[str, Any]:
    spec = plan.tuning.spec
    tried = [
        {
            "number": one.contender.number,
            "params": one.contender.params,
            "state": one.stands,
            "value": one.contender.value,
            "curve": curves.get(one.row.id, (0, {}))[1],
        }
        for one in plan.found
    ]
    return {
        "id": plan.tuning.id,
        "seed": spec.seed,
        "sampler": spec.sampler,
        "pruner": spec.pruner,
        "metric": spec.metric,
        "better": "min" if better_of(spec.metric) is min else "max",
        "trials": plan.tuning.trials,
        "epochs": spec.task.params.get("epochs", 1),
        "space": [one.model_dump(mode="json") for one in plan.tuning.space],
        "first": _first(plan.tuning),
        "tried": tried,
        "ask": list(plan.ask),
    }


def _first(tuning: Tuning) -> Params | None:
    """What would be trained without a search, to be beaten; None where that is outside of what is varied."""
    usual = {one.name: tuning.spec.task.params.get(one.name) for one in tuning.space}
    return usual if all(_within(one, usual[one.name]) for one in tuning.space) else None


def _within(one: Varied, value: Any) -> bool:
    if one.kind == "choice":
        return value in one.choices
    if not isinstance(value, int | float) or one.low is None or one.high is None or not one.low <= value <= one.high:
        return False
    return one.step is None or ((value - one.low) / one.step).is_integer()


# ---------------------------------------------------------------- what is written


def _ask(tx: Connection, tuning: str, number: int, params: Params) -> None:
    """The job of a trial, unless the tuning has been called off since, or somebody has asked for it."""
    row = find(tx, tuning)
    key = key_of(row.id, number)
    there = select(jobs.c.id).where(jobs.c.owner == row.owner, jobs.c.key == key)
    if row.state != "running" or tx.execute(there).first():
        return
    base = JobFile.model_validate(row.file)
    assert base.architecture and isinstance(base.spec.task, TrainTask)
    task = base.spec.task.model_copy(
        update={"params": complete_params(base.architecture, {**base.spec.task.params, **params})}
    )
    named = {"name": f"{row.name[:95]}-{number:03d}", "experiment": row.name, "key": key}
    spec = base.spec.model_copy(update={"task": task, **named})
    insert_job(tx, base.model_copy(update={"id": new_id("run"), "name": spec.name, "spec": spec}), spec)
    if row.message:
        move(tx, row, row.state)


def _prune(tx: Connection, job: str, reason: str) -> None:
    row = tx.execute(select(jobs).where(jobs.c.id == job)).one()
    if not JobState(row.state).final and row.cancel < row.attempt:
        wish_off(tx, row, reason)


def _end(tx: Connection, row: Row, state: str, message: str | None) -> None:
    if find(tx, row.id).state == "running":
        move(tx, row, state, message)
