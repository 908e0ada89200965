"""Lineage: what was made from what, an edge for each, written in the transaction that adds the child.

    dataset ──► labels ──► run ──► model ──► run ──► dataset

What was there before this table was is added once, when somebody asks first. An edge outlives what it leads to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, or_, select, update

from mlex_jupyter.catalog.nodes import nodes_of
from mlex_jupyter.errors import Invalid, NotFound, nearest
from mlex_jupyter.store import Store
from mlex_jupyter.store.tables import Row, datasets, edges, forgotten, jobs, labels, meta, models
from mlex_jupyter.types import Dataset, EstimateTask, JobFile, LabelSet, Lineage, LineageEdge, LineageNode, Model

Parents = Mapping[str, str]
"""Ids, each with a few words."""
FILLED = "lineage"
"""The key of `meta` that says whether what is older than the table is in it."""
AT_ONCE = 500
MOST = 1000
KNOWN = 300


# ---------------------------------------------------------------- writing


def link(tx: Connection, child: str, parents: Parents) -> None:
    """Say what something was made from; said again, it changes nothing."""
    known = set(tx.execute(select(edges.c.parent).where(edges.c.child == child)).scalars()) | {child, ""}
    rows = [{"child": child, "parent": parent, "detail": detail} for parent, detail in parents.items()]
    if new := [row for row in rows if row["parent"] not in known]:
        tx.execute(insert(edges), new)


def of_dataset(dataset: Dataset) -> Parents:
    """What a dataset was made from."""
    return dict.fromkeys(dataset.derived_from, "")


def of_labels(labelled: LabelSet) -> Parents:
    """What a label set was painted over."""
    return {labelled.dataset: ""}


def of_model(model: Model) -> Parents:
    """What a model was made from: its run, which knows the rest, and the model that it goes on from."""
    return dict.fromkeys(filter(None, (model.run, model.parent, model.dataset, model.labels)), "")


def of_job(job: JobFile) -> Parents:
    """What a run works on; one that only measures makes nothing of it."""
    if isinstance(job.spec.task, EstimateTask):
        return {}
    parents = {job.data.id: ""} if job.data else {}
    if job.labels:
        parents[job.labels.id] = f"v{job.labels.version}"
    if job.model and job.model.source:
        parents[job.model.source] = ""
    return parents


def _fill(tx: Connection) -> None:
    """Add the edges of everything that there is."""
    for child, parents in _all(tx):
        link(tx, child, parents)
    if tx.execute(update(meta).where(meta.c.key == FILLED).values(value=1)).rowcount == 0:
        tx.execute(insert(meta).values(key=FILLED, value=1))


def _all(tx: Connection) -> Iterator[tuple[str, Parents]]:
    for row in _rows(tx, jobs.c.id, jobs.c.file, jobs.c.outputs):
        yield row.id, of_job(JobFile.model_validate(row.file))
        for output in row.outputs:
            if output["kind"] == "dataset":
                yield output["ref"], {row.id: ""}
    for table in (datasets, forgotten):
        for row in _rows(tx, table.c.record):
            yield row.record["id"], of_dataset(Dataset.model_validate(row.record))
    for row in _rows(tx, labels.c.id, labels.c.dataset):
        yield row.id, {row.dataset: ""}
    for row in _rows(tx, models.c.record):
        yield row.record["id"], of_model(Model.model_validate(row.record))


def _rows(tx: Connection, *columns: ColumnElement[Any]) -> Iterable[Row]:
    return tx.execute(select(*columns)).yield_per(AT_ONCE)


# ---------------------------------------------------------------- asking


class Ancestry:
    """The graph of one home, as one person may see it."""

    def __init__(self, store: Store, user: str) -> None:
        self.store = store
        self.user = user

    async def of(self, thing: str, limit: int) -> Lineage:
        """Everything that leads to a dataset, label set, run or model, and everything that comes from it."""
        if not 1 <= limit <= MOST:
            raise Invalid(f"limit={limit}: ask for 1 to {MOST}.")
        if not await self.store.read(_filled):
            await self.store.write(_fill)
        return await self.store.read(lambda tx: self._lineage(tx, thing, limit))

    def _lineage(self, tx: Connection, thing: str, limit: int) -> Lineage:
        about = _find(tx, thing, self.user)
        up, more_up = _walk(tx, about, limit, edges.c.child, edges.c.parent)
        down, more_down = _walk(tx, about, limit, edges.c.parent, edges.c.child)
        ids = {about, *up, *down}
        found = tx.execute(select(edges).where(edges.c.child.in_(ids), edges.c.parent.in_(ids)))
        direct = [LineageEdge(parent=row.parent, child=row.child, detail=row.detail) for row in found]
        nodes = nodes_of(tx, ids, self.user)
        order = _order(nodes, direct)
        place = {one: number for number, one in enumerate(order)}
        return Lineage(
            about=about,
            nodes=tuple(nodes[one] for one in order),
            edges=tuple(sorted(reduced(direct, order), key=lambda edge: (place[edge.parent], place[edge.child]))),
            more=more_up or more_down,
        )


def _filled(tx: Connection) -> bool:
    return tx.execute(select(meta.c.value).where(meta.c.key == FILLED)).scalar() == 1


def _find(tx: Connection, thing: str, user: str) -> str:
    """The id of what is meant: an id, else the name of a dataset, of a model's newest version, or of the newest run."""
    for table in (datasets, models, jobs, labels, forgotten):
        if tx.execute(select(table.c.id).where(table.c.id == thing).limit(1)).first():
            return thing
    seen = or_(models.c.visibility.is_(None), models.c.visibility != "private", models.c.owner == user)
    for query in (
        select(datasets.c.id).where(datasets.c.name == thing),
        select(models.c.id).where(models.c.name == thing, seen).order_by(models.c.version.desc()),
        select(jobs.c.id).where(jobs.c.name == thing).order_by(jobs.c.number.desc()),
        select(forgotten.c.id).where(forgotten.c.name == thing).order_by(forgotten.c.time.desc()),
        select(labels.c.id).where(labels.c.name == thing).order_by(labels.c.created.desc()),
    ):
        if (found := tx.execute(query.limit(1)).scalar()) is not None:
            return str(found)
    newest = [
        select(t.c.name).order_by(by.desc()).limit(KNOWN)
        for t, by in ((datasets, datasets.c.created), (jobs, jobs.c.number))
    ]
    known = [name for query in newest for name in tx.execute(query).scalars()]
    raise NotFound(
        f"There is no dataset, label set, model or run {thing[:100]!r}.",
        hint=nearest(thing, dict.fromkeys(known)) or "List them with `mlex data`, `mlex models` or `mlex jobs`.",
    )


