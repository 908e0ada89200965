"""What the job folders say: how runs ended and what they told, put into rows that know less of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, delete, insert, select, update

from mlex_jupyter.catalog import Catalog
from mlex_jupyter.events import append, append_many
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.runevents import read_events, summary
from mlex_jupyter.store.tables import Row, events, forgotten, jobs, labels
from mlex_jupyter.types import Dataset, JobFile, JobState, Output, Result

KNOWN = frozenset(state.value for state in JobState)
FINAL = frozenset(state.value for state in JobState if state.final)


def take_job(tx: Connection, catalog: Catalog, folder: JobFolder, *, whole: bool) -> None:
    """One job: its row where there is none, how it ended, what it said, and what it was made from."""
    folder.check_owner()
    file = folder.job()
    _take_inputs(tx, catalog, file)
    row = tx.execute(select(jobs).where(jobs.c.id == file.id)).one_or_none()
    if row is None:
        tx.execute(insert(jobs), _row_of(folder, file))
        row = tx.execute(select(jobs).where(jobs.c.id == file.id)).one()
    changes = {name: value for name, value in _standing(folder, row).items() if value != row._mapping[name]}
    result = folder.result()
    if changes.get("state", row.state) == JobState.DONE.value and result is not None:
        changes |= _outcome(tx, catalog, result)
    told = {} if whole and not _untold(tx, folder, row, changes) else _retell(tx, folder, row, changes)
    if changes or told:
        tx.execute(update(jobs).where(jobs.c.id == file.id).values(**changes, **told))


def _take_inputs(tx: Connection, catalog: Catalog, file: JobFile) -> None:
    """The dataset and the label set that a job was made from, where nothing else knows of them."""
    if file.data is not None:
        _keep(tx, catalog, file.data)
    painted = file.labels
    if painted is not None and Path(painted.uri).exists():
        key = (labels.c.dataset == painted.dataset, labels.c.name == painted.name, labels.c.version == painted.version)
        if tx.execute(select(labels.c.id).where(*key)).first() is None:
            columns = painted.model_dump(include={"id", "dataset", "name", "version"})
            record = painted.model_dump(mode="json")
            tx.execute(insert(labels), {**columns, "record": record, "created": painted.created.timestamp()})


def _keep(tx: Connection, catalog: Catalog, dataset: Dataset) -> Dataset | None:
    """The dataset as it is registered; None where somebody has taken it off the list."""
    if tx.execute(select(forgotten.c.id).where(forgotten.c.id == dataset.id)).first() is not None:
        return None
    return catalog.insert(tx, dataset, unique_name=False)


def _row_of(folder: JobFolder, file: JobFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "name": file.name,
        "owner": file.owner,
        "target": file.spec.target,
        "key": file.spec.key,
        "request": file.spec.model_dump(mode="json"),
        "file": file.model_dump(mode="json"),
        "state": JobState.WAITING.value,
        "submitted": (folder.path / "job.json").stat().st_mtime,
    }


def _standing(folder: JobFolder, row: Row) -> dict[str, Any]:
    """Where the job stands, as far as its folder knows better than its row."""
    word = _last_word(folder)
    attempts = [int(path.name) for path in (folder.path / "attempts").glob("*") if path.name.isdigit()]
    claimed = max((number for number in attempts if folder.claimed(number)), default=0)
    result = folder.result()
    if result is not None:
        ended = (folder.path / "result.json").stat().st_mtime
        done = {"state": JobState.DONE.value, "attempt": result.attempt, "exit_code": 0, "reason": None}
        return done | {"ended": row.ended or ended, "started": row.started or _began(folder, result.attempt)}
    newest = max(claimed, word.get("attempt", 0))
    settled = row.state in FINAL or row.asked > row.attempt  # it has ended, or somebody wants it to go on
    if row.attempt > newest or (row.attempt == newest and settled and row.state in KNOWN):
        return {}
    known = {"attempt": newest, "asked": max(row.asked, newest, 1)}
    if word.get("attempt") == newest and JobState(word["state"]).final:
        return known | _ended(folder, newest, word["state"])
    if newest == 0:
        return {} if row.state in KNOWN else {"state": JobState.WAITING.value}
    state = JobState.RUNNING if claimed == newest else JobState.QUEUED
    native = word.get("native_id") if word.get("attempt") == newest else None
    return known | {"state": state.value, "native_id": native, "started": row.started or _began(folder, newest)}


def _last_word(folder: JobFolder) -> dict[str, Any]:
    try:
        said = from_json((folder.path / "state.json").read_bytes())
        JobState(said["state"])
        return {"attempt": int(said["attempt"]), "state": said["state"], "native_id": said.get("native_id")}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _began(folder: JobFolder, attempt: int) -> float | None:
    claim = folder.attempt(attempt) / "claim"
    return claim.stat().st_mtime if claim.exists() else None


def _ended(folder: JobFolder, attempt: int, state: str) -> dict[str, Any]:
    ending = folder.ending(attempt)
    when = ending.time.timestamp() if ending else (folder.path / "state.json").stat().st_mtime
    said = {"message": ending.message, "hint": ending.hint, "exit_code": ending.exit_code} if ending else {}
    return {"state": state, "ended": when, "started": _began(folder, attempt), **said}


def _outcome(tx: Connection, catalog: Catalog, result: Result) -> dict[str, Any]:
    outputs = [output for output in result.outputs if output.kind != "dataset"]
    made = (_keep(tx, catalog, volume) for volume in result.made)
    outputs += [Output(kind="dataset", name=one.name, ref=one.id, derived_from=one.derived_from) for one in made if one]
    return {"outputs": [output.model_dump(mode="json") for output in outputs], "metrics": dict(result.metrics)}


def _untold(tx: Connection, folder: JobFolder, row: Row, changes: dict[str, Any]) -> bool:
    """Whether the stream lacks something of a job that has ended; of one that has not, the supervisor takes it in."""
    if tx.execute(select(events.c.id).where(events.c.subject == row.id).limit(1)).first() is None:
        return True
    size = folder.events.stat().st_size if folder.events.exists() else 0
    return "state" in changes or (row.state in FINAL and row.offset < size)


def _retell(tx: Connection, folder: JobFolder, row: Row, changes: dict[str, Any]) -> dict[str, Any]:
    """Tell of the job anew, from what its folder holds."""
    tx.execute(delete(events).where(events.c.subject == row.id))
    task = from_json(to_json(row.file))["spec"]["task"]["kind"]
    append(tx, row.id, "submitted", {"name": row.name, "task": task, "target": row.target}, at=row.submitted)
    end, columns = 0, dict[str, Any](metrics={})
    while (found := read_events(folder.events, end)).end > end:
        append_many(tx, [(said.at, row.id, said.kind, said.values) for said in found.events])
        columns |= summary(found.events, columns["metrics"])
        end = found.end
    now = {**row._mapping, **changes}
    told = {"state": now["state"], "reason": now["reason"], "attempt": now["attempt"]}
    append(tx, row.id, "state", {**told, "message": now["message"], "hint": now["hint"]}, at=now["ended"])
    if "metrics" in changes:
        columns.pop("metrics")
    return {"offset": end, **columns}
