"""What stands at an end of an edge: a dataset, label set, run or model, in a few words."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timezone

from sqlalchemy import Connection, Table, select

from mlex_jupyter.store.tables import Row, datasets, forgotten, jobs, labels, models
from mlex_jupyter.types import LineageNode

AT_ONCE = 500


def nodes_of(tx: Connection, ids: Collection[str], user: str) -> dict[str, LineageNode]:
    """A node for each id."""
    found = {one: LineageNode(id=one, kind="unknown", name=one, says="not in this home") for one in ids}
    for row in _rows(tx, forgotten, ids):
        found[row.id] = _dataset(row, "forgotten")
    for row in _rows(tx, datasets, ids):
        found[row.id] = _dataset(row)
    for row in sorted(_rows(tx, labels, ids), key=lambda row: int(row.version)):
        found[row.id] = _labels(row)
    for row in _rows(tx, models, ids):
        found[row.id] = _model(row, user)
    for row in _rows(tx, jobs, ids):
        found[row.id] = _job(row)
    return found


def _rows(tx: Connection, table: Table, ids: Collection[str]) -> Iterator[Row]:
    wanted = list(ids)
    for begin in range(0, len(wanted), AT_ONCE):
        yield from tx.execute(select(table).where(table.c.id.in_(wanted[begin : begin + AT_ONCE])))


def _when(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _dataset(row: Row, gone: str = "") -> LineageNode:
    shape = "×".join(map(str, row.record["shape"]))
    says = f"{shape} {row.record['dtype']}" + (f", {gone}" if gone else "")
    return LineageNode(id=row.id, kind="dataset", name=row.name, says=says, created=_when(row.created))


def _labels(row: Row) -> LineageNode:
    classes = ", ".join(one["name"] for one in row.record["classes"])
    return LineageNode(
        id=row.id, kind="labels", name=row.name, says=f"v{row.version}: {classes}", created=_when(row.created)
    )


def _model(row: Row, user: str) -> LineageNode:
    if row.visibility == "private" and row.owner != user:
        return LineageNode(id=row.id, kind="model", name="a private model")
    says = ", ".join([f"v{row.version}", *(["withdrawn"] if row.withdrawn else [])])
    return LineageNode(id=row.id, kind="model", name=row.name, says=says, created=_when(row.created))


def _job(row: Row) -> LineageNode:
    task = row.file["spec"]["task"]
    what = " ".join(task.get("argv", ())) if task["kind"] == "run" else task.get("model")
    says = f"{task['kind']} {what or ''}".strip()
    return LineageNode(
        id=row.id, kind="run", name=row.name, says=f"{says[:60]}, {row.state}", created=_when(row.submitted)
    )