def _walk(
    tx: Connection, start: str, limit: int, here: ColumnElement[str], there: ColumnElement[str]
) -> tuple[list[str], bool]:
    """What is reached along the edges, the nearest first, and whether there is more."""
    reached: dict[str, None] = {}
    level = [start]
    while level and len(reached) <= limit:
        rows = tx.execute(
            select(there).where(here.in_(level[:AT_ONCE])).distinct().order_by(there.desc()).limit(limit + 1)
        )
        fresh = [one for one in rows.scalars() if one not in reached and one != start]
        level = level[AT_ONCE:] + fresh
        reached.update(dict.fromkeys(fresh))
    return list(reached)[:limit], len(reached) > limit


def reduced(direct: Sequence[LineageEdge], order: Sequence[str]) -> list[LineageEdge]:
    """Without the edges from where a longer way leads to the same place; parents come first in the order."""
    parents: dict[str, set[str]] = {one: set() for one in order}
    for edge in direct:
        parents[edge.child].add(edge.parent)
    above: dict[str, set[str]] = {}
    for one in order:
        above[one] = parents[one].union(*(above.get(parent, ()) for parent in parents[one]))
    return [
        edge for edge in direct if not any(edge.parent in above[other] for other in parents[edge.child] - {edge.parent})
    ]


def _order(nodes: Mapping[str, LineageNode], direct: Sequence[LineageEdge]) -> list[str]:
    """Parents before children, else the oldest first; in a circle, which nobody can make, somebody begins."""
    waits = dict.fromkeys(nodes, 0)
    children: dict[str, list[str]] = {}
    for edge in direct:
        waits[edge.child] += 1
        children.setdefault(edge.parent, []).append(edge.child)

    def age(one: str) -> tuple[float, str]:
        created = nodes[one].created
        return created.timestamp() if created else 0.0, one

    free = [age(one) for one, count in waits.items() if not count]
    heapify(free)
    order: dict[str, None] = {}
    while len(order) < len(nodes):
        _, one = heappop(free) if free else min(age(left) for left in nodes if left not in order)
        order[one] = None
        for child in children.get(one, ()):
            waits[child] -= 1
            if not waits[child] and child not in order:
                heappush(free, age(child))
    return list(order)
