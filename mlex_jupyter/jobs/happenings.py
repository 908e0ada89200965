"""Happenings: what an event is about, as far as rules ask: its names, its tags, and the rules that led to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from mlex_jupyter.store.tables import Row, datasets, jobs, labels, models
from mlex_jupyter.types import Dataset, EstimateTask, JobFile, JobState, On, RunTask, TrainTask

JOB = ("name", "run", "model", "data", "labels", "dataset", "state")
GIVES: dict[On, tuple[str, tuple[str, ...]]] = {
    On.TRAINING_DONE: ("state", JOB),
    On.PRETRAINING_DONE: ("state", JOB),
    On.PREDICTION_DONE: ("state", JOB),
    On.RUN_DONE: ("state", JOB),
    On.JOB_DONE: ("state", JOB),
    On.JOB_FAILED: ("state", JOB),
    On.JOB_ENDED: ("state", JOB),
    On.DATASET: ("dataset", ("name", "dataset")),
    On.LABELS: ("labels", ("name", "labels", "dataset")),
    On.MODEL: ("model", ("name", "model", "version", "run", "dataset")),
}
"""The kind of event, and what stands in braces."""
DONE = {
    "train": On.TRAINING_DONE,
    "pretrain": On.PRETRAINING_DONE,
    "predict": On.PREDICTION_DONE,
    "run": On.RUN_DONE,
}


@dataclass(frozen=True)
class Facts:
    """What an event is about, as far as rules ask."""

    on: frozenset[On]
    values: Mapping[str, str]
    tags: frozenset[str] = frozenset()
    chain: tuple[str, ...] = ()
    """The ids of the rules that led to it, the first first."""


def facts_of(tx: Connection, event: Row) -> Facts | None:
    """What an event is about; None for one that no rule waits for."""
    said = event._mapping["values"]
    match event.kind:
        case "state":
            return _of_job(tx, event.subject, JobState(said["state"]))
        case "dataset" if "forgotten" not in said and "changed" not in said:
            record = tx.execute(select(datasets.c.record).where(datasets.c.id == event.subject)).scalar()
            if record is None:
                return None
            data = Dataset.model_validate(record)
            chain = _chain(tx, data.id.removeprefix("ds-"))
            return Facts(
                frozenset({On.DATASET}), {"name": data.name, "dataset": data.name}, frozenset(data.tags), chain
            )
        case "labels":
            query = select(datasets.c.name).join(labels, labels.c.dataset == datasets.c.id)
            data_name = tx.execute(query.where(labels.c.id == event.subject).limit(1)).scalar()
            values = {"name": str(said["name"]), "labels": str(said["name"]), "dataset": data_name or ""}
            return Facts(frozenset({On.LABELS}), values) if data_name else None
        case "model" if said.get("change") == "published":
            return _of_model(tx, event.subject)
    return None


def _of_job(tx: Connection, job_id: str, state: JobState) -> Facts | None:
    if not state.final:
        return None
    row = tx.execute(select(jobs.c.name, jobs.c.file, jobs.c.outputs).where(jobs.c.id == job_id)).one_or_none()
    if row is None:
        return None
    file = JobFile.model_validate(row.file)
    task = file.spec.task
    if isinstance(task, EstimateTask):
        return None  # nothing was made
    ended = {On.JOB_ENDED}
    if state == JobState.DONE:
        ended |= {On.JOB_DONE, DONE[task.kind]}
    elif state in (JobState.FAILED, JobState.LOST):
        ended |= {On.JOB_FAILED}
    made = next((output["name"] for output in row.outputs if output["kind"] == "dataset"), None)
    worked_on = {} if isinstance(task, RunTask) else {"model": task.model, "data": task.data, "dataset": task.data}
    labelled = {"labels": task.labels} if isinstance(task, TrainTask) else {}
    values = {"name": row.name, "run": job_id, "state": state.value, **worked_on, **labelled}
    tags = frozenset(file.data.tags if file.data else ())
    return Facts(frozenset(ended), values | ({"dataset": made} if made else {}), tags, file.rules)


def _of_model(tx: Connection, model_id: str) -> Facts | None:
    row = tx.execute(
        select(models.c.name, models.c.version, models.c.record).where(models.c.id == model_id)
    ).one_or_none()
    if row is None:
        return None
    trained_on = tx.execute(select(datasets.c.name).where(datasets.c.id == row.record["dataset"])).scalar()
    values = {"name": row.name, "model": row.name, "version": str(row.version), "run": row.record["run"]}
    values |= {"dataset": trained_on} if trained_on else {}
    return Facts(frozenset({On.MODEL}), values, frozenset(row.record["tags"]), _chain(tx, row.record["run"]))


def _chain(tx: Connection, job_id: str) -> tuple[str, ...]:
    file = tx.execute(select(jobs.c.file).where(jobs.c.id == job_id)).scalar()
    return () if file is None else tuple(file.get("rules", ()))
