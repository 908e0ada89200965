"""Finding models: words, facets and metrics over the newest listed version of each, and architectures after them.

The order is fixed when a model is indexed: the newest first, where a perfect Dice is worth a month. A page is an exact
name, then names that begin so, then all others; its cursor names the last row that was seen, so that what is published
meanwhile neither hides nor repeats a line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, and_, delete, exists, func, insert, literal_column, select, update

from mlex_jupyter.errors import Invalid
from mlex_jupyter.store.tables import models, zoo_index, zoo_metrics
from mlex_jupyter.textsearch import (
    All,
    But,
    Either,
    Expression,
    Term,
    after,
    beginning,
    facet,
    matches,
    matching,
    tokens,
)
from mlex_jupyter.textsearch import words as words_of
from mlex_jupyter.types import Architecture, Model, ZooEntry, ZooPage

VERSION = 1
MONTH_S = 30 * 86400
FIRST = 1 << 40
AT_ONCE = 500
COUNTED = 1000
"""A total above this is not counted further."""
COMPARED_AND_COUNTED = 200
"""The same where metrics are compared, which takes longer."""
FEW = 1000
"""Up to so many rows that satisfy a metric are looked at one by one; of more, the index finds a page soon."""
AT_MOST = 1000
METRIC = re.compile(r"\s*([^<>=]+?)\s*(>=|<=|>|<|=)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")
COMPARED = {
    ">=": lambda column, value: column >= value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    "<": lambda column, value: column < value,
    "=": lambda column, value: column == value,
}


@dataclass(frozen=True)
class Wanted:
    """What somebody looks for; all of it must hold."""

    actor: str
    query: str = ""
    task: str | None = None
    tags: Sequence[str] = ()
    owner: str | None = None
    architecture: str | None = None
    framework: str | None = None
    metrics: Sequence[str] = ()
    """`dice>=0.9`."""
    kind: Literal["model", "architecture"] | None = None


# ---------------------------------------------------------------- writing


def index(tx: Connection, name: str) -> None:
    """Write the index of one model anew, from its newest version that is listed."""
    forget(tx, [name])
    newest = models.c.name == name, models.c.withdrawn.is_(None)
    row = tx.execute(select(models.c.record).where(*newest).order_by(models.c.version.desc()).limit(1)).scalar()
    if row is not None:
        put(tx, [Model.model_validate(row)])
    tx.execute(update(models).where(models.c.name == name).values(indexed=VERSION))


def put(tx: Connection, found: Sequence[Model]) -> None:
    """Add models that are not in the index."""
    numbered = []
    there = select(zoo_index.c.number).where(zoo_index.c.number.in_([_number(model) for model in found]))
    taken = set(tx.execute(there).scalars())
    for model in found:
        number = _number(model)
        while number in taken:
            number -= 1  # of two in one moment the later is the newer
            if tx.execute(select(zoo_index.c.number).where(zoo_index.c.number == number)).first():
                taken.add(number)
        taken.add(number)
        numbered.append((number, model))
    tx.execute(
        insert(zoo_index),
        [
            {"number": number, "name": model.name, "tokens": _tokens(model), "entry": _entry(model)}
            for number, model in numbered
        ],
    )
    measured = [
        {"metric": metric, "number": number, "value": value}
        for number, model in numbered
        for metric, value in model.metrics.items()
    ]
    if measured:
        tx.execute(insert(zoo_metrics), measured)


def forget(tx: Connection, names: Sequence[str]) -> None:
    """Remove models from the index."""
    numbers = list(tx.execute(select(zoo_index.c.number).where(zoo_index.c.name.in_(names))).scalars())
    tx.execute(delete(zoo_metrics).where(zoo_metrics.c.number.in_(numbers)))
    tx.execute(delete(zoo_index).where(zoo_index.c.number.in_(numbers)))


def behind(tx: Connection) -> bool:
    """Whether there are models that this version has not indexed."""
    return tx.execute(select(models.c.id).where(models.c.indexed < VERSION).limit(1)).first() is not None


def catch_up(tx: Connection) -> bool:
    """Index some of those that an older version wrote; True while there may be more."""
    old = models.c.indexed < VERSION
    records = list(tx.execute(select(models.c.record).where(old).limit(AT_ONCE)).scalars())
    for model in map(Model.model_validate, records):
        owned = {"owner": model.owner, "visibility": model.visibility}
        tx.execute(update(models).where(models.c.id == model.id).values(**owned))
        index(tx, model.name)
    return len(records) == AT_ONCE


def score(metrics: dict[str, float]) -> float:
    """How good a model is said to be, between 0 and 1; in the middle where nothing is said."""
    said = metrics.get("dice", 0.5)
    return min(1.0, max(0.0, said)) if said == said else 0.5


def _number(model: Model) -> int:
    return FIRST - int(16 * (model.created.timestamp() + MONTH_S * score(model.metrics)))


def _tokens(model: Model) -> str:
    facets = [
        facet("name", "".join(words_of(model.name))),
        facet("task", model.task),
        facet("owner", model.owner),
        facet("architecture", model.architecture),
        facet("framework", model.framework),
        *(facet("tag", tag) for tag in model.tags),
    ]
    if model.visibility == "shared":
        facets.append(SHARED)
    return tokens(model.name, (model.title, model.description, *model.tags), facets)


SHARED = facet("visibility", "shared")


# ---------------------------------------------------------------- reading


def search(
    tx: Connection, wanted: Wanted, architectures: Sequence[Architecture], past: str | None, limit: int
) -> ZooPage:
    """One page."""
    if not 1 <= limit <= AT_MOST:
        raise Invalid(f"limit={limit}: ask for 1 to {AT_MOST}.")
    step, number = _place(past)
    trained = _compared(wanted.metrics)
    networks = [] if trained else _networks(wanted, architectures)
    steps = _steps(wanted) if wanted.kind != "architecture" else []
    source = _Few(tx, few) if trained and (few := _few(tx, trained)) is not None else _Many(tx, trained)
    rows: list[tuple[int, Any]] = []
    for place in range(step, len(steps)):
        more = source.rows(steps[place], number if place == step else -1, limit + 1 - len(rows))
        rows += [(place, row) for row in more]
        if len(rows) > limit:
            break
    total, beyond = source.count(Either(tuple(steps))) if steps else (0, False)
    titles = {one.name: one.title for one in architectures}
    entries = [_shown(row.entry, titles) for _, row in rows[:limit]]
    skipped = max(0, number + 1) if step >= len(steps) else 0
    room = limit - len(entries)
    entries += networks[skipped : skipped + room]
    last: str | None = None
    if len(rows) > limit:
        last = f"{rows[limit - 1][0]}.{rows[limit - 1][1].number}"
    elif skipped + room < len(networks):
        last = f"{len(steps)}.{skipped + room - 1}"
    return ZooPage(entries=tuple(entries), total=total + len(networks), more_than_total=beyond, next=last)


class _Many:
    """The rows that the index finds, compared by their metrics as they come."""

    def __init__(self, tx: Connection, compared: Sequence[tuple[str, str, float]]) -> None:
        self.tx = tx
        self.conditions = [_satisfies(*one) for one in compared]

    def rows(self, wanted: Expression, number: int, limit: int) -> Sequence[Any]:
        found = matching(self.tx, zoo_index, wanted, zoo_index.c.number, zoo_index.c.entry)
        return self.tx.execute(found.where(after(self.tx, zoo_index, number), *self.conditions).limit(limit)).all()

    def count(self, wanted: Expression) -> tuple[int, bool]:
        most = COMPARED_AND_COUNTED if self.conditions else COUNTED
        found = matching(self.tx, zoo_index, wanted, literal_column("1")).where(*self.conditions).limit(most + 1)
        total = int(self.tx.execute(select(func.count()).select_from(found.subquery())).scalar_one())
        return min(total, most), total > most


class _Few:
    """The few rows that satisfy the metrics, compared with what is wanted one by one."""

    def __init__(self, tx: Connection, numbers: Sequence[int]) -> None:
        self.tx = tx
        query = select(zoo_index.c.number, zoo_index.c.tokens).where(zoo_index.c.number.in_(numbers))
        self.held = [(row.number, row.tokens.split(" ")) for row in tx.execute(query.order_by(zoo_index.c.number))]

    def rows(self, wanted: Expression, number: int, limit: int) -> Sequence[Any]:
        found = [one for one, held in self.held if one > number and matches(held, wanted)][:limit]
        query = select(zoo_index.c.number, zoo_index.c.entry).where(zoo_index.c.number.in_(found))
        return self.tx.execute(query.order_by(zoo_index.c.number)).all()

    def count(self, wanted: Expression) -> tuple[int, bool]:
        return sum(matches(held, wanted) for _, held in self.held), False


def _steps(wanted: Wanted) -> list[Expression]:
    """What comes first, and what after it; no row is meant by two of them."""
    sought = {"task": wanted.task, "owner": wanted.owner, "architecture": wanted.architecture}
    sought |= {"framework": wanted.framework}
    must: list[Expression] = [Either((Term(facet("owner", wanted.actor)), Term(SHARED)))]
    must += [Term(facet(kind, value)) for kind, value in sought.items() if value is not None]
    must += [Term(facet("tag", tag)) for tag in wanted.tags]
    said = words_of(wanted.query)
    if not said:
        return [] if wanted.query.strip("*? ") else [All(tuple(must))]
    exact = Term(facet("name", "".join(said)))
    begins = Term(beginning(wanted.query), begins=True)
    anywhere = All(tuple(Term(word, begins=True) for word in said))
    first = All((exact, *must))
    return [first, But(All((begins, *must)), exact), But(But(All((anywhere, *must)), begins), exact)]


def _compared(asked: Sequence[str]) -> list[tuple[str, str, float]]:
    found = []
    for text in asked:
        if (match := METRIC.fullmatch(text)) is None:
            raise Invalid(f"{text[:80]!r} compares no metric.", hint="Write it as dice>=0.9, in quotes in a shell.")
        found.append((match[1], match[2], float(match[3])))
    return found


def _satisfies(metric: str, sign: str, value: float) -> Any:
    return exists().where(
        zoo_metrics.c.metric == metric,
        zoo_metrics.c.number == zoo_index.c.number,
        COMPARED[sign](zoo_metrics.c.value, value),
    )


def _few(tx: Connection, compared: Sequence[tuple[str, str, float]]) -> list[int] | None:
    """The rows that satisfy all metrics, if only few satisfy one of them."""
    for metric, sign, value in compared:
        said = and_(zoo_metrics.c.metric == metric, COMPARED[sign](zoo_metrics.c.value, value))
        numbers = list(tx.execute(select(zoo_metrics.c.number).where(said).limit(FEW + 1)).scalars())
        if len(numbers) <= FEW:
            others = [_satisfies(*one) for one in compared]
            query = select(zoo_index.c.number).where(zoo_index.c.number.in_(numbers), *others)
            return list(tx.execute(query).scalars())
    return None


def _place(past: str | None) -> tuple[int, int]:
    if past is None:
        return 0, -1
    step, dot, number = past.partition(".")
    if not (dot and step.isdecimal() and number.isdecimal() and len(past) < 30):
        raise Invalid(f"{past[:80]!r} is no place in this list.", hint="Give what the page before calls `next`.")
    return int(step), int(number)


def _networks(wanted: Wanted, architectures: Sequence[Architecture]) -> list[ZooEntry]:
    """The architectures that are meant; nobody owns or tags one."""
    if wanted.kind == "model" or wanted.tags or wanted.owner:
        return []
    said = [Term(word, begins=True) for word in words_of(wanted.query)]
    if not said and wanted.query.strip("*? "):
        return []
    return [
        _network(one)
        for one in architectures
        if wanted.task in (None, one.task)
        and wanted.architecture in (None, one.name)
        and wanted.framework in (None, one.framework)
        and matches(tokens(one.name, (one.title, one.description), ()).split(" "), All(tuple(said)))
    ]


def _entry(model: Model) -> dict[str, Any]:
    """A model as a line of the zoo."""
    shared = {"name", "version", "title", "architecture", "task", "framework", "metrics", "tags", "owner", "visibility"}
    return {"kind": "model", **model.model_dump(mode="json", include={*shared, "run", "created"})}


def _shown(entry: dict[str, Any], titles: dict[str, str]) -> ZooEntry:
    """The line, where a model without a title has that of its architecture."""
    architecture = entry["architecture"]
    return ZooEntry.model_validate(entry | {"title": entry["title"] or titles.get(architecture, architecture)})


def _network(architecture: Architecture) -> ZooEntry:
    """An architecture as a line of the zoo."""
    shared = ("name", "title", "task", "framework")
    said = {name: getattr(architecture, name) for name in shared}
    return ZooEntry(kind="architecture", architecture=architecture.name, **said)
