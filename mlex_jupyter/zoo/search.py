"""Finding models: words, facets and metrics over the newest listed version of each, and architectures after them.

A page is an exact name, then names that begin so, then all others; its cursor names the last row that was seen, so that
what is published meanwhile neither hides nor repeats a line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Integer, Select, and_, case, func, literal_column, select

from mlex_jupyter import textsearch
from mlex_jupyter.errors import Invalid
from mlex_jupyter.store.tables import zoo_index, zoo_metrics
from mlex_jupyter.textsearch import All, But, Either, Expression, Order, Term, beginning, facet, matches, words
from mlex_jupyter.types import Architecture, ZooEntry, ZooPage
from mlex_jupyter.zoo.index import SHARED

COUNTED = 1000
"""A total above this is not counted further."""
COMPARED_AND_COUNTED = 200
"""The same where metrics are compared, which takes longer."""
FEW = 1000
"""Up to so many rows that satisfy a metric are looked at one by one; of more, the index finds a page soon."""
AT_MOST = 1000
METRIC = re.compile(r"\s*([^<>=]+?)\s*(>=|<=|>|<|=)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")
COMPARED: dict[str, Callable[[Any, float], ColumnElement[bool]]] = {
    ">=": lambda column, value: column >= value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    "<": lambda column, value: column < value,
    "=": lambda column, value: column == value,
}


Compared = tuple[str, str, float]


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
    steps, either = _steps(wanted)
    if wanted.kind == "architecture":
        steps = []
    rows, total, beyond = _rows(tx, steps, either, trained, (step, number), limit + 1) if steps else ([], 0, False)
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


def _rows(
    tx: Connection,
    steps: Sequence[Expression],
    either: Expression,
    compared: Sequence[Compared],
    past: tuple[int, int],
    limit: int,
) -> tuple[list[tuple[int, Any]], int, bool]:
    """The next rows, each with its step; how many there are in all, and whether there are more than that."""
    found, rows = _found(tx, steps, either, compared), list[tuple[int, Any]]()
    for step in range(past[0], len(steps)):
        more = found.rows(step, past[1] if step == past[0] else -1, limit - len(rows))
        rows += [(step, row) for row in more]
        if len(rows) == limit:
            break
    return rows, found.total, found.beyond


def _found(
    tx: Connection, steps: Sequence[Expression], either: Expression, compared: Sequence[Compared]
) -> _Many | _Few:
    """The rows that are meant: all of them where they are few, else a way to the first of them."""
    conditions = [_satisfies(one) for one in compared]
    columns = zoo_index.c.number, _step(tx, steps).label("step")
    for rare in (one for one in compared if _is_rare(tx, one)):
        joined = zoo_index.join(zoo_metrics, zoo_metrics.c.number == zoo_index.c.number)
        return _Few(tx, select(*columns).select_from(joined).where(_said(*rare), *conditions))
    total, beyond = textsearch.count(tx, zoo_index, either, COMPARED_AND_COUNTED if compared else COUNTED, *conditions)
    if beyond:
        return _Many(tx, steps, conditions, total)
    return _Few(tx, textsearch.meant(tx, zoo_index, either, *columns).where(*conditions))


def _step(tx: Connection, steps: Sequence[Expression]) -> ColumnElement[int]:
    """Which of the steps a row that is meant belongs to; -1 is none."""
    if len(steps) == 1:
        return literal_column("0", Integer)
    return case(*((textsearch.held(tx, zoo_index, one), number) for number, one in enumerate(steps)), else_=-1)


class _Many:
    """Rows that are looked for page by page, and counted up to some number only."""

    def __init__(
        self, tx: Connection, steps: Sequence[Expression], conditions: Sequence[ColumnElement[bool]], total: int
    ) -> None:
        self.tx = tx
        self.steps = steps
        self.conditions = conditions
        self.total, self.beyond = total, True

    def rows(self, step: int, number: int, limit: int) -> Sequence[Any]:
        order = Order((zoo_index.c.number,), past=(number,))
        return textsearch.first(self.tx, zoo_index, self.steps[step], order, limit, *self.conditions)


class _Few:
    """Rows of which all are known, with their steps."""

    def __init__(self, tx: Connection, query: Select[Any]) -> None:
        self.tx = tx
        self.held = sorted((row.step, row.number) for row in tx.execute(query) if row.step >= 0)
        self.total, self.beyond = len(self.held), False

    def rows(self, step: int, number: int, limit: int) -> Sequence[Any]:
        numbers = [one for place, one in self.held if place == step and one > number][:limit]
        if not numbers:
            return []
        query = select(zoo_index.c.number, zoo_index.c.entry).where(zoo_index.c.number.in_(numbers))
        return self.tx.execute(query.order_by(zoo_index.c.number)).all()


def _steps(wanted: Wanted) -> tuple[list[Expression], Expression]:
    """What comes first, and what after it, where no row is meant by two of them; and all of it together."""
    sought = {"task": wanted.task, "owner": wanted.owner, "architecture": wanted.architecture}
    sought |= {"framework": wanted.framework}
    must: list[Expression] = [Either((Term(facet("owner", wanted.actor)), Term(SHARED)))]
    must += [Term(facet(kind, value)) for kind, value in sought.items() if value is not None]
    must += [Term(facet("tag", tag)) for tag in wanted.tags]
    said = words(wanted.query)
    if not said:
        return [] if wanted.query.strip("*? ") else [All(tuple(must))], All(tuple(must))
    exact = Term(facet("name", "".join(said)))
    begins = Term(beginning(wanted.query), begins=True)
    anywhere = All(tuple(Term(word, begins=True) for word in said))
    steps = All((exact, *must)), But(All((begins, *must)), exact), But(But(All((anywhere, *must)), begins), exact)
    return list(steps), All((Either((exact, begins, anywhere)), *must))


def _compared(asked: Sequence[str]) -> list[Compared]:
    found = []
    for text in asked:
        if (match := METRIC.fullmatch(text)) is None:
            raise Invalid(f"{text[:80]!r} compares no metric.", hint="Write it as dice>=0.9, in quotes in a shell.")
        found.append((match[1], match[2], float(match[3])))
    return found


def _said(metric: str, sign: str, value: float) -> ColumnElement[bool]:
    return and_(zoo_metrics.c.metric == metric, COMPARED[sign](zoo_metrics.c.value, value))


def _satisfies(compared: Compared) -> ColumnElement[bool]:
    """One value looked up for each row; of an EXISTS, PostgreSQL would make a list of all values first."""
    metric, sign, value = compared
    its = zoo_metrics.alias()
    held = select(its.c.value).where(its.c.metric == metric, its.c.number == zoo_index.c.number).scalar_subquery()
    return COMPARED[sign](held, value)


def _is_rare(tx: Connection, compared: Compared) -> bool:
    """Whether few models satisfy it."""
    some = select(zoo_metrics.c.number).where(_said(*compared)).limit(FEW + 1).subquery()
    return int(tx.execute(select(func.count()).select_from(some)).scalar_one()) <= FEW


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
    said = [Term(word, begins=True) for word in words(wanted.query)]
    if not said and wanted.query.strip("*? "):
        return []
    return [
        _network(one)
        for one in architectures
        if wanted.task in (None, one.task)
        and wanted.architecture in (None, one.name)
        and wanted.framework in (None, one.framework)
        and (
            not said
            or matches(textsearch.tokens(one.name, (one.title, one.description), ()).split(" "), All(tuple(said)))
        )
    ]


def _shown(entry: dict[str, Any], titles: dict[str, str]) -> ZooEntry:
    """The line, where a model without a title has that of its architecture."""
    architecture = entry["architecture"]
    return ZooEntry.model_validate(entry | {"title": entry["title"] or titles.get(architecture, architecture)})


def _network(architecture: Architecture) -> ZooEntry:
    """An architecture as a line of the zoo."""
    shared = ("name", "title", "task", "framework")
    said = {name: getattr(architecture, name) for name in shared}
    return ZooEntry(kind="architecture", architecture=architecture.name, **said)
