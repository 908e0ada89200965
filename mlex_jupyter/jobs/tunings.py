"""Tunings: asked for, listed, looked at, called off and gone on with. The supervisor asks for the trials: tuner.py.

Everything that a trial needs is fixed when the tuning is acknowledged: the version of the labels, the network's
form and source, the dataset. So all trials learn the same, and their values can be compared.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from importlib.util import find_spec
from typing import Any

from sqlalchemy import Connection, insert, select, update

from mlex_jupyter.errors import Conflict, Invalid, NotFound, Unavailable, nearest
from mlex_jupyter.events import append
from mlex_jupyter.jobs.contenders import contenders, counted, leaderboard
from mlex_jupyter.jobs.experiments import HIGHER, LOWER, better_of
from mlex_jupyter.jobs.requests import Jobs, wish_off, wish_on
from mlex_jupyter.jobs.rows import next_name
from mlex_jupyter.store import Store
from mlex_jupyter.store.tables import Row, tunings
from mlex_jupyter.types import JobFile, JobSpec, JobState, Leaderboard, Resources, TrainTask, Tuning, TuningSpec, new_id
from mlex_jupyter.zoo.spaces import combinations, space_of

CALLED_OFF = "its tuning was cancelled"
MOST = 1000


class Tunings:
    """The tunings of one home."""

    def __init__(self, store: Store, jobs: Jobs) -> None:
        self.store = store
        self.jobs = jobs

    async def ask(self, spec: TuningSpec, owner: str) -> Tuning:
        """Acknowledge a tuning: it is complete, checked and committed."""
        _check(spec)
        if spec.key is not None and (before := await self.store.read(lambda tx: _asked_before(tx, spec, owner))):
            return before
        completing = self.jobs.completing
        asked = JobSpec(task=spec.task, target=spec.target, resources=await self._share(spec))
        file = await completing.prepare(asked, owner)
        assert file.architecture and isinstance(file.spec.task, TrainTask)
        space = space_of(file.architecture, spec.vary, spec.task.params, learned=spec.task.start is not None)
        trials = min(spec.trials, combinations(space) or spec.trials)
        return await self.store.write(lambda tx: _add(tx, spec, file, owner, space, trials))

    async def _share(self, spec: TuningSpec) -> Resources:
        """On this machine, where a training takes all cores by itself, those at the same time share them."""
        target = self.jobs.completing.targets.get(spec.target)
        if spec.resources.cpus is not None or not getattr(target, "here", False):
            return spec.resources
        cores = (await target.info()).cpus
        return spec.resources.model_copy(update={"cpus": max(1, cores // spec.at_once)})

    async def all(self, limit: int) -> list[Tuning]:
        """The newest first."""
        query = select(tunings).order_by(tunings.c.created.desc()).limit(max(1, min(limit, MOST)))

        def look(tx: Connection) -> list[Tuning]:
            return [counted(tuning_of(row), contenders(tx, row)) for row in tx.execute(query).all()]

        return await self.store.read(look)

    async def board(self, name: str) -> Leaderboard:
        """How the trials of one stand."""
        return await self.store.read(lambda tx: _board(tx, find(tx, name)))

    async def any(self) -> bool:
        """Whether a tuning is under way."""
        return await self.store.read(under_way)

    async def cancel(self, name: str) -> Tuning:
        """Ask for no more trials, and have those that run cancelled."""

        def work(tx: Connection) -> Tuning:
            row = find(tx, name)
            if row.state != "running":
                raise Conflict(f"The tuning {row.name} is {row.state}: there is nothing to cancel.")
            move(tx, row, "cancelled")
            for one in contenders(tx, row):
                if not one.ended:
                    wish_off(tx, one.row, CALLED_OFF)
            return _board(tx, find(tx, row.id)).tuning

        return await self.store.write(work)

    async def resume(self, name: str, trials: int | None) -> Tuning:
        """Go on: with the trials that were called off, and with more of them, where somebody wants more."""

        def work(tx: Connection) -> Tuning:
            row = find(tx, name)
            total = _more(row, trials)
            if row.state == "running" and total == row.trials:
                raise Conflict(f"The tuning {row.name} is running already.")
            if row.state == "done" and total == row.trials:
                more = f"For more of them: mlex tune-resume {row.name} --trials {row.trials * 2}"
                all_of_them = f"There are no other combinations: vary more in another tuning than {row.name}."
                raise Conflict(
                    f"The tuning {row.name} is done: its {row.trials} trials have ended.",
                    hint=all_of_them if combinations(tuning_of(row).space) == row.trials else more,
                )
            tx.execute(update(tunings).where(tunings.c.id == row.id).values(trials=total))
            move(tx, row, "running")
            for one in contenders(tx, row):
                if one.row.state == JobState.CANCELLED and one.row.cancel_reason == CALLED_OFF:
                    wish_on(tx, one.row)
            return _board(tx, find(tx, row.id)).tuning

        return await self.store.write(work)


def _check(spec: TuningSpec) -> None:
    if find_spec("optuna") is None:
        raise Unavailable(
            "Nothing can be tuned here: Optuna is not installed.", hint="pip install 'mlex-jupyter[tune]'"
        )
    if better_of(spec.metric) is None:
        known = ", ".join((*HIGHER, *LOWER))
        raise Invalid(f"Nobody knows whether more or less {spec.metric[:60]} is better.", hint=f"Known are {known}.")


def _more(row: Row, trials: int | None) -> int:
    if trials is None:
        return int(row.trials)
    if not row.trials <= trials <= MOST:
        raise Invalid(f"trials={trials}: {row.name} has {row.trials}; ask for so many or more, up to {MOST}.")
    space = tuning_of(row).space
    return min(trials, combinations(space) or trials)


def _asked_before(tx: Connection, spec: TuningSpec, owner: str) -> Tuning | None:
    """The tuning that this request made when it was made before, by its key; in other words it is a Conflict."""
    row = tx.execute(select(tunings).where(tunings.c.owner == owner, tunings.c.key == spec.key)).one_or_none()
    if row is None:
        return None
    if TuningSpec.model_validate(row.request) != spec:
        raise Conflict(f"The key {spec.key!r} was used for another request ({row.name}).")
    return _board(tx, row).tuning


def _add(tx: Connection, spec: TuningSpec, file: JobFile, owner: str, space: Any, trials: int) -> Tuning:
    if spec.key is not None and (before := _asked_before(tx, spec, owner)):
        return before
    name = spec.name or next_name(tx, f"{spec.task.model}-tuning")
    if tx.execute(select(tunings.c.id).where(tunings.c.name == name)).first():
        raise Conflict(f"There is a tuning {name} already.", hint=f"Look at it: mlex leaderboard {name}")
    created, fixed = time.time(), {"id": new_id("tuning"), "name": name, "owner": owner}
    complete = spec.model_copy(update={"name": name, "task": file.spec.task, "resources": file.spec.resources})
    record = {"spec": complete.model_dump(mode="json"), "space": [one.model_dump(mode="json") for one in space]}
    asked = {"key": spec.key, "request": spec.model_dump(mode="json"), "file": file.model_dump(mode="json")}
    stands = {"state": "running", "trials": trials, "created": created}
    tx.execute(insert(tunings).values(**fixed, record=record, **asked, **stands))
    append(tx, fixed["id"], "tuning", {"name": name, "state": "running", "trials": trials})
    return tuning_of(find(tx, fixed["id"]))


def _board(tx: Connection, row: Row) -> Leaderboard:
    return leaderboard(tuning_of(row), contenders(tx, row))


def move(tx: Connection, row: Row, state: str, message: str | None = None) -> None:
    """Have a tuning stand so, and tell of it."""
    tx.execute(update(tunings).where(tunings.c.id == row.id).values(state=state, message=message))
    append(tx, row.id, "tuning", {"name": row.name, "state": state, "message": message})


def under_way(tx: Connection) -> bool:
    """Whether the supervisor has something to do for a tuning."""
    return tx.execute(select(tunings.c.id).where(tunings.c.state == "running").limit(1)).first() is not None


def find(tx: Connection, name: str) -> Row:
    """The row of a tuning by its name or id."""
    row = tx.execute(select(tunings).where((tunings.c.name == name) | (tunings.c.id == name))).one_or_none()
    if row is None:
        known = list(tx.execute(select(tunings.c.name).order_by(tunings.c.created.desc()).limit(500)).scalars())
        raise NotFound(f"There is no tuning {name[:80]!r}.", hint=nearest(name, known) or "List them: mlex tunings")
    return row


def tuning_of(row: Row) -> Tuning:
    """A tuning as it is kept."""
    fixed = {name: getattr(row, name) for name in ("id", "name", "owner", "state", "trials", "message")}
    return Tuning(**fixed, **row.record, created=datetime.fromtimestamp(row.created, timezone.utc))
