"""Experiments: runs that belong together by a word, and runs side by side, of which only what differs is shown."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Connection, case, func, select

from mlex_jupyter.errors import Invalid
from mlex_jupyter.store.tables import Row, jobs
from mlex_jupyter.types import FINAL, Comparison, Difference, Experiment, Job, JobState, Measured

MOST = 20
HIGHER = ("dice", "iou", "jaccard", "accuracy", "precision", "recall", "f1", "score", "auc")
LOWER = ("loss", "error", "mse", "mae", "rmse")
"""By the first or last part of a metric's name: which way is better."""
LOOKED_AT = 1000
"""So many finished runs of an experiment are compared by their Dice, the newest first."""


def experiments(tx: Connection, limit: int) -> list[Experiment]:
    """Each with its runs counted; the one that was added to last comes first."""
    final = [state.value for state in FINAL]
    counted = (
        select(
            jobs.c.experiment,
            func.count().label("runs"),
            func.sum(case((jobs.c.state == JobState.DONE.value, 1), else_=0)).label("done"),
            func.sum(case((jobs.c.state.in_(final), 0), else_=1)).label("running"),
            func.min(jobs.c.submitted).label("first"),
            func.max(jobs.c.submitted).label("last"),
        )
        .where(jobs.c.experiment.is_not(None))
        .group_by(jobs.c.experiment)
        .order_by(func.max(jobs.c.number).desc())
        .limit(limit)
    )
    return [_experiment(tx, row) for row in tx.execute(counted).all()]


def _experiment(tx: Connection, row: Row) -> Experiment:
    done = jobs.c.experiment == row.experiment, jobs.c.state == JobState.DONE.value
    newest = select(jobs.c.name, jobs.c.metrics).where(*done).order_by(jobs.c.number.desc()).limit(LOOKED_AT)
    judged = [(found.metrics["dice"], found.name) for found in tx.execute(newest) if "dice" in found.metrics]
    dice, best = max(judged, key=lambda one: one[0], default=(None, None))
    counts = {name: getattr(row, name) for name in ("runs", "done", "running", "first", "last")}
    return Experiment(name=row.experiment, best=best, dice=dice, **counts)


# ---------------------------------------------------------------- side by side


def compare(runs: Sequence[Job]) -> Comparison:
    """Some runs: in what they differ, and how they did."""
    if not 2 <= len(runs) <= MOST:
        raise Invalid(f"{len(runs)} runs cannot be compared.", hint=f"Name 2 to {MOST} of them, or an experiment.")
    asked = [_asked(run) for run in runs]
    names = list(dict.fromkeys(name for one in asked for name in one))
    rows = [Difference(name=name, values=tuple(one.get(name) for one in asked)) for name in names]
    differing = tuple(row for row in rows if any(value != row.values[0] for value in row.values))
    measured = sorted({name for run in runs for name in run.metrics}, key=lambda name: (name.count("/"), name))
    return Comparison(
        runs=tuple(run.name for run in runs),
        ids=tuple(run.id for run in runs),
        states=tuple(run.state for run in runs),
        took_s=tuple((run.ended - run.started).total_seconds() if run.ended and run.started else None for run in runs),
        differences=differing,
        same=len(rows) - len(differing),
        metrics=tuple(_measured(name, [run.metrics.get(name) for run in runs]) for name in measured),
    )


def _asked(run: Job) -> dict[str, JsonValue]:
    """All that was asked for, as one flat list of names and values."""
    spec: dict[str, Any] = run.spec.model_dump(mode="json")
    task: dict[str, Any] = spec["task"]
    params = task.pop("params", {})
    if "argv" in task:
        task["argv"] = shlex.join(task["argv"])
    resources = {name: value for name, value in spec["resources"].items() if name != "extra"}
    return {**task, **params, "target": spec["target"], "image": spec["image"], **resources}


def better_of(metric: str) -> Callable[[Iterable[float]], float] | None:
    """Which of several values is the best; None where the name does not say it."""
    parts = {metric.lower().split("/")[0], metric.lower().split("/")[-1].split("_")[-1]}
    return max if parts & set(HIGHER) else min if parts & set(LOWER) else None


def _measured(name: str, values: Sequence[float | None]) -> Measured:
    known = [value for value in values if value is not None]
    better = better_of(name)
    if better is None or len(set(known)) < 2:
        return Measured(name=name, values=tuple(values))
    best = tuple(place for place, value in enumerate(values) if value == better(known))
    return Measured(name=name, values=tuple(values), best=best)
